"""Result of scoring one given caption: frozen values shared by library, command line and page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lora_mcl.phrases import Phrase
from lora_mcl.types import Window


@dataclass(frozen=True)
class SystemScore:
    """Log-probability of a caption under one hypothesis, or under the baseline.

    Attributes:
        id: ``hypothesis-<k>`` or ``baseline``.
        label: its heading.
        log_probs: of each token given those before and the medium, in nats [T]; the end mark is the last.
    """

    id: str
    label: str
    log_probs: tuple[float, ...]

    @property
    def nll(self) -> float:
        """Negative log-likelihood of the caption, in nats: less is likelier."""
        return -sum(self.log_probs)

    @property
    def mean_nll(self) -> float:
        """``nll`` per token: what training compares (the paper's equation 4, with the token mean of its code)."""
        return self.nll / len(self.log_probs)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "label": self.label,
            "nll": self.nll,
            "mean_nll": self.mean_nll,
            "log_probs": list(self.log_probs),
        }


@dataclass(frozen=True)
class CaptionScore:
    """Log-probabilities of one given caption of an image or sound, under every system.

    Attributes:
        media: file name of the image or sound.
        model: name of the bundle.
        caption: the text that was scored.
        tokens: text of each token [T]; the last is the end mark, whose text is empty. Of a character that takes several
            tokens, the last one has the text.
        hypotheses: the K hypotheses.
        baseline: the adapter of the baseline, or the base model alone.
        unknown: the characters for which the tokenizer has no token: it writes their bytes, or a mark in their place.
        seconds: wall-clock time, media reading and encoding included.
        window: the part of a sound that the model got; ``None`` for an image.
        notices: sentences for the user about how the input was read.
    """

    media: str
    model: str
    caption: str
    tokens: tuple[str, ...]
    hypotheses: tuple[SystemScore, ...]
    baseline: SystemScore
    unknown: tuple[str, ...] = ()
    seconds: float = 0.0
    window: Window | None = None
    notices: tuple[str, ...] = ()

    @property
    def systems(self) -> tuple[SystemScore, ...]:
        """The hypotheses, then the baseline."""
        return (*self.hypotheses, self.baseline)

    @property
    def winner(self) -> SystemScore:
        """The hypothesis under which the caption is likeliest; of equal ones the first."""
        return min(self.hypotheses, key=lambda system: system.nll)

    @property
    def runner_up(self) -> SystemScore | None:
        """The next best hypothesis; ``None`` if there is only one."""
        others = [system for system in self.hypotheses if system is not self.winner]
        return min(others, key=lambda system: system.nll) if others else None

    @property
    def unknown_notice(self) -> str:
        """A sentence for the user about ``unknown``; empty if there is nothing unknown."""
        if not self.unknown:
            return ""
        signs = " ".join(self.unknown)
        return Phrase("The model's vocabulary has no {signs}: its scores of words with it mean little.", signs=signs)

    def words(self) -> Iterator[slice]:
        """The tokens of each word: a word begins where a token's text begins with a space; the end mark is alone."""
        start = 0
        for index in range(1, len(self.tokens)):
            if self.tokens[index][:1].isspace() or index == len(self.tokens) - 1:
                yield slice(start, index)
                start = index
        yield slice(start, len(self.tokens))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that the command line prints and the API returns; log-probabilities in nats.

        ``margin`` (nats, and per token) is the distance of the winner from the next hypothesis, null if it is the only
        one. ``window``, in seconds, is there for a sound only; ``notices`` only if there are any.
        """
        second, length = self.runner_up, len(self.tokens)
        margin = None if second is None else second.nll - self.winner.nll
        notices = [*self.notices, *([self.unknown_notice] if self.unknown else [])]
        return {
            "media": self.media,
            "model": self.model,
            "seconds": self.seconds,
            **({"window": self.window.to_dict()} if self.window else {}),
            **({"notices": notices} if notices else {}),
            "caption": self.caption,
            "tokens": list(self.tokens),
            "unknown": list(self.unknown),
            "systems": [system.to_dict() for system in self.systems],
            "winner": self.winner.id,
            "margin": margin,
            "mean_margin": None if margin is None else margin / length,
        }
