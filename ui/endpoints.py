"""What a desk offers other programs: ``/compare_image`` or ``/compare_audio``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError
from ui.events import COMPARISON, Parts, as_message, path_of, session_of
from ui.modality import IMAGE
from ui.sessions import Studio
from ui.settings import options_from


def connect_endpoint(studio: Studio, parts: Parts) -> None:
    """Offer a desk's comparison under its name; to be called inside the page's ``gr.Blocks``."""
    make = _compare_image if studio.medium == IMAGE else _compare_audio
    compare = make(studio, parts)
    gr.Button(visible=False).click(
        compare, parts.inputs(), gr.JSON(visible=False), api_name=compare.__name__, **COMPARISON
    )


def _compare_image(studio: Studio, parts: Parts) -> Callable[..., Iterator[dict[str, Any]]]:
    def compare_image(
        request: gr.Request,
        image: Any,
        num_beams: Any,
        num_beam_groups: Any,
        diversity_penalty: Any,
        hypothesis_beams: Any,
        num_samples: Any,
        max_new_tokens: Any,
    ) -> Iterator[dict[str, Any]]:
        """Caption a picture with every hypothesis, with beam search and with diverse beam search.

        Args:
            image: the picture; JPEG, PNG, WEBP, GIF, BMP, TIFF or AVIF.
            num_beams: beams of both searches, and captions they return.
            num_beam_groups: groups of diverse beam search; must divide the beams.
            diversity_penalty: what a token costs that an earlier group chose, in nats.
            hypothesis_beams: beams of each hypothesis; 1 is greedy decoding.
            num_samples: captions drawn at random, in a column of their own; 0 leaves it out.
            max_new_tokens: longest caption, in tokens.

        Returns:
            The comparison as far as it is, again and again; the last one is complete.
        """
        values = (num_beams, num_beam_groups, diversity_penalty, hypothesis_beams, num_samples, max_new_tokens)
        yield from _answers(studio, parts, request, image, 0, values)

    return compare_image


def _compare_audio(studio: Studio, parts: Parts) -> Callable[..., Iterator[dict[str, Any]]]:
    def compare_audio(
        request: gr.Request,
        audio: Any,
        start: Any,
        num_beams: Any,
        num_beam_groups: Any,
        diversity_penalty: Any,
        hypothesis_beams: Any,
        num_samples: Any,
        max_new_tokens: Any,
    ) -> Iterator[dict[str, Any]]:
        """Caption a sound with every hypothesis, with beam search and with diverse beam search.

        Args:
            audio: the sound; WAV, FLAC, OGG, MP3, M4A, WebM or similar, up to 10 minutes.
            start: the second from where to listen, for as long as the model can; ``window`` in the answer says
                which part that was.
            num_beams: beams of both searches, and captions they return.
            num_beam_groups: groups of diverse beam search; must divide the beams.
            diversity_penalty: what a token costs that an earlier group chose, in nats.
            hypothesis_beams: beams of each hypothesis; 1 is greedy decoding.
            num_samples: captions drawn at random, in a column of their own; 0 leaves it out.
            max_new_tokens: longest caption, in tokens.

        Returns:
            The comparison as far as it is, again and again; the last one is complete.
        """
        values = (num_beams, num_beam_groups, diversity_penalty, hypothesis_beams, num_samples, max_new_tokens)
        yield from _answers(studio, parts, request, audio, start, values)

    return compare_audio


def _answers(
    studio: Studio, parts: Parts, request: gr.Request, media: Any, start: Any, values: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    try:
        options = options_from(dict(zip(parts.settings, values, strict=True)), studio.captioner.defaults)
        for comparison in studio.comparisons(path_of(media, studio), options, session_of(request), start):
            yield comparison.to_dict()
    except LoraMclError as error:
        raise as_message(error) from None
