"""Diversity of several captions of the same image or sound.

Definitions of the LoRA-MCL paper's evaluation, on plain words instead of the Penn Treebank tokens of its Java
tool chain (the two differ only on rare forms such as 'quoted' words); call the results "on words".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Words = Sequence[str]

_SEPARATORS = re.compile(r"[,.!?;:\"“”„«»()\[\]{}<>*\-#/+_~\\×…–—]")
_ORDERS = (1, 2, 3, 4)
# Constants of the COCO caption BLEU: they keep an order without any n-gram finite.
_TINY = 1e-15
_SMALL = 1e-9


@dataclass(frozen=True)
class Diversity:
    """Diversity of K >= 2 captions.

    Attributes:
        distinct_1: distinct words over all words; 1 means that no word occurs twice.
        distinct_2: distinct word pairs over all words.
        mutual_bleu: mBLEU-4, 0 to 1; lower is more diverse, 1 means equal captions.
    """

    distinct_1: float
    distinct_2: float
    mutual_bleu: float


def diversity(captions: Sequence[str]) -> Diversity | None:
    """Diversity of the K captions of one image or sound; ``None`` for fewer than two, where it means nothing."""
    if len(captions) < 2:
        return None
    split = [words(caption) for caption in captions]
    return Diversity(distinct_n([split], 1), distinct_n([split], 2), mutual_bleu([split]))


def words(caption: str) -> list[str]:
    """Lower-case words of a caption; punctuation and hyphens separate, apostrophes stay ("l'orange")."""
    return _SEPARATORS.sub(" ", caption.lower().replace("’", "'")).split()


def distinct_n(examples: Sequence[Sequence[Words]], n: int) -> float:
    """Div-n of B examples with K captions each, as words.

    Per example, the distinct n-grams of its K captions together over their total number of *words* (also for
    n = 2, as in the paper's evaluation); then the mean over examples. Higher is more diverse.
    """
    ratios = []
    for captions in examples:
        distinct = {gram for caption in captions for gram in _ngrams(caption, n)}
        ratios.append(len(distinct) / (1e-6 + sum(len(caption) for caption in captions)))
    return sum(ratios) / len(ratios)


def vocabulary(examples: Sequence[Sequence[Words]]) -> int:
    """Number of distinct words over all captions of B examples."""
    return len({word for captions in examples for caption in captions for word in caption})


def mutual_bleu(examples: Sequence[Sequence[Words]], *, always_4: bool = False) -> float:
    """mBLEU-4 of B examples with the same number K >= 2 of captions each, as words.

    For each k, the corpus BLEU-4 over all examples of caption k against the example's other K - 1 captions,
    then the mean over k. 0 to 1, lower is more diverse, 1 for equal captions. Where no caption has four words, the
    longest n-grams there are take the place of 4-grams.

    Args:
        always_4: count 4-grams in any case, as the COCO code and the paper's evaluation do: where no caption has four
            words, their constants are all that is left, and equal captions get .03.

    Raises:
        ValueError: no example, fewer than two captions, or not the same number everywhere.
    """
    sizes = {len(captions) for captions in examples}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ValueError("mutual BLEU needs examples with the same number of captions, two or more")
    (size,) = sizes
    scores = []
    for k in range(size):
        candidates = [captions[k] for captions in examples]
        others = [[caption for j, caption in enumerate(captions) if j != k] for captions in examples]
        scores.append(_corpus_bleu(candidates, others, always_4))
    return sum(scores) / size


def _corpus_bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]], always_4: bool) -> float:
    """BLEU-4 of B candidates against their references: counts are summed over the corpus before any ratio."""
    hits = dict.fromkeys(_ORDERS, 0)
    totals = dict.fromkeys(_ORDERS, 0)
    candidate_length = reference_length = 0
    for candidate, others in zip(candidates, references, strict=True):
        candidate_length += len(candidate)
        reference_length += min((abs(len(other) - len(candidate)), len(other)) for other in others)[1]
        for n in _ORDERS:
            largest: Counter[tuple[str, ...]] = Counter()
            for other in others:
                largest |= Counter(_ngrams(other, n))
            found = Counter(_ngrams(candidate, n))
            hits[n] += (found & largest).total()
            totals[n] += found.total()
    if not totals[1]:  # no words: equal to references without words, and to no others
        return float(reference_length == 0)
    orders = [n for n in _ORDERS if totals[n] or always_4]
    precision = math.prod((hits[n] + _TINY) / (totals[n] + _SMALL) for n in orders) ** (1 / len(orders))
    return precision * min(1.0, math.exp(1 - reference_length / candidate_length))


def _ngrams(caption: Words, n: int) -> list[tuple[str, ...]]:
    return [tuple(caption[i : i + n]) for i in range(len(caption) - n + 1)]
