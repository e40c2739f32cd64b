"""The audio tab's own components: recorder and player, log-mel picture of the model's input, choice of start."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import floor
from typing import Any

import gradio as gr
import numpy as np

from lora_mcl.audio import mel_frequencies
from lora_mcl.log_mel_picture import log_mel_webp
from lora_mcl.types import AudioView
from ui.html import html, webp_uri
from ui.texts.static import InBrowser
from ui.texts.texts import ENGLISH, Texts


@dataclass(frozen=True)
class AudioControls:
    """The components that show which part of a sound the model gets, and choose its start.

    ``restored_start`` holds the content hash of a sound that is being restored, and its start in seconds; ``shown`` the
    file whose input is shown.
    """

    start: gr.Slider
    view: gr.HTML
    restored_start: gr.State
    shown: gr.State

    def outputs(self) -> list[Any]:
        return [self.view, self.start]

    def idle(self) -> dict[Any, Any]:
        """Updates without a sound."""
        return {self.view: "", self.start: gr.Slider(value=0, visible=False)}

    def refused(self, message: str) -> dict[Any, Any]:
        """Updates for a sound that cannot be used."""
        return {**self.idle(), self.view: notice_html(message)}

    def restored(self, content: str, start: float) -> dict[Any, Any]:
        """Updates for a sound that is being restored: its part from second ``start``, once the sound is there.

        Args:
            content: hash of the sound.
        """
        return {self.start: gr.Slider(value=start, maximum=max(1, start)), self.restored_start: (content, start)}

    def loaded(self, view: AudioView, texts: Texts = ENGLISH) -> dict[Any, Any]:
        """Updates for a new sound: its picture and, if it is longer than the model's input, the choice of start."""
        window = view.window
        # At the latest start the model still gets a full window; less than a step of the slider leaves no choice.
        latest = floor(round((window.duration - (window.end - window.start)) * 10, 3)) / 10
        if latest > 0:
            choice = gr.Slider(value=window.start, maximum=latest, visible=True)
        else:
            choice = gr.Slider(value=0, visible=False)
        return {self.view: audio_view_html(view, texts), self.start: choice}


def recorder() -> gr.Audio:
    """The component that takes and plays a sound."""
    return gr.Audio(
        label=InBrowser("Your sound"),
        type="filepath",
        sources=["upload", "microphone"],
        editable=False,
        buttons=[],
        waveform_options=gr.WaveformOptions(waveform_color="#8f877d", waveform_progress_color="#0068a8"),
        elem_id="audio-media",
        elem_classes="media-input",
    )


def audio_controls() -> AudioControls:
    """The picture and the choice of start, both empty."""
    view = html("", elem_id="audio-view")
    start = gr.Slider(
        0,
        1,
        value=0,
        step=0.1,
        label=InBrowser("Listen from second"),
        info=InBrowser("Your sound is longer than the model's input"),
        visible=False,
        # Putting it back by a button would not be known as a choice.
        buttons=[],
        elem_id="audio-start",
    )
    return AudioControls(start, view, gr.State(None), gr.State(None))


def audio_view_html(view: AudioView, texts: Texts = ENGLISH) -> str:
    """The log-mel picture with its axes in words, and the notice if the sound was cut."""
    window = view.window
    sentences = [window.notice, *window.notices]
    notice = "".join(notice_html(texts(sentence)) for sentence in sentences if sentence)
    pitch = mel_frequencies(len(view.log_mel), view.sampling_rate)
    lowest, highest = f"{texts.number(pitch[0], '.0f')} Hz", f"{texts.number(pitch[-1] / 1000, '.1f')} kHz"
    start, end = texts.number(window.start, ".1f"), texts.number(window.end, ".1f")
    alt = texts(
        "Log-mel spectrogram from second {start} to {end}: time runs to the right, pitch upwards from {lowest} to "
        "{highest}, and what is louder is stronger",
        start=start,
        end=end,
        lowest=lowest,
        highest=highest,
    )
    axes = texts(
        "time to the right, pitch upwards ({lowest} to {highest}), louder is stronger", lowest=lowest, highest=highest
    )
    title = texts("The model's input")
    return (
        f'<figure class="audio-view"><figcaption><b>{title}</b> '
        f"<span>{axes}</span></figcaption>"
        f'<img class="log-mel" src="{log_mel_uri(view.log_mel)}" alt="{alt}">'
        f'<div class="seconds"><span>{start} s</span><span>{end} s</span></div>'
        f"{notice}</figure>"
    )


def notice_html(message: str) -> str:
    """A line that screen readers announce."""
    return f'<p class="notice" role="status">{escape(message)}</p>'


def log_mel_uri(log_mel: np.ndarray) -> str:
    """The picture of a log-mel spectrogram [bins, frames] as a data URI."""
    return webp_uri(log_mel_webp(log_mel))
