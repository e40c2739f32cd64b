"""Options and results of a comparison: frozen values shared by library, command line and page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from PIL import Image

from lora_mcl.decoding.options import (
    DIVERSITY_PENALTY,
    LENGTH_PENALTY,
    REPETITION_PENALTY,
    check_finite,
    check_sampling,
)
from lora_mcl.errors import OptionsError
from lora_mcl.sounds import AudioClip, AudioView, Window

if TYPE_CHECKING:  # both import from here
    from lora_mcl.bundle import Bundle
    from lora_mcl.scores import CaptionScore

Method = Literal["hypothesis", "beam", "diverse-beam", "sampling"]
METHODS: tuple[Method, ...] = ("hypothesis", "beam", "diverse-beam", "sampling")


Media = Image.Image | AudioClip | str | Path


def never_stop() -> bool:
    """The ``should_stop`` of a caller that never stops."""
    return False


@dataclass(frozen=True)
class CompareOptions:
    """Options for captioning one image or sound, in every column.

    Attributes:
        num_beams: beams of the beam column and of the diverse-beam column; each lists this many captions.
        num_beam_groups: groups of diverse beam search; must divide ``num_beams``.
        diversity_penalty: what diverse beam search subtracts from a token's log-probability (nats) for each
            earlier group that chose it at the same step (Vijayakumar et al. 2018, Hamming diversity).
        hypothesis_beams: beams of each hypothesis; 1 is greedy decoding.
        max_new_tokens: longest caption, in tokens.
        min_new_tokens: shortest caption, in tokens; no caption ends before.
        repetition_penalty: divides the score of tokens already written (multiplies a negative one); 1 is off.
        no_repeat_ngram_size: no sequence of so many tokens is written twice in a caption; 0 is off.
        length_penalty: exponent of the length by which finished beams are ranked; 1 ranks by the mean.
        num_samples: captions of the sampling column; 0 leaves the column out.
        temperature, top_k, top_p, typical_p, seed: of the sampling column; see ``decoding.Sampling``.
        columns: ids of the columns to fill, in any order; empty for all. Of K hypotheses some are chosen by it.

    Raises:
        OptionsError: a value is out of range, or the groups do not divide the beams.
    """

    num_beams: int = 3
    num_beam_groups: int = 3
    diversity_penalty: float = 0.8
    hypothesis_beams: int = 1
    max_new_tokens: int = 48
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    length_penalty: float = 1.0
    num_samples: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 0.95
    typical_p: float = 1.0
    seed: int = 0
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.columns, tuple) or not all(isinstance(id, str) for id in self.columns):
            raise OptionsError(f"columns must be ids of columns, such as hypothesis-0 and beam, not {self.columns!r}.")
        for name, largest in _LARGEST.items():
            value, least = getattr(self, name), 0 if name in _FROM_0 else 1
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= largest:
                raise OptionsError(f"{name} must be a whole number from {least} to {largest}, not {value!r}.")
        for name, (least, most) in RANGES.items():
            check_finite(name, getattr(self, name), least=least, most=most)
        if self.num_beams % self.num_beam_groups:
            raise OptionsError(
                f"num_beam_groups must divide num_beams: {self.num_beams} beams cannot be split into "
                f"{self.num_beam_groups} equal groups."
            )
        if self.min_new_tokens > self.max_new_tokens:
            raise OptionsError(
                f"min_new_tokens must be at most max_new_tokens: {self.min_new_tokens} > {self.max_new_tokens}."
            )
        # Whether or not there is a sampling column.
        check_sampling(max(1, self.num_samples), self.temperature, self.top_k, self.top_p, self.typical_p, self.seed)

    def with_changes(self, changes: Mapping[str, Any]) -> CompareOptions:
        """These options with some changed.

        Where the beams are changed without the groups, the groups are fitted to them (``fitting_groups``).

        Raises:
            OptionsError: an option is unknown, or the result is out of range.
        """
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise OptionsError(f"{unknown[0]} is no option; there are {', '.join(sorted(known))}.")
        changes = dict(changes)
        beams = changes.get("num_beams")
        if isinstance(beams, int) and "num_beam_groups" not in changes:
            changes["num_beam_groups"] = fitting_groups(beams, self.num_beam_groups)
        return replace(self, **changes)


def fitting_groups(num_beams: int, num_beam_groups: int) -> int:
    """The largest number of equal groups that the beams can be split into, at most ``num_beam_groups``."""
    return max(groups for groups in range(1, max(1, num_beam_groups) + 1) if num_beams % groups == 0)


RANGES = {
    "diversity_penalty": DIVERSITY_PENALTY,
    "repetition_penalty": REPETITION_PENALTY,
    "length_penalty": LENGTH_PENALTY,
}
"""Smallest and largest value of penalties; see ``decoding.options`` for the temperature's."""

# Bounds that keep one request's batch and memory sane, far above what is useful.
_LARGEST = {
    "num_beams": 64,
    "num_beam_groups": 64,
    "hypothesis_beams": 64,
    "num_samples": 64,
    "max_new_tokens": 4096,
    "min_new_tokens": 4096,
    "no_repeat_ngram_size": 4096,
}
_FROM_0 = ("num_samples", "min_new_tokens", "no_repeat_ngram_size")


def hypothesis_number(id: str) -> int | None:
    """The k of ``hypothesis-<k>``; None for the id of another column."""
    method, _, number = id.rpartition("-")
    return int(number) if method == "hypothesis" else None


