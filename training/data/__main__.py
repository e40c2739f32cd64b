"""Check training data before training: files, captions, and what cannot be decoded.

    python -m training.data my-photos
    python -m training.data captions.csv --media sounds
    python -m training.data TextCaps_0.1_train.json --kind coco --media train_images --limit 500

Exit status: 0 when all media can be decoded, 1 when some cannot, 2 when the data cannot be opened.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from lora_mcl.errors import LoraMclError, MediaError
from lora_mcl.images import modality_of
from lora_mcl.modality import Modality
from training.data.example import Example
from training.data.loading import load_examples
from training.data.options import DataOptions, Kind
from training.data.preprocess import as_file, decode_audio, decode_image

SAMPLING_RATE, MAX_SECONDS = 16_000, 30.0
"""In Hz and seconds; those of Whisper's encoders, and so of Qwen2-Audio. What can be used with these can be used with
others: the part of a sound that a model reads begins at the first sound."""


def broken(examples: Sequence[Example], modality: Modality | None) -> Iterator[tuple[Example, str]]:
    """Media that training would skip, with the reason: decoded by the same code as in training.

    Args:
        modality: of the model; by default each file is decoded as what it is.
    """
    seen = set()
    for example in examples:
        if example.media in seen:
            continue
        seen.add(example.media)
        try:
            with as_file(example) as path:
                kind = modality or modality_of(path)
            if kind == "image":
                decode_image(example)
            else:
                decode_audio(example, SAMPLING_RATE, MAX_SECONDS)
        except (MediaError, OSError) as error:
            yield example, str(error)


def summary(examples: Sequence[Example]) -> str:
    """How many media and captions, how they are shared out, and the first example."""
    counts = [len(example.captions) for example in examples]
    words = [len(caption.split()) for example in examples for caption in example.captions]
    each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    lines = [
        f"{len({example.media for example in examples})} media, {len(words)} captions ({each} each, "
        f"{sum(words) / len(words):.1f} words on average)"
    ]
    modes = Counter(example.mode for example in examples if example.mode is not None)
    if modes:
        lines.append("modes: " + ", ".join(f"{mode} {count}" for mode, count in sorted(modes.items())))
    lines.append(f"first: {examples[0].name}")
    lines += [f"       {caption}" for caption in examples[0].captions]
    return "\n".join(lines)


def _modality(options: DataOptions) -> Modality | None:
    """The modality that the options name; None if they name none."""
    return options.modality or {"audiocaps": "audio", "clotho": "audio", "coco": "image"}.get(options.kind)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m training.data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("path", help="a folder, a CSV, TSV, JSONL, JSON or parquet file, or a Hugging Face dataset")
    made.add_argument("--kind", choices=get_args(Kind), help="by default folder for a folder, table for a file")
    made.add_argument("--media", default="", help="folder that file names are relative to")
    made.add_argument("--modality", choices=("image", "audio"))
    made.add_argument("--split", default="train", help="subfolder, or split of a Hugging Face dataset (%(default)s)")
    made.add_argument("--max-missing", type=int, default=0, help="named files that need not be there")
    made.add_argument("--limit", type=int, default=0, help="only the first so many media")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        options = DataOptions(
            kind=args.kind or ("folder" if Path(args.path).is_dir() else "table"),
            path=args.path,
            media=args.media,
            modality=args.modality,
            split=args.split,
            max_missing=args.max_missing,
            limit=args.limit,
        )
        examples = load_examples(options)
    except LoraMclError as error:
        print(error, file=sys.stderr)
        return 2
    print(summary(examples))
    wrong = 0
    for example, reason in broken(examples, _modality(options)):
        wrong += 1
        print(f"cannot be decoded: {example.name}: {reason}")
    print(f"{wrong} of them cannot be decoded: training would skip them" if wrong else "all of them can be decoded")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
