"""The bundle: adapters, base reference and settings in one folder; loading, export, the Hub."""

from lora_mcl.bundle.bundle import (
    ADAPTER_FILES,
    BUNDLE_FILE,
    AdapterRef,
    BaseRef,
    Bundle,
    ScoreHeadRef,
    load_bundle,
    save_bundle,
)

__all__ = [
    "ADAPTER_FILES",
    "BUNDLE_FILE",
    "AdapterRef",
    "BaseRef",
    "Bundle",
    "ScoreHeadRef",
    "load_bundle",
    "save_bundle",
]
