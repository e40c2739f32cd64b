"""Quality of K captions an example against its references: CIDEr-D, BLEU, ROUGE-L, METEOR, SPICE and SPIDEr.

The scorers are those of the COCO evaluation (package pycocoevalcap), which the paper's tool chain equals. A metric that
cannot be computed here is ``Unavailable`` with the reason; no other score takes its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np

from lora_mcl.metrics.tokens import Tokenized, TokenKind, has_coco_tools, has_java, tokenize

METRICS = ("cider_d", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor", "spice", "spider")
SPICE_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

# METEOR stops at a decimal comma; SPICE's libraries reach into classes that Java 17 closes.
_OPENED = ("lang", "math", "util", "util.concurrent", "net", "text")
_JAVA_OPTIONS = " ".join(
    ["-Duser.language=en", "-Duser.country=US", *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED)]
)


@dataclass(frozen=True)
class Unavailable:
    """A metric that cannot be computed here."""

    reason: str

    def __str__(self) -> str:
        return f"unavailable: {self.reason}"


@dataclass(frozen=True)
class SetScore:
    """A metric over B examples with K captions each.

    Attributes:
        best: mean over examples of the largest score among the K captions, the paper's "oracle".
        mean: over all captions.
        worst: mean over examples of the smallest.
    """

    best: float
    mean: float
    worst: float


Scores = np.ndarray | Unavailable
"""[B, K] scores of single captions, or the reason why there are none."""


@dataclass(frozen=True, eq=False)
class Quality:
    """Scores of single captions by metric, in the order of ``METRICS``.

    Attributes:
        tokens: what the captions were cut into; scores on ``words`` are not the published tools' to the last digit.
        scores: [B, K] of every metric. CIDEr-D is 0 to 10, the others 0 to 1 (SPIDEr 0 to 5.5).
    """

    tokens: TokenKind
    scores: Mapping[str, Scores]

    def report(self) -> dict[str, SetScore | Unavailable]:
        """Best, mean and worst of every metric."""
        return {
            name: scores if isinstance(scores, Unavailable) else set_score(scores)
            for name, scores in self.scores.items()
        }


def set_score(scores: np.ndarray) -> SetScore:
    """Best, mean and worst over captions of scores [B, K], each a mean over examples."""
    return SetScore(float(scores.max(1).mean()), float(scores.mean()), float(scores.min(1).mean()))


def quality(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Quality:
    """Score [B][K] captions against each example's references, [B] lists of any length.

    Raises:
        ValueError: no example, different numbers of captions, or an example without a reference.
    """
    _check(captions, references)
    if not has_coco_tools():
        missing = Unavailable("install pycocoevalcap (pip install pycocoevalcap)")
        return Quality("words", dict.fromkeys(METRICS, missing))
    found = tokenize([*captions, *references])
    return quality_of_tokens(Tokenized(found.kind, found.captions[: len(captions)]), found.captions[len(captions) :])


def quality_of_tokens(captions: Tokenized, references: Sequence[Sequence[str]]) -> Quality:
    """``quality`` of captions and references that are tokens already, joined by spaces."""
    _check(captions.captions, references)
    scores: dict[str, Scores] = {"cider_d": cider_d(captions.captions, references)}
    scores |= {f"bleu_{n}": of_n for n, of_n in enumerate(bleu(captions.captions, references), 1)}
    scores["rouge_l"] = rouge_l(captions.captions, references)
    scores["meteor"] = meteor(captions.captions, references)
    scores["spice"] = spice(captions.captions, references)
    scores["spider"] = spider(scores["cider_d"], scores["spice"])
    return Quality(captions.kind, scores)


def cider_d(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr-D [B, K] (Vedantam et al. 2015); document frequencies are those of the references, the same for every k.

    One call for each k: in one call for all, the captions' own n-grams would count as more documents.
    """
    from pycocoevalcap.cider.cider import Cider

    return _each_k(lambda gts, res: Cider().compute_score(gts, res)[1], captions, references)


