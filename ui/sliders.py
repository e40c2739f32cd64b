"""The components of the settings."""

from __future__ import annotations

import gradio as gr

from lora_mcl.types import CaptionSource, CompareOptions
from ui.settings import SETTINGS, chosen_ids, columns_to_choose, lower_bound, upper_bound
from ui.texts.static import InBrowser


def setting_sliders(prefix: str, defaults: CompareOptions) -> dict[str, gr.Slider]:
    """A slider for each setting, by option name; element ids begin with ``prefix``."""
    return {
        setting.name: gr.Slider(
            lower_bound(setting, defaults),
            upper_bound(setting, defaults),
            value=getattr(defaults, setting.name),
            step=setting.step,
            label=InBrowser(setting.label),
            info=InBrowser(setting.info),
            elem_id=f"{prefix}-{setting.name}",
        )
        for setting in SETTINGS
    }


def column_choice(prefix: str, captioner: CaptionSource) -> gr.CheckboxGroup:
    """The columns to fill; its values are their ids."""
    return gr.CheckboxGroup(
        [(spec.label, spec.id) for spec in columns_to_choose(captioner)],
        value=chosen_ids(captioner.defaults, captioner),
        label=InBrowser("Columns"),
        info=InBrowser("Which answers to compare"),
        elem_id=f"{prefix}-columns",
        elem_classes="column-choice",
    )
