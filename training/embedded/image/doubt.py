"""Signals that distinguish right captions of photographs from wrong ones, and their AUC.

    python -m training.embedded.image.doubt     # the committed bundle and results; writes assets/results/doubt.json

The test photographs' captions of objects, whose main thing was judged by ``real_photos``, are scored again. Each signal
is judged by its AUC: the probability that it is higher on a right caption than on a wrong one; 0.5 is chance. The
threshold of the best one is chosen on every other photograph and measured on the rest.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.captioner import Captioner
from lora_mcl.doubt import AGREEMENT_OF_BEAMS, PAGE_SIGNALS, agreement, captions_key
from lora_mcl.scores import CaptionScore
from training.embedded.image.material.assets import PACK_DIR
from training.embedded.image.real_photos import test_photographs
from training.paths import BUILD, RESULTS

Entry = dict[str, Any]


def auc(values: Sequence[float], right: Sequence[bool]) -> float:
    """Probability that a right one's value is above a wrong one's; equal values count half.

    Raises:
        ValueError: all are right, or all wrong.
    """
    above = [value for value, is_right in zip(values, right, strict=True) if is_right]
    below = [value for value, is_right in zip(values, right, strict=True) if not is_right]
    if not above or not below:
        raise ValueError("an AUC needs right and wrong captions")
    wins = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    return wins / (len(above) * len(below))


def signals(entry: Entry, objects: str, score: CaptionScore) -> dict[str, float]:
    """Every candidate signal of one photograph; higher is meant to be surer.

    Args:
        objects: the column that is judged, ``caption-gate/<k>``.
        score: of its caption.
    """
    k = int(objects.rpartition("/")[2])
    own, captions = score.hypotheses[k], entry["captions"]
    others = [system for system in score.systems if system is not own]
    hypotheses = [texts[0] for column, texts in captions.items() if column.startswith("caption-gate/")]
    return {
        "log_prob": -own.nll,
        "mean_log_prob": -own.mean_nll,
        "least_log_prob": min(own.log_probs),
        "baseline_mean_log_prob": -score.baseline.mean_nll,
        "mean_log_prob_of_all": -fmean(system.mean_nll for system in (own, *others)),
        "agreement_of_hypotheses": agreement(hypotheses),
        AGREEMENT_OF_BEAMS: agreement(captions["beam"]),
    }


def best_threshold(values: Sequence[float], right: Sequence[bool]) -> float:
    """The value with the highest mean of the shares of right ones at or above it and of wrong ones below it."""

    def balanced(threshold: float) -> float:
        sure = [value >= threshold for value in values]
        kept = fmean(s for s, r in zip(sure, right, strict=True) if r)
        caught = fmean(not s for s, r in zip(sure, right, strict=True) if not r)
        return (kept + caught) / 2

    return max(sorted(set(values)), key=balanced)


def report(measured: Sequence[tuple[dict[str, float], bool]]) -> dict[str, Any]:
    """AUC of each signal over all photographs; the page's best signal, with a threshold that is chosen on every other
    photograph and measured on the rest."""
    right = [is_right for _, is_right in measured]
    aucs = {name: round(auc([values[name] for values, _ in measured], right), 3) for name in measured[0][0]}
    chosen = max(PAGE_SIGNALS, key=aucs.__getitem__)
    fitted, held_out = measured[::2], measured[1::2]
    threshold = best_threshold([values[chosen] for values, _ in fitted], [is_right for _, is_right in fitted])
    sure = [is_right for values, is_right in held_out if values[chosen] >= threshold]
    doubted = [is_right for values, is_right in held_out if values[chosen] < threshold]
    return {
        "photographs": len(measured),
        "right": sum(right),
        "auc": aucs,
        "signal": chosen,
        # Down, so that the photograph it was taken from stays at or above it.
        "threshold": math.floor(threshold * 1e4) / 1e4,
        "held_out": {
            "sure": len(sure),
            "sure_right": sum(sure),
            "doubted": len(doubted),
            "doubted_right": sum(doubted),
        },
    }


def measure(
    captioner: Captioner, photographs: dict[str, Any], root: Path, say: Callable[[str], None] = print
) -> list[tuple[dict[str, float], bool]]:
    """Signals of each test photograph that is there, and whether its caption of objects names the main thing."""
    objects, entries = photographs["objects_column"], {entry["photograph"]: entry for entry in photographs["entries"]}
    measured = []
    for photo, path in test_photographs(root):
        entry = entries[photo.source.id]
        score = captioner.score(path, entry["captions"][objects][0])
        measured.append((signals(entry, objects, score), bool(entry["columns"][objects]["main"])))
        say(f"{len(measured)}/{len(entries)} {photo.source.id}")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--photographs", type=Path, help="the folder that holds real/ (default: build, or the committed pack)"
    )
    args = parser.parse_args()
    photographs = json.loads((RESULTS / "image.json").read_text(encoding="utf-8"))["photographs"]
    root = args.photographs or (BUILD if (BUILD / "real").is_dir() else PACK_DIR)
    found = report(measure(Captioner.load(EMBEDDED_BUNDLE), photographs, root))
    (beams,) = {len(entry["captions"]["beam"]) for entry in photographs["entries"]}
    found |= {"column": photographs["objects_column"], "captions": captions_key(photographs), "beams": beams}
    (RESULTS / "doubt.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