def bleu(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Sentence BLEU-1 to BLEU-4, each [B, K], with the COCO evaluation's constants in place of smoothing."""
    from pycocoevalcap.bleu.bleu import Bleu

    def score(gts: dict[int, list[str]], res: dict[int, list[str]]) -> list[list[float]]:
        return Bleu(4).compute_score(gts, res, verbose=0)[1]

    per_k = [score(*_texts(captions, references, k)) for k in range(len(captions[0]))]
    return [np.array([of_k[n] for of_k in per_k], dtype=float).T for n in range(4)]


def rouge_l(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
    """ROUGE-L [B, K] with beta 1.2, the best precision and the best recall over references."""
    from pycocoevalcap.rouge.rouge import Rouge

    return _each_k(lambda gts, res: Rouge().compute_score(gts, res)[1], captions, references)


def meteor(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Scores:
    """METEOR 1.5 [B, K] for English (Denkowski and Lavie 2014), by its jar; all captions in one call."""
    if not has_java():
        return Unavailable("METEOR is a Java program, and there is no java on the path (Debian: default-jre-headless)")
    from pycocoevalcap.meteor.meteor import Meteor

    flat = [(caption, refs) for row, refs in zip(captions, references, strict=True) for caption in row]
    with _java_options():
        scorer = Meteor()
    gts = {number: list(refs) for number, (_, refs) in enumerate(flat)}
    res = {number: [caption] for number, (caption, _) in enumerate(flat)}
    try:
        scores = scorer.compute_score(gts, res)[1]
    except (ValueError, OSError) as error:
        # The failure leaves its lock taken, for which the scorer's own end would wait for ever, and text in its pipe.
        scorer.lock.release()
        with suppress(OSError):
            scorer.meteor_p.stdin.close()
        return Unavailable(f"METEOR's Java program failed ({error})")
    return np.array(scores).reshape(len(captions), -1)


def spice(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], jars: Path | None = None) -> Scores:
    """SPICE [B, K] (Anderson et al. 2016), if the two CoreNLP 3.6.0 jars are where its jar looks for them.

    Args:
        jars: folder that must hold ``SPICE_JARS``; by default ``spice/lib`` of the installed pycocoevalcap. Nothing is
            downloaded.
    """
    if not has_java():
        return Unavailable("SPICE is a Java program, and there is no java on the path (Debian: default-jre-headless)")
    import pycocoevalcap.spice

    jars = jars or Path(pycocoevalcap.spice.__file__).parent / "lib"
    if missing := [name for name in SPICE_JARS if not (jars / name).is_file()]:
        return Unavailable(f"SPICE needs {' and '.join(missing)} of Stanford CoreNLP in spice/lib of pycocoevalcap")
    from pycocoevalcap.spice.spice import Spice

    try:
        with _java_options():
            return _each_k(
                lambda gts, res: [one["All"]["f"] for one in Spice().compute_score(gts, res)[1]], captions, references
            )
    except (CalledProcessError, OSError) as error:
        return Unavailable(f"SPICE's Java program failed ({error})")


def spider(cider_d: Scores, spice: Scores) -> Scores:
    """SPIDEr [B, K]: half of CIDEr-D plus SPICE of one caption, so that its oracle is taken on the sum."""
    if isinstance(cider_d, Unavailable):
        return cider_d
    return spice if isinstance(spice, Unavailable) else (cider_d + spice) / 2


def with_fluency_penalty(spider: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """SPIDEr-FL [B, K]: SPIDEr times 1 - .9 where a fluency classifier finds an error (1) and not (0)."""
    return spider * (1 - 0.9 * errors)


Texts = dict[int, list[str]]


def _texts(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], k: int) -> tuple[Texts, Texts]:
    """References, and caption k, by example number, as pycocoevalcap takes them."""
    return dict(enumerate(map(list, references))), {number: [row[k]] for number, row in enumerate(captions)}


def _each_k(
    score: Callable[[Texts, Texts], Sequence[float]],
    captions: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
) -> np.ndarray:
    per_k = [score(*_texts(captions, references, k)) for k in range(len(captions[0]))]
    return np.array(per_k, dtype=float).T


def _check(captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> None:
    if len(captions) != len(references):
        raise ValueError(f"there are captions of {len(captions)} examples and references of {len(references)}")
    if not captions or len({len(row) for row in captions}) != 1 or not captions[0]:
        raise ValueError("every example must have the same number of captions, at least one")
    if not all(references):
        raise ValueError("every example must have at least one reference")


@contextmanager
def _java_options() -> Iterator[None]:
    """The environment that the Java programs are started in, then the process' own again."""
    name = "JAVA_TOOL_OPTIONS"
    before = os.environ.get(name)
    os.environ[name] = f"{before} {_JAVA_OPTIONS}" if before else _JAVA_OPTIONS
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
