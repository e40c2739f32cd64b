"""The sliders of the settings."""

from __future__ import annotations

import gradio as gr

from lora_mcl.types import CompareOptions
from ui.settings import SETTINGS, upper_bound


def setting_sliders(prefix: str, defaults: CompareOptions) -> dict[str, gr.Slider]:
    """A slider for each setting, by option name; element ids begin with ``prefix``."""
    return {
        setting.name: gr.Slider(
            setting.low,
            upper_bound(setting, defaults),
            value=getattr(defaults, setting.name),
            step=setting.step,
            label=setting.label,
            info=setting.info,
            elem_id=f"{prefix}-{setting.name}",
        )
        for setting in SETTINGS
    }
