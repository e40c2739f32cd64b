"""Tokens of captions as the COCO evaluation cuts them: Penn Treebank tokens by Java, or plain words without it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lora_mcl.metrics.diversity import words

TokenKind = Literal["ptb", "words"]

# What Java and str.splitlines take as the end of a line: one inside a caption would shift all captions after it.
_LINE_ENDS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


@dataclass(frozen=True)
class Tokenized:
    """Captions as tokens joined by spaces.

    Attributes:
        kind: ``ptb``, Penn Treebank tokens; or ``words``, where Java or the tokenizer's jar is missing. The two differ
            on rare forms only ("it's" is two Penn Treebank tokens and one word).
        captions: [B][K]; a caption may be empty.
    """

    kind: TokenKind
    captions: tuple[tuple[str, ...], ...]


def has_java() -> bool:
    """Whether there is a ``java`` on the path."""
    return shutil.which("java") is not None


def tokenize(captions: Sequence[Sequence[str]], kind: TokenKind | None = None) -> Tokenized:
    """Tokens of [B][K] captions: lower case, without punctuation (official evaluation, ``Qwen2-Audio/metrics``).

    Before the Penn Treebank tokenizer punctuation is replaced by spaces, as in the official evaluation, so that a
    bracket does not become the word "-lrb-" and "T-shirt" is two tokens.

    Args:
        kind: by default Penn Treebank tokens if there are Java and pycocoevalcap, otherwise words.

    Raises:
        RuntimeError: the Penn Treebank tokenizer failed or gave another number of captions.
        ImportError: Penn Treebank tokens are asked for without pycocoevalcap.
    """
    clean = [[" ".join(words(_LINE_ENDS.sub(" ", caption))) for caption in row] for row in captions]
    if kind is None:
        kind = "ptb" if has_java() and has_coco_tools() else "words"
    if kind == "words":
        return Tokenized("words", tuple(map(tuple, clean)))
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    flat = [caption for row in clean for caption in row]
    # One entry a caption: the tokenizer drops trailing empty ones from a list and fills no gap. A full stop keeps the
    # line of an empty caption; the tokenizer removes it.
    asked = {number: [{"caption": f"{caption} ."}] for number, caption in enumerate(flat)}
    found = PTBTokenizer().tokenize(asked)
    if sorted(found) != sorted(asked) or any(len(lines) != 1 for lines in found.values()):
        raise RuntimeError(f"The Penn Treebank tokenizer gave {len(found)} captions for {len(asked)}.")
    tokens = iter([found[number][0] for number in range(len(flat))])
    return Tokenized("ptb", tuple(tuple(next(tokens) for _ in row) for row in clean))


def has_coco_tools() -> bool:
    """Whether the package pycocoevalcap is installed."""
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError:
        return False
    return True
