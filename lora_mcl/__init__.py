"""LoRA-MCL: one frozen captioning model, K low-rank adapters, K hypotheses decoded side by side.

The library knows neither the page (``app.py``, ``ui``) nor the training commands (``training``).
"""

from lora_mcl.bundle.bundle import (
    EMBEDDED_AUDIO_BUNDLE,
    EMBEDDED_BUNDLE,
    Bundle,
    load_bundle,
    save_bundle,
)
from lora_mcl.captioner import Captioner
from lora_mcl.errors import BundleError, LoraMclError, MediaError, OptionsError
from lora_mcl.scores import CaptionScore, SystemScore
from lora_mcl.types import (
    AudioClip,
    Caption,
    CaptionSource,
    ColumnResult,
    ColumnSpec,
    CompareOptions,
    Comparison,
)

__all__ = [
    "EMBEDDED_AUDIO_BUNDLE",
    "EMBEDDED_BUNDLE",
    "AudioClip",
    "Bundle",
    "BundleError",
    "Caption",
    "CaptionScore",
    "CaptionSource",
    "Captioner",
    "ColumnResult",
    "ColumnSpec",
    "CompareOptions",
    "Comparison",
    "LoraMclError",
    "MediaError",
    "OptionsError",
    "SystemScore",
    "load_bundle",
    "save_bundle",
]
