"""Measures of captions: their quality against references, and how different they are.

Their likelihood is in ``metrics.likelihood``, which needs torch; these do not.
"""

from lora_mcl.metrics.diversity import Diversity, distinct_n, diversity, mutual_bleu, vocabulary, words
from lora_mcl.metrics.quality import METRICS, Quality, SetScore, Unavailable, quality, set_score
from lora_mcl.metrics.tokens import Tokenized, tokenize

__all__ = [
    "METRICS",
    "Diversity",
    "Quality",
    "SetScore",
    "Tokenized",
    "Unavailable",
    "distinct_n",
    "diversity",
    "mutual_bleu",
    "quality",
    "set_score",
    "tokenize",
    "vocabulary",
    "words",
]
