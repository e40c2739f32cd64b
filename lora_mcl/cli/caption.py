"""Caption one image from the command line::

python -m lora_mcl caption photo.jpg
python -m lora_mcl caption photo.jpg --beams 6 --groups 3 --diversity-penalty 1.0 --json
python -m lora_mcl caption photo.jpg --model path/to/bundle
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from lora_mcl.bundle import EMBEDDED_BUNDLE
from lora_mcl.captioner import Captioner
from lora_mcl.media import load_image
from lora_mcl.results import CompareOptions, Comparison


def run(given: argparse.Namespace) -> int:
    """Caption one file and print the comparison."""
    # Refused here, a bad file does not cost the loading of a large model.
    load_image(given.file)
    captioner = Captioner.load(given.model)
    options = _options(captioner.defaults, given)
    *_, comparison = captioner.compare(given.file, options)
    if given.json:
        print(json.dumps(comparison.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print(table(comparison))
    return 0


def table(comparison: Comparison) -> str:
    """The comparison as aligned text: one line per caption, best first, log-probabilities in nats."""
    rows = [("column", "seconds", "tokens", "log p/token", "caption")]
    for column in comparison.columns:
        heading = (column.label, f"{column.seconds:.2f}")
        for caption in column.captions:
            text = " ".join(caption.text.split())
            rows.append((*heading, str(caption.tokens), f"{caption.mean_log_prob:.3f}", text))
            heading = ("", "")
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:4], widths[1:]), row[4]]).rstrip() for row in rows
    ]
    title = f"{comparison.media} captioned by {comparison.model} in {comparison.seconds:.1f} s"
    return "\n".join([title, "", *lines])


def _options(defaults: CompareOptions, given: argparse.Namespace) -> CompareOptions:
    """The bundle's defaults, changed where the user asked for something."""
    asked = {
        "num_beams": given.beams,
        "num_beam_groups": given.groups,
        "diversity_penalty": given.diversity_penalty,
        "max_new_tokens": given.max_new_tokens,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    if given.beams is not None and given.groups is None and given.beams % defaults.num_beam_groups:
        # The bundle's groups do not divide these beams: then a group for each.
        changes["num_beam_groups"] = given.beams
    return replace(defaults, **changes)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``caption`` command."""
    caption = commands.add_parser("caption", help="caption an image in every column")
    caption.set_defaults(run=run)
    caption.add_argument("file", metavar="FILE", help="the image")
    caption.add_argument(
        "--model",
        metavar="BUNDLE",
        default=str(EMBEDDED_BUNDLE),
        help="bundle folder or Hub id; the embedded image bundle by default",
    )
    caption.add_argument("--beams", metavar="B", type=int, help="beams of both baselines")
    caption.add_argument("--groups", metavar="G", type=int, help="groups of diverse beam search; must divide the beams")
    caption.add_argument(
        "--diversity-penalty",
        metavar="X",
        type=float,
        help="penalty for a token an earlier group chose, in nats",
    )
    caption.add_argument("--max-new-tokens", metavar="N", type=int, help="longest caption, in tokens")
    caption.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
