"""Make the page's examples from the committed pack.

    python -m training.embedded.examples image

Writes ``assets/examples/image`` with its ``examples.json``.
"""

from __future__ import annotations

import json

from training.embedded.common.domain import load_domain, stage_parser


def main() -> None:
    domain = load_domain(stage_parser(__doc__).parse_args().domain)
    folder = domain.examples_dir
    folder.mkdir(parents=True, exist_ok=True)
    listing = json.dumps(domain.reporting.write_examples(folder), indent=2, ensure_ascii=False)
    (folder / "examples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
