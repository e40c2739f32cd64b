"""Caption images or sounds from the command line::

python -m lora_mcl caption photo.jpg
python -m lora_mcl caption photo.jpg --beams 6 --groups 3 --diversity-penalty 1.0 --json
python -m lora_mcl caption photo.jpg --samples 5 --temperature 0.8 --top-p 0.9
python -m lora_mcl caption clip.wav --model path/to/bundle --start 12.5
python -m lora_mcl caption photos/ more.jpg --out captions.csv
python -m lora_mcl caption photos/ --report report.html
python -m lora_mcl caption photo.jpg --slide slide.png
python -m lora_mcl caption photos/ --report rapport.html --language fr
python -m lora_mcl caption clip.wav --model path/to/7b-bundle --device-map auto --load-in-4bit
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from lora_mcl.batch import media_in
from lora_mcl.captioner import Captioner
from lora_mcl.cli.loading import add_loading_options, bundle_for, load_captioner
from lora_mcl.cli.outputs import comparison_table, json_line, opened
from lora_mcl.errors import MediaError, OptionsError, printable
from lora_mcl.files import is_folder
from lora_mcl.images import load_image, modality_of
from lora_mcl.modality import Modality
from lora_mcl.phrases import Phrase
from lora_mcl.report import CaptionedFile, opened_report
from lora_mcl.report.slide import slide_of, spectrogram
from lora_mcl.report.slide_files import check_slide_path, write_slide
from lora_mcl.texts import ENGLISH, FRENCH, LANGUAGES, Texts
from lora_mcl.types import CompareOptions, Comparison

SOME_LEFT_OUT = 1
"""Exit status if some of several files could not be captioned."""

_DRAWING = ("temperature", "top_k", "top_p", "typical_p", "seed")


def run(args: argparse.Namespace) -> int:
    """Caption the files and print or write the comparisons; 1 if some of several could not be captioned."""
    paths = [Path(file) for file in args.files]
    if args.slide is not None:
        check_slide_path(Path(args.slide))
        if len(paths) > 1 or is_folder(paths[0]):
            raise OptionsError("--slide shows one comparison: give one file.")
    if len(paths) == 1 and not is_folder(paths[0]) and args.out is None and args.report is None:
        loaded: dict[Modality, Captioner] = {}
        comparison = _caption(paths[0], args, loaded)
        _write_slide(paths[0], comparison, args, loaded)
        text = json.dumps(comparison.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        print(text if args.json else comparison_table(comparison))
        return 0
    files = list(_files(paths))
    if not files:
        raise MediaError(f"There are no images and no sounds in {', '.join(args.files)}.")
    texts = _texts(args)
    captioners: dict[Modality, Captioner] = {}
    left_out = 0
    with ExitStack() as stack:
        write = _print_json if args.json else _print_table
        if args.out is not None:
            write = stack.enter_context(opened(Path(args.out), texts))
        report = None
        if args.report is not None:
            report = stack.enter_context(opened_report(Path(args.report), _title(files), texts))
        for number, path in enumerate(files, start=1):
            _say(f"[{number}/{len(files)}] {path}")
            try:
                comparison = _caption(path, args, captioners)
            except MediaError as error:
                _say(f"left out: {error}")
                left_out += 1
                entry = CaptionedFile(str(path), path, error=texts.error(error))
            else:
                write(path, comparison)
                entry = _captioned(path, comparison, args, captioners)
                _write_slide(path, comparison, args, captioners)
            if report is not None:
                report.add(entry)
    if left_out:
        _say(f"{left_out} of {len(files)} files were left out.")
    return SOME_LEFT_OUT if left_out else 0


def _caption(path: Path, args: argparse.Namespace, captioners: dict[Modality, Captioner]) -> Comparison:
    """Caption one file, with a captioner for its kind, which is loaded for the first one and kept in ``captioners``."""
    # Refused here, a bad file or bundle does not cost the loading of a large model.
    modality = modality_of(path)
    if modality not in captioners:
        captioners[modality] = load_captioner(bundle_for(path, modality, args), args)
    captioner = captioners[modality]
    start = args.start if modality == "audio" or args.start else None
    *_, comparison = captioner.compare(path, _options(captioner.defaults, args), start=start)
    if comparison.window and comparison.window.notice:
        _say(f"{comparison.window.notice} Choose another part with --start.")
    for notice in comparison.notices:
        _say(notice)
    return comparison


def _captioned(
    path: Path, comparison: Comparison, args: argparse.Namespace, captioners: dict[Modality, Captioner]
) -> CaptionedFile:
    """The comparison as an entry of the report."""
    captioner = captioners["image" if comparison.window is None else "audio"]
    options = _options(captioner.defaults, args)
    source = " at ".join(filter(None, [args.model, args.revision]))
    return CaptionedFile(str(path), path, comparison, captioner.columns(options), options, source)


def _write_slide(
    path: Path, comparison: Comparison, args: argparse.Namespace, captioners: dict[Modality, Captioner]
) -> None:
    """Write the slide of ``--slide``, with the image, or with the log-mel spectrogram of the model's input."""
    if args.slide is None:
        return
    if comparison.window is None:
        image = load_image(path)
    else:
        image = spectrogram(captioners["audio"].audio_view(path, comparison.window.start).log_mel)
    write_slide(slide_of(comparison, image, _texts(args)), Path(args.slide))


