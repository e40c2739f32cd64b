"""Measure how well the frozen tower distinguishes things at best: a classifier on its features of one thing alone.

    python -m training.embedded.probe image

``seen`` are new pictures or clips of training material, ``unseen`` those of held-out material. Writes
``assets/results/image_probe.json``.
"""

from __future__ import annotations

import json
import os

from training.embedded.common.domain import load_domain, stage_parser


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    domain = load_domain(args.domain)
    text = json.dumps(domain.reporting.probe(args.workers), indent=2)
    domain.probe_file.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
