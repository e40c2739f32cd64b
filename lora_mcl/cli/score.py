"""Score a caption of an image or a sound under every hypothesis and the baseline::

python -m lora_mcl score photo.jpg --caption "Two cats on a table."
python -m lora_mcl score clip.wav --caption "Un chien aboie." --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lora_mcl.cli.loading import add_loading_options, bundle_for, load_captioner
from lora_mcl.errors import printable
from lora_mcl.images import modality_of
from lora_mcl.scores import CaptionScore


def run(args: argparse.Namespace) -> int:
    """Print the score as two tables, or as JSON."""
    path = Path(args.file)
    modality = modality_of(path)
    captioner = load_captioner(bundle_for(path, modality, args), args)
    score = captioner.score(path, args.caption, start=args.start)
    if args.json:
        print(json.dumps(score.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
        return 0
    notices = [score.window.notice if score.window else "", *score.notices, score.unknown_notice]
    for notice in notices:
        if notice:
            print(f"lora_mcl: {printable(notice)}", file=sys.stderr)
    print(score_table(score))
    return 0


def score_table(score: CaptionScore) -> str:
    """The NLL of each system, then the log-probability of each token, in nats, as aligned text."""
    title = f"{score.media} and {printable(score.caption)!r}, scored by {score.model} in {score.seconds:.1f} s"
    systems = [("system", "NLL", "per token", "")]
    for system in score.systems:
        note = "winner" if system is score.winner else "baseline" if system is score.baseline else ""
        systems.append((system.label, f"{system.nll:.2f}", f"{system.mean_nll:.3f}", note))
    ids = [str(k + 1) for k in range(len(score.hypotheses))]
    tokens = [("token", *ids, "baseline")]
    for text, *values in zip(score.tokens, *(system.log_probs for system in score.systems), strict=True):
        tokens.append((printable(text.strip()) or "·", *(f"{value:.2f}" for value in values)))
    tokens[-1] = ("(end)", *tokens[-1][1:])
    return "\n".join([title, "", *aligned(systems), "", *_verdict(score), "", *aligned(tokens)])


def _verdict(score: CaptionScore) -> list[str]:
    if score.runner_up is None:
        return [f"Likeliest under {score.winner.label}, the only hypothesis."]
    margin = score.runner_up.nll - score.winner.nll
    return [
        f"Likeliest under {score.winner.label}: {margin:.2f} nats ({margin / len(score.tokens):.3f} per token) ahead "
        f"of {score.runner_up.label}. Training gives a caption mostly to the hypothesis under which it is likeliest."
    ]


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table: the first column at its left, the others at their right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``score`` command."""
    score = commands.add_parser("score", help="score a given caption under every hypothesis")
    score.set_defaults(run=run)
    score.add_argument("file", metavar="FILE", help="an image or a sound")
    score.add_argument("--caption", metavar="TEXT", required=True, help="the caption, in any language")
    score.add_argument(
        "--start", metavar="SECONDS", type=float, help="where to begin in a long sound (by default at its first sound)"
    )
    add_loading_options(score)
    score.add_argument("--json", action="store_true", help="print JSON, not tables")
