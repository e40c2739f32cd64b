"""Playback of the example sounds without a comparison: a button on each thumbnail, and a player below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape

import gradio as gr

from lora_mcl.audio import load_window
from lora_mcl.report.media import SOUND_SECONDS, sound_uri
from ui.examples import PageExample
from ui.html import html
from ui.texts.texts import texts_for

_RATE = 16_000  # Hz; only the sound's length is read at this rate


def connect_player(gallery: gr.HTML, examples: Sequence[PageExample]) -> gr.HTML:
    """The player, below the gallery; the gallery's event ``play`` names the example by its place."""
    player = html("", elem_id="audio-example-player")

    @cache
    def uri(index: int) -> str:
        _, window = load_window(examples[index].file, 0, sampling_rate=_RATE, max_seconds=SOUND_SECONDS)
        return sound_uri(examples[index].file, window)

    def play(event: gr.EventData, request: gr.Request) -> str:
        index = int(event.index)
        return player_html(texts_for(request)(examples[index].title), uri(index))

    gallery.play(play, None, player, api_visibility="private", show_progress="hidden", trigger_mode="always_last")
    return player


def player_html(title: str, uri: str) -> str:
    """A player that begins at once."""
    title = escape(title)
    return (
        f'<figure class="example-player"><figcaption>{title}</figcaption>'
        f'<audio controls autoplay src="{uri}" aria-label="{title}"></audio></figure>'
    )
