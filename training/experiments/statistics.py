"""Mean and standard deviation over seeds, as numbers and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean, pstdev


def mean_and_std(values: Iterable[float]) -> dict[str, float]:
    """``mean`` and population ``std``, rounded to four decimals."""
    values = [float(value) for value in values]
    return {"mean": round(fmean(values), 4), "std": round(pstdev(values), 4)}


def mean_and_std_text(figure: Mapping[str, float]) -> str:
    """Such as "1.2345 ± 0.0012"."""
    return f"{figure['mean']:.4f} ± {figure['std']:.4f}"
