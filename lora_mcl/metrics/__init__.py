"""Measures of captions: their quality against references, how different they are, and their likelihood."""

from lora_mcl.metrics.diversity import Diversity, distinct_n, diversity, mutual_bleu, vocabulary, words
from lora_mcl.metrics.likelihood import Likelihood, likelihood
from lora_mcl.metrics.quality import METRICS, Quality, SetScore, Unavailable, quality, set_score
from lora_mcl.metrics.tokens import Tokenized, tokenize

__all__ = [
    "METRICS",
    "Diversity",
    "Likelihood",
    "Quality",
    "SetScore",
    "Tokenized",
    "Unavailable",
    "distinct_n",
    "diversity",
    "likelihood",
    "mutual_bleu",
    "quality",
    "set_score",
    "tokenize",
    "vocabulary",
    "words",
]
