"""Train the score head of a bundle: which hypothesis will win, predicted before anything is written.

    python -m training.score_head --model build/own-images/bundle --data my-photos
    python -m training.score_head --model BUNDLE --data NAME_OR_FOLDER --report ranking.json --dry-run

To be run after the adapters are trained, on captioned media that they were not trained on if there are some. The
winner of a caption is the hypothesis with the least loss on it. By a hash of their names 60 % of the media train the
head, 20 % stop its training and calibrate it, and 20 % measure it, next to two simpler rankings: the hypotheses' own
mean log-probability per token of what they write, and the frequency with which each wins. Only a head that is better
than both is saved into the bundle (``score_head.safetensors`` and an entry in ``bundle.json``); then the page marks the
hypothesis that is predicted to win. The guide: ``docs/evaluation.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lora_mcl.bundle import Bundle, ScoreHeadRef, load_bundle, save_bundle
from lora_mcl.bundle.card import GENERATED, license_of, model_card
from lora_mcl.bundle.hub import CARD
from lora_mcl.bundle.references import SCORE_HEAD_FILE
from lora_mcl.decoding import Greedy
from lora_mcl.errors import OptionsError
from lora_mcl.models.labels import ChatLabels
from lora_mcl.output_paths import check_output_file
from lora_mcl.score_head import ScoreHead
from training.data import DataError, load_examples
from training.embedded.common.tables import percent, table
from training.evaluate import load_evaluator
from training.evaluation.captioning import Evaluator, Medium, group_by_media
from training.evaluation.command import add_data_options, run_command
from training.evaluation.options import EvaluationOptions, data_options
from training.evaluation.systems import System, hypothesis_rows_of
from training.evaluation.winners import Winners, calibration, fit_score_head, win_frequency, winner_losses

FEWEST_MEDIA = 20
HEAD, LOG_PROBABILITY, FREQUENCY = "score head", "log-probability", "frequency"
# The head's gain over a simpler ranking must be this many standard errors from nothing.
LEAST_ERRORS = 2.0


@dataclass(frozen=True, eq=False)
class Seen:
    """What a medium's captions say about the hypotheses.

    Attributes:
        state: [D], of its prompt.
        winners: [R], of each of its captions.
        log_prob: [K] mean log-probability per token of what each hypothesis writes; None where it was not asked for.
    """

    state: Tensor
    winners: Tensor
    log_prob: Tensor | None = None


def parts_of(media: Sequence[Medium]) -> tuple[list[Medium], list[Medium], list[Medium]]:
    """Media that train the head, that calibrate it, and that measure it: by a hash of their file names.

    Raises:
        DataError: there are too few.
    """
    if len(media) < FEWEST_MEDIA:
        raise DataError(f"{len(media)} media are too few for a score head: give {FEWEST_MEDIA} or more")
    # Without the folder, so that the parts are the same on every machine.
    order = sorted(media, key=lambda medium: hashlib.sha256(Path(medium.name).name.encode()).digest())
    fifth = len(order) // 5
    return order[2 * fifth :], order[fifth : 2 * fifth], order[:fifth]


def look_at(evaluator: Evaluator, media: Sequence[Medium], progress: tqdm, write: bool = False) -> list[Seen]:
    """State and winners of each medium; media that cannot be decoded are left out with a warning.

    Args:
        write: let the hypotheses write too, for their log-probabilities.

    Raises:
        DataError: more than ``MAX_BROKEN`` media cannot be decoded, or none can.
    """
    labels = ChatLabels(evaluator.model, evaluator.bundle.prompt)
    hypotheses = hypothesis_rows_of(evaluator.bundle, evaluator.stack)
    system = System("hypotheses", hypotheses, Greedy())
    seen: list[Seen] = []
    for batch, contents in evaluator.batches(media, progress):
        states = evaluator.states(contents)
        written = evaluator.decode(contents, system)[0] if write else [None] * len(batch)
        for state, scored, own in zip(states, evaluator.score(contents, batch, labels), written, strict=True):
            nll = torch.tensor(scored["nll"])[: len(hypotheses)]  # [K, R]; the baseline's is the last row
            log_prob = None if own is None else torch.tensor([one.mean_log_prob for one in own])
            seen.append(Seen(state, nll.argmin(dim=0), log_prob))
    if not seen:
        raise DataError("none of the media can be decoded")
    return seen


def winners_of(seen: Sequence[Seen]) -> Winners:
    """One row for each caption."""
    return Winners(
        torch.stack([one.state for one in seen for _ in one.winners]), torch.cat([one.winners for one in seen])
    )


def measured(head: ScoreHead, test: Sequence[Seen], frequency: Tensor) -> dict[str, dict[str, Any]]:
    """Calibration of each ranking on the media of the test.

    ``gain`` of the simpler ones: by how much the head's log loss is less, nats, as a mean over media; ``gain_error``:
    its standard error.
    """
    rows = winners_of(test)
    log_prob = torch.stack([one.log_prob for one in test for _ in one.winners])
    probabilities = {
        HEAD: head.log_probabilities(rows.states).exp(),
        LOG_PROBABILITY: log_prob.softmax(dim=1),
        FREQUENCY: frequency.expand(len(rows.winner), -1),
    }
    found = {name: calibration(one, rows.winner) for name, one in probabilities.items()}
    of_head = winner_losses(probabilities[HEAD], rows.winner)
    counts = [len(one.winners) for one in test]
    for name in (LOG_PROBABILITY, FREQUENCY):
        # Captions of one medium are not independent of one another.
        gains = (winner_losses(probabilities[name], rows.winner) - of_head).split(counts)
        means = torch.stack([of_medium.mean() for of_medium in gains])
        found[name] |= {
            "gain": round(float(means.mean()), 4),
            "gain_error": round(float(means.std() / len(means) ** 0.5), 4),
        }
    return found


def is_better(rankings: dict[str, dict[str, Any]]) -> bool:
    """Whether the head is clearly better than both simpler rankings."""
    simpler = (rankings[name] for name in (LOG_PROBABILITY, FREQUENCY))
    return all(one["gain"] > LEAST_ERRORS * one["gain_error"] for one in simpler)


def save_head(bundle: Bundle, head: ScoreHead | None, ranking: dict[str, Any], captions: int, frequency: float) -> None:
    """Put the head into the bundle, or take an earlier one out; a card that was generated is generated anew."""
    file = bundle.folder / SCORE_HEAD_FILE
    reference = None
    if head is not None:
        head.save(file)
        figures = {name: ranking[name] for name in ("accuracy", "log_loss", "ece")}
        reference = ScoreHeadRef(SCORE_HEAD_FILE, captions, frequency_log_loss=frequency, **figures)
    changed = replace(bundle, score_head=reference)
    save_bundle(changed)
    if head is None:
        file.unlink(missing_ok=True)
    card = bundle.folder / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    if GENERATED in text:
        card.write_text(model_card(changed, bundle.name, license_of(text)), encoding="utf-8")


def report_text(report: dict[str, Any]) -> str:
    """The rankings and the head's reliability as Markdown."""
    rows = [
        [
            name,
            percent(one["accuracy"]),
            f"{one['log_loss']:.3f}",
            f"{one['ece']:.3f}",
            f"{one['gain']:+.3f} ± {one['gain_error']:.3f}" if "gain" in one else "–",
        ]
        for name, one in report["rankings"].items()
    ]
    curve = [
        [f"{100 * sure:.0f} %", f"{100 * right:.0f} %", str(count)]
        for sure, right, count in report["rankings"][HEAD]["reliability"]
    ]
    kept = (
        "The head is better than both simpler rankings."
        if report["better"]
        else "The head is not clearly better than both simpler rankings: the bundle has none."
    )
    rankings = table(["ranking by", "winner predicted", "log loss, nats", "ECE", "gain of the head"], rows)
    return f"{rankings}\n\n{table(['predicted', 'right', 'captions'], curve)}\n\n{kept}"