def _title(files: list[Path]) -> Phrase:
    if len(files) == 1:
        return Phrase("Captions of {name}", name=files[0].name)
    return Phrase("Captions of {count} files", count=len(files))


def _texts(args: argparse.Namespace) -> Texts:
    return FRENCH if args.language == "fr" else ENGLISH


def _files(paths: list[Path]) -> Iterator[Path]:
    """The files that are named, and the images and sounds in the folders that are, in the order of their names."""
    for path in paths:
        if not is_folder(path):
            yield path
            continue
        files, others = media_in(path)
        yield from files
        if others:
            _say(f"{others} files in {path} are neither images nor sounds that can be read.")


def _print_table(path: Path, comparison: Comparison) -> None:
    print(comparison_table(comparison), end="\n\n", flush=True)


def _print_json(path: Path, comparison: Comparison) -> None:
    print(json_line(path, comparison), flush=True)


def _say(message: str) -> None:
    print(f"lora_mcl: {printable(message)}", file=sys.stderr)


def _options(defaults: CompareOptions, args: argparse.Namespace) -> CompareOptions:
    """The bundle's defaults with the options of the command line."""
    asked = {
        "num_beams": args.beams,
        "num_beam_groups": args.groups,
        "diversity_penalty": args.diversity_penalty,
        "hypothesis_beams": args.hypothesis_beams,
        "max_new_tokens": args.max_new_tokens,
        "min_new_tokens": args.min_new_tokens,
        "repetition_penalty": args.repetition_penalty,
        "no_repeat_ngram_size": args.no_repeat_ngram_size,
        "length_penalty": args.length_penalty,
        "num_samples": args.samples,
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "typical_p": args.typical_p,
        "seed": args.seed,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    drawing = [name for name in _DRAWING if name in changes]
    options = defaults.with_changes(changes)
    if drawing and not options.num_samples:
        raise OptionsError(f"--{drawing[0].replace('_', '-')} says how samples are drawn: ask for some with --samples.")
    return options


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``caption`` command."""
    caption = commands.add_parser("caption", help="caption an image or a sound in every column")
    caption.set_defaults(run=run)
    caption.add_argument("files", metavar="FILE", nargs="+", help="images and sounds, or folders of them")
    caption.add_argument(
        "--out",
        metavar="PATH",
        help="write to a file that ends in .jsonl (a line per input) or .csv (a row per caption), or to a folder (a "
        "text file per input, a line per hypothesis)",
    )
    caption.add_argument(
        "--report",
        metavar="PATH.html",
        help="write one HTML file with the pictures, players for the sounds, all captions, scores and settings, that "
        "opens offline",
    )
    caption.add_argument(
        "--slide", metavar="PATH", help="write the comparison of one file as a slide, a file that ends in .png or .svg"
    )
    caption.add_argument(
        "--language",
        choices=LANGUAGES,
        default="en",
        help="of the report, of the slide and of the headers of a .csv file (default %(default)s); captions are in the "
        "languages of the model",
    )
    caption.add_argument(
        "--start", metavar="SECONDS", type=float, help="where to begin in a long sound (by default at its first sound)"
    )
    caption.add_argument("--beams", metavar="B", type=int, help="beams of both baselines")
    caption.add_argument(
        "--groups",
        metavar="G",
        type=int,
        help="groups of diverse beam search; fitted to the beams by default",
    )
    caption.add_argument(
        "--diversity-penalty",
        metavar="X",
        type=float,
        help="penalty for a token an earlier group chose, in nats",
    )
    caption.add_argument("--hypothesis-beams", metavar="B", type=int, help="beams of each hypothesis; 1 is greedy")
    caption.add_argument("--max-new-tokens", metavar="N", type=int, help="longest caption, in tokens")
    caption.add_argument("--min-new-tokens", metavar="N", type=int, help="shortest caption, in tokens")
    caption.add_argument(
        "--repetition-penalty", metavar="X", type=float, help="above 1 avoids tokens already written (1 is off)"
    )
    caption.add_argument(
        "--no-repeat-ngram-size", metavar="N", type=int, help="no N tokens in a row are written twice (0 is off)"
    )
    caption.add_argument(
        "--length-penalty", metavar="X", type=float, help="of the beams: above 0 favours long captions, below 0 short"
    )
    caption.add_argument("--samples", metavar="N", type=int, help="add a column of N captions drawn at random")
    caption.add_argument("--temperature", metavar="T", type=float, help="below 1 draws likely tokens more often")
    caption.add_argument("--top-k", metavar="K", type=int, help="draw from the K likeliest tokens only")
    caption.add_argument("--top-p", metavar="P", type=float, help="draw from the likeliest tokens of probability P")
    caption.add_argument(
        "--typical-p", metavar="P", type=float, help="draw from the most typical tokens of probability P"
    )
    caption.add_argument("--seed", metavar="N", type=int, help="same seed, same draws (default 0)")
    add_loading_options(caption)
    caption.add_argument("--json", action="store_true", help="print JSON, not a table; a line per file if several")
