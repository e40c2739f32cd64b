"""One moment of a training on a Markov mixture, as it is recorded; reading it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Snapshot:
    """The hypotheses after `step` updates, on the evaluation sequences.

    Attributes:
        loss: mean over sequences of the best hypothesis' loss, nats per token.
        nll: [K], each hypothesis' mean loss over all sequences.
        wins: [Z][K], share of each chain's sequences won by each hypothesis.
        first: [K][S][S], matrices read at the first position.
        later: [K][S][S], matrices read in the midst of the sequences.
        winners: of the watched sequences.
    """

    step: int
    loss: float
    nll: tuple[float, ...]
    wins: Matrix
    first: tuple[Matrix, ...]
    later: tuple[Matrix, ...]
    winners: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with four decimals."""
        return {item.name: _rounded(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Snapshot:
        """The snapshot whose `to_dict` was stored as JSON.

        Raises:
            KeyError: a field is missing.
        """
        return cls(**{item.name: to_tuples(values[item.name]) for item in fields(cls)})


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def to_tuples(value: Any) -> Any:
    """Nested lists as nested tuples; anything else as it is."""
    return tuple(to_tuples(item) for item in value) if isinstance(value, list) else value