def train_score_head(
    model: str,
    data: str,
    *,
    media: str = "",
    hub_split: str = "test",
    limit: int = 0,
    batch: int = 4,
    device: str | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train and measure a bundle's score head, and save it if it is better; returns the report.

    Args:
        dry_run: leave the bundle as it is.

    Raises:
        LoraMclError: with a message for the user.
    """
    bundle = load_bundle(model)
    if len(bundle.hypotheses) < 2:
        raise OptionsError(f"{bundle.name} has one hypothesis: there is nothing to predict")
    if not Path(model).is_dir() and not dry_run:
        raise OptionsError("A score head is saved into a bundle in a folder, not into one on the Hub: fetch it first")
    examples = load_examples(data_options(data, media, bundle.modality, limit, hub_split))  # type: ignore[arg-type]
    parts = parts_of(group_by_media(examples))
    evaluator = load_evaluator(model, EvaluationOptions(batch=batch), device)
    with tqdm(total=sum(map(len, parts)), unit="media") as progress:
        fit, held_out, test = (look_at(evaluator, part, progress, write=part is parts[2]) for part in parts)
    known, hypotheses = winners_of(fit), len(bundle.hypotheses)
    head = fit_score_head(known, winners_of(held_out), hypotheses)
    rankings = measured(head, test, win_frequency(known.winner, hypotheses))
    named = {"fit": fit, "held_out": held_out, "test": test}
    captions = {name: sum(len(one.winners) for one in part) for name, part in named.items()}
    report = {
        "model": bundle.name,
        "hypotheses": hypotheses,
        "media": {name: len(part) for name, part in named.items()},
        "captions": captions,
        "rankings": rankings,
        "better": is_better(rankings),
    }
    if not dry_run:
        chosen = head if report["better"] else None
        save_head(bundle, chosen, rankings[HEAD], captions["test"], rankings[FREQUENCY]["log_loss"])
    return report


def parser() -> argparse.ArgumentParser:
    """The command line."""
    of_program = argparse.ArgumentParser(
        prog="python -m training.score_head", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = of_program.add_argument
    add("--model", required=True, metavar="BUNDLE", help="folder of a bundle of two or more hypotheses")
    add("--report", type=Path, metavar="FILE", help="write all figures there, as JSON")
    add("--dry-run", action="store_true", help="train and measure, and leave the bundle as it is")
    add_data_options(of_program)
    return of_program


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for a user's error, 130 when interrupted."""
    args = parser().parse_args(argv)

    def work() -> None:
        if args.report is not None:
            check_output_file(args.report, "--report")
        report = train_score_head(
            args.model,
            args.data,
            media=args.media,
            hub_split=args.hub_split,
            limit=args.limit,
            batch=args.batch,
            device=args.device,
            dry_run=args.dry_run,
        )
        if args.report is not None:
            args.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(report_text(report))

    return run_command("score_head", work, "the bundle is as it was")


if __name__ == "__main__":
    sys.exit(main())