@dataclass(frozen=True)
class ColumnSpec:
    """One column of the comparison before anything is decoded.

    Attributes:
        id: ``hypothesis-<k>``, ``beam``, ``diverse-beam`` or ``sampling``.
        label: its heading.
        description: one line about it.
        revises: until the column is done, what it shows is provisional: it may be replaced, not only continued.
    """

    id: str
    method: Method
    label: str
    description: str
    revises: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, not {self.method!r}")

    @property
    def number(self) -> int | None:
        """Place of a hypothesis among the bundle's, from 0; None of other columns."""
        return hypothesis_number(self.id)


@dataclass(frozen=True)
class Caption:
    """One caption, finished or still being written.

    Attributes:
        text: what has been written so far, without special tokens.
        log_prob: sum of the log-probabilities of the tokens, in nats, the end mark included once reached.
        mean_log_prob: ``log_prob / tokens``; 0 before the first token.
        tokens: tokens scored, the end mark included once reached.
        score: what the column ranks its captions by, higher is better: of beams, the sum of the log-probabilities
            with all penalties, over ``tokens ** length_penalty``; ``None`` in a column that does not rank.
        least_log_prob: the smallest log-probability of a token, where decoding keeps it (greedy does); not in the JSON.
    """

    text: str
    log_prob: float
    mean_log_prob: float
    tokens: int
    score: float | None = None
    least_log_prob: float | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; ``score`` only where the column ranks by it."""
        return {
            "text": self.text,
            "log_prob": self.log_prob,
            "mean_log_prob": self.mean_log_prob,
            "tokens": self.tokens,
            **({} if self.score is None else {"score": self.score}),
        }


@dataclass(frozen=True)
class ColumnResult:
    """One column's captions, best first; samples in the order they were drawn in.

    Attributes:
        seconds: wall-clock time from the start of decoding until this column's last change.
        done: nothing more will be written in this column.
        win_probability: of a hypothesis, that it is the one that fits this medium best, as the bundle's score head
            predicts it from the medium alone; the K hypotheses' sum to 1. ``None`` without a head.
        predicted_winner: no hypothesis of its bundle has a higher one.
    """

    id: str
    method: Method
    label: str
    seconds: float
    captions: tuple[Caption, ...] = ()
    done: bool = False
    win_probability: float | None = None
    predicted_winner: bool = False

    @property
    def number(self) -> int | None:
        """Place of a hypothesis among the bundle's, from 0; None of other columns."""
        return hypothesis_number(self.id)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; ``win_probability`` and ``predicted_winner`` only where the bundle has a score head."""
        predicted = {"win_probability": self.win_probability, "predicted_winner": self.predicted_winner}
        return {
            "id": self.id,
            "method": self.method,
            "label": self.label,
            "seconds": self.seconds,
            **({} if self.win_probability is None else predicted),
            "captions": [caption.to_dict() for caption in self.captions],
        }


@dataclass(frozen=True)
class Comparison:
    """A snapshot of the whole comparison; the last one of an iteration has ``done`` or ``stopped`` set.

    Attributes:
        media: file name of what was captioned, ``"image"`` where it has none.
        model: name of the bundle.
        seconds: wall-clock time since the request was taken up, media reading and encoding included.
        columns: always every column, in the order of ``Captioner.columns``; a waiting one has no captions.
        window: the part of a sound that the model got; ``None`` for an image.
        notices: sentences for the user about how the input was read: what was guessed, or could not be read.
        done: every column finished by itself.
        stopped: the caller's ``should_stop`` ended it; what had been written is kept.
    """

    media: str
    model: str
    seconds: float
    columns: tuple[ColumnResult, ...]
    window: Window | None = None
    notices: tuple[str, ...] = ()
    done: bool = False
    stopped: bool = False

    def column(self, id: str) -> ColumnResult:
        """The column of that id; ``KeyError`` if there is none."""
        for column in self.columns:
            if column.id == id:
                return column
        raise KeyError(id)

    def with_win_probabilities(self, probabilities: Sequence[float]) -> Comparison:
        """The same with the K hypotheses' predicted probabilities of winning in their columns."""
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        columns = tuple(
            column
            if column.number is None
            else replace(column, win_probability=probabilities[column.number], predicted_winner=column.number == best)
            for column in self.columns
        )
        return replace(self, columns=columns)

    def captions(self, method: Method) -> tuple[str, ...]:
        """The texts of all columns of one method, in order: what its diversity is measured on."""
        return tuple(caption.text for column in self.columns if column.method == method for caption in column.captions)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that the command line prints and the API returns; log-probabilities in nats.

        ``window``, in seconds, is there for a sound only; ``notices`` only if there are any.
        """
        return {
            "media": self.media,
            "model": self.model,
            "seconds": self.seconds,
            **({"window": self.window.to_dict()} if self.window else {}),
            **({"notices": list(self.notices)} if self.notices else {}),
            "columns": [column.to_dict() for column in self.columns],
        }


class CaptionSource(Protocol):
    """Interface of a captioner that the page needs: ``lora_mcl.Captioner``, or one that computes elsewhere.

    ``BundleCaptioner`` implements all but ``compare`` and ``score``.
    """

    @property
    def bundle(self) -> Bundle:
        """The bundle."""

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def defaults(self) -> CompareOptions:
        """The options the bundle recommends."""

    def columns(self, options: CompareOptions | None = None) -> tuple[ColumnSpec, ...]:
        """The columns that ``compare`` will fill, hypotheses first."""

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Yield snapshots until one is ``done`` or ``stopped``; raises ``MediaError`` or ``OptionsError``."""

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Log-probabilities of a given caption; raises ``MediaError`` or ``OptionsError``."""


class AudioCaptionSource(CaptionSource, Protocol):
    """Interface of a captioner of sounds."""

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The model's part of a sound, from second ``start``; raises ``MediaError`` or ``OptionsError``."""
