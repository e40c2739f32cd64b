"""Make a bilingual data set of a captioning one: the captions of half of the images are replaced by translations.

    python -m training.data.bilingual TextCaps_0.1_train.json train-half-french.json
    python -m training.data.bilingual captions.json half-german.json --prefix "translate English to German: " --mode de

Reads TextCaps' and COCO's JSON, and keeps all else that is in it. Which images are translated is drawn by the seed.
Started again after it was stopped, the command goes on where it was. Annotations of translated images get a ``mode``,
which is for measuring only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from lora_mcl.errors import LoraMclError, OptionsError
from training.data.example import DataError

USER_ERROR = 2
_LISTS = ("data", "annotations")
"""Where annotations are: in TextCaps' form, in COCO's."""
_ONE, _SEVERAL = ("caption_str", "caption"), ("reference_strs",)

logger = logging.getLogger(__name__)

Translate = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class BilingualOptions:
    """Options of the translation.

    Attributes:
        model: folder or Hub id of a translating encoder-decoder; the paper took t5-small.
        prefix: the instruction, before each caption.
        mode: what translated annotations are marked with.
        share: of the images, in (0, 1].
        seed: of the draw.
        beams, max_tokens: of the translation.
        batch_size: captions translated at once.

    Raises:
        OptionsError: a field is out of range.
    """

    model: str = "google-t5/t5-small"
    prefix: str = "translate English to French: "
    mode: str = "fr"
    share: float = 0.5
    seed: int = 0
    beams: int = 4
    max_tokens: int = 128
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise OptionsError(f"share must be in (0, 1]; got {self.share}")
        for name in ("beams", "max_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} must be at least 1; got {getattr(self, name)}")


def translator(options: BilingualOptions) -> Translate:
    """The model, on the GPU if there is one.

    Raises:
        OptionsError: it cannot be loaded.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(options.model)
        model = AutoModelForSeq2SeqLM.from_pretrained(options.model).to(device).eval()
    except (OSError, ValueError) as error:
        raise OptionsError(f"{options.model} cannot be loaded as a translator: {error}") from error

    def translate(texts: Sequence[str]) -> list[str]:
        args = tokenizer([options.prefix + text for text in texts], return_tensors="pt", padding=True).to(device)
        with torch.no_grad():
            generated = model.generate(**args, num_beams=options.beams, max_new_tokens=options.max_tokens)
        return [text.strip() for text in tokenizer.batch_decode(generated, skip_special_tokens=True)]

    return translate


def annotations_of(content: Any, file: Path) -> list[dict[str, Any]]:
    """The annotations in the file's content: not copies.

    Raises:
        DataError: the form is neither TextCaps' nor COCO's.
    """
    found = [content[name] for name in _LISTS if name in content] if isinstance(content, dict) else []
    if len(found) != 1 or not all(isinstance(row, dict) and "image_id" in row for row in found[0]):
        raise DataError(f'{file} has the form neither of COCO captions ("annotations") nor of TextCaps ("data")')
    return found[0]


def drawn(rows: Sequence[dict[str, Any]], share: float, seed: int) -> list[dict[str, Any]]:
    """The annotations of a share of the images, the same ones for the same seed."""
    images = sorted({str(row["image_id"]) for row in rows})
    chosen = set(random.Random(seed).sample(images, round(share * len(images))))
    return [row for row in rows if str(row["image_id"]) in chosen]


def captions_of(row: dict[str, Any]) -> list[str]:
    """All captions of an annotation, as they stand there."""
    return [row[key] for key in _ONE if row.get(key)] + [text for key in _SEVERAL for text in row.get(key) or []]


