"""LoRA-MCL: one frozen captioning model, K low-rank adapters, K hypotheses decoded side by side.

The library knows neither the page (``app.py``, ``ui``) nor the training commands (``training``). Names are imported
on first use (Scientific Python's SPEC 1): what reads only a bundle's JSON does not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bundle.bundle": ["EMBEDDED_AUDIO_BUNDLE", "EMBEDDED_BUNDLE", "Bundle", "load_bundle", "save_bundle"],
        "captioner": ["Captioner"],
        "errors": ["BundleError", "DivergenceError", "LoraMclError", "MediaError", "OptionsError"],
        "scores": ["CaptionScore", "SystemScore"],
        "types": [
            "AudioClip",
            "Caption",
            "CaptionSource",
            "ColumnResult",
            "ColumnSpec",
            "CompareOptions",
            "Comparison",
        ],
    },
)
