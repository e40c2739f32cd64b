"""Mean and standard deviation over seeds, as numbers and as text; comparisons of two systems over their seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Literal

Relation = Literal["above", "level", "below"]


def mean_and_std(values: Iterable[float]) -> dict[str, float]:
    """``mean`` and population ``std``, rounded to four decimals."""
    values = [float(value) for value in values]
    return {"mean": round(fmean(values), 4), "std": round(pstdev(values), 4)}


def mean_and_std_text(figure: Mapping[str, float]) -> str:
    """Such as "1.2345 ± 0.0012"."""
    return f"{figure['mean']:.4f} ± {figure['std']:.4f}"


def over_starts(values: Sequence[float], digits: int) -> str:
    """Such as "1.23 ± 0.01", mean and population standard deviation; the value alone of a single start."""
    mean = f"{fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {pstdev(values):.{digits}f}"


def percent_over_starts(shares: Sequence[float]) -> str:
    """Such as "12.3 ± 0.4 %"."""
    return f"{over_starts([100 * share for share in shares], 1)} %"


def relation(ours: Sequence[float], theirs: Sequence[float], margin: float = 0.0) -> Relation:
    """Whether every start of ``ours`` is above (below) every one of ``theirs`` by more than ``margin``, or neither."""
    if min(ours) > max(theirs) + margin:
        return "above"
    return "below" if max(ours) < min(theirs) - margin else "level"