def replace_captions(row: dict[str, Any], translations: dict[str, str], mode: str) -> None:
    """Put the translations into an annotation, in place. One that came out empty leaves the caption as it is."""
    for key in _ONE:
        if row.get(key):
            row[key] = translations[row[key]] or row[key]
    for key in _SEVERAL:
        if row.get(key):
            row[key] = [translations[text] or text for text in row[key]]
    # Tokenized captions, if the file has any, would be in the other language.
    for key in ("caption_tokens", "reference_tokens"):
        row.pop(key, None)
    row["mode"] = mode


def translations_of(
    texts: Sequence[str], translate: Translate, batch_size: int, kept: Path, made_by: str
) -> dict[str, str]:
    """Translations of different texts; each batch is written to ``kept`` at once, and read there again.

    Args:
        kept: JSON lines: ``made_by``, then pairs of a text and its translation.
        made_by: what the translations depend on.

    Raises:
        DataError: ``kept`` was made by something else.
    """
    done = _read(kept, made_by)
    left = sorted((text for text in texts if text not in done), key=len)  # of like length: little padding
    if done:
        logger.warning("%d of %d captions are translated already", len(done), len(texts))
    with kept.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), batch_size):
            batch = left[start : start + batch_size]
            for pair in zip(batch, translate(batch), strict=True):
                file.write(json.dumps(pair, ensure_ascii=False) + "\n")
                done |= [pair]
            file.flush()
            logger.warning("%d/%d captions", len(done), len(texts))
    return done


def _read(kept: Path, made_by: str) -> dict[str, str]:
    """What a run before has translated; a last line that it was stopped in is cut off."""
    whole = kept.read_text(encoding="utf-8").rpartition("\n")[0] if kept.is_file() else ""
    first, *pairs = [json.loads(line) for line in whole.splitlines()] or [made_by]
    if first != made_by:
        raise DataError(f"{kept} was begun with other settings ({first}): delete it, or go on with those")
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in (first, *pairs)]
    kept.write_text("".join(lines), encoding="utf-8")
    return dict(pairs)


def make_bilingual(source: Path, target: Path, options: BilingualOptions) -> int:
    """Write ``target``; returns how many annotations were translated. It is there as a whole or not at all.

    Raises:
        DataError: ``source`` cannot be read or is of neither form, or a run with other settings was stopped here.
        OptionsError: the model cannot be loaded.
    """
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{source} cannot be read as JSON: {error}") from error
    rows = drawn(annotations_of(content, source), options.share, options.seed)
    texts = list(dict.fromkeys(text for row in rows for text in captions_of(row)))
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = target.with_name(f"{target.name}.translated")
    made_by = f"{options.model}, {options.prefix!r}, {options.beams} beams, {options.max_tokens} tokens"
    translations = translations_of(texts, translator(options), options.batch_size, kept, made_by)
    for row in rows:
        replace_captions(row, translations, options.mode)
    partial = target.with_name(f"{target.name}.partial")
    partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    os.replace(partial, target)
    kept.unlink()
    return len(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 for a user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.bilingual",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = BilingualOptions()
    parser.add_argument("source", type=Path, metavar="IN.json")
    parser.add_argument("target", type=Path, metavar="OUT.json")
    parser.add_argument("--model", default=defaults.model, help="folder or Hub id (%(default)s)")
    parser.add_argument("--prefix", default=defaults.prefix, help="names the model's task (%(default)r)")
    parser.add_argument("--mode", default=defaults.mode, help="mark of translated annotations (%(default)s)")
    parser.add_argument("--share", type=float, default=defaults.share, help="of the images (%(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the draw (%(default)s)")
    parser.add_argument("--beams", type=int, default=defaults.beams, help="(%(default)s)")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="captions at once (%(default)s)")
    args = vars(parser.parse_args(argv))
    transformers_logging.disable_progress_bar()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    source, target = args.pop("source"), args.pop("target")
    try:
        count = make_bilingual(source, target, BilingualOptions(**args))
    except LoraMclError as error:
        print(f"bilingual: {error}", file=sys.stderr)
        return USER_ERROR
    print(f"{target}: {count} annotations translated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
