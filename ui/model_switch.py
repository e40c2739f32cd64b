"""The choice among a tab's models, and what of the tab goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from lora_mcl.doubt import Doubt
from lora_mcl.phrasebook import Translator
from lora_mcl.types import ColumnSpec, CompareOptions
from ui.better import Better, better_html
from ui.header import guide_html
from ui.modality import ModalityText
from ui.model_info import ModelInfo, model_info_html
from ui.models import SeveralCaptioners, Source, captioner_of, models_of, with_model
from ui.sessions import Sessions, View
from ui.settings import SETTINGS, chosen_ids, columns_to_choose, lower_bound, upper_bound
from ui.texts.static import InBrowser, StaticHtml
from ui.texts.texts import ENGLISH, Texts


@dataclass(frozen=True)
class ModelTexts:
    """What a tab says of one model.

    Attributes:
        name: of its captioner.
        info: what it can and cannot do.
        better: its hypotheses against its baselines, where that was measured.
        doubt: when one of its captions is to be doubted, where that was measured.
        phrasebook: what translates its captions, where they follow a known grammar.
    """

    name: str
    info: ModelInfo
    better: Better | None = None
    doubt: Doubt | None = None
    phrasebook: Translator | None = None


@dataclass(frozen=True)
class ModelPanels:
    """The components that speak of the model."""

    info: gr.HTML
    better: gr.HTML
    guide: gr.HTML


class ModelSwitch:
    """The settings and the texts of a tab for the model that a visitor chooses, where there are several."""

    def __init__(
        self, sessions: Sessions, settings: dict[str, Any], panels: ModelPanels, texts: Sequence[ModelTexts]
    ) -> None:
        self._sessions, self._settings, self._panels = sessions, settings, panels
        self._texts = {text.name: text for text in texts}
        # Beams and groups that are being restored: the sliders change one after the other.
        self.restored = gr.State(None)
        self.several = isinstance(sessions.captioner, SeveralCaptioners)

    def outputs(self) -> list[Any]:
        panels = [self._panels.info, self._panels.better, self._panels.guide] if self.several else []
        return [*self._settings.values(), self.restored, *panels]

    def idle(self, session: str, texts: Texts = ENGLISH) -> View:
        """The session's page before a comparison."""
        return self._sessions.idle(session, texts)

    def updates(self, session: str, options: CompareOptions, texts: Texts = ENGLISH) -> dict[Any, Any]:
        """The updates that show these options and, of several models, theirs; the session's columns become its own."""
        captioner = captioner_of(self._sessions.captioner, options)
        values: dict[Any, Any] = {self._settings[setting.name]: getattr(options, setting.name) for setting in SETTINGS}
        values[self.restored] = (options.num_beams, options.num_beam_groups)
        chosen = chosen_ids(options, self._sessions.captioner)
        if not self.several:
            return {**values, self._settings["columns"]: chosen}
        self._sessions.choose_model(session, captioner.name)
        bounds = {
            self._settings[setting.name]: gr.Slider(
                lower_bound(setting, captioner.defaults),
                upper_bound(setting, captioner.defaults),
                value=getattr(options, setting.name),
            )
            for setting in SETTINGS
        }
        choices = [(texts(spec.label), spec.id) for spec in columns_to_choose(captioner)]
        described = self._texts[captioner.name]
        return {
            **values,
            **bounds,
            self._settings["columns"]: gr.CheckboxGroup(choices, value=chosen),
            self._settings["model"]: captioner.name,
            self._panels.info: model_info_html(described.info, texts),
            self._panels.better: gr.HTML(better_of(described, texts), visible=described.better is not None),
            self._panels.guide: guide_html(every_column(captioner), self._sessions.modality, texts),
        }

    def defaults(self, model: str) -> CompareOptions:
        """The options that one of several models recommends.

        Raises:
            OptionsError: there is none of that name.
        """
        return with_model(self._sessions.captioner.named(model).defaults, model)


def model_panels(captioner: Source, described: ModelTexts, modality: ModalityText) -> ModelPanels:
    """The components, with the first model's texts."""
    specs = every_column(models_of(captioner)[0])
    better = StaticHtml(
        lambda texts: better_of(described, texts),
        visible=described.better is not None,
        elem_id=f"{modality.name}-better",
    )
    info = StaticHtml(lambda texts: model_info_html(described.info, texts), elem_id=f"{modality.name}-about")
    return ModelPanels(info, better, StaticHtml(lambda texts: guide_html(specs, modality, texts)))


def model_choice(prefix: str, captioner: Source) -> gr.Radio | None:
    """The choice by name, where there are several models."""
    if not isinstance(captioner, SeveralCaptioners):
        return None
    return gr.Radio(
        list(captioner.names),
        value=captioner.name,
        label=InBrowser("Model"),
        elem_id=f"{prefix}-model",
        elem_classes="model-choice",
    )


def every_column(captioner: Source) -> tuple[ColumnSpec, ...]:
    """All columns that a model may have: with sampling, also where its bundle has no default for it."""
    defaults = captioner.defaults
    return captioner.columns(replace(defaults, num_samples=max(1, defaults.num_samples), columns=()))


def board_columns(captioner: Source) -> tuple[ColumnSpec, ...]:
    """The columns that the board has room for: those of every model, hypotheses first; labels are the first model's."""
    found: dict[str, ColumnSpec] = {}
    for one in models_of(captioner):
        for spec in every_column(one):
            found.setdefault(spec.id, spec)
    last = len(found)
    return tuple(sorted(found.values(), key=lambda spec: last if spec.number is None else spec.number))


def better_of(described: ModelTexts, texts: Texts = ENGLISH) -> str:
    """The panel "Is it better?" of a model; empty where that was not measured."""
    return better_html(described.better, texts) if described.better else ""
