"""Evaluate a bundle on captioned media: quality, diversity and likelihood of systems with equal decoding budgets.

    python -m training.evaluate --model assets/bundles/audio --data my-sounds --out build/evaluation
    python -m training.evaluate --model build/audiocaps-relaxed/bundle --data audiocaps --out build/audiocaps-test
    python -m training.evaluate --model BUNDLE --data NAME_OR_FOLDER --out DIR --beams 5 --limit 100

Writes ``results.json``, ``results.md`` and ``captions.jsonl`` (one line a medium). Started again with the same
arguments it goes on after the last line. The guide: ``docs/evaluation.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lora_mcl.adapters import AdapterStack
from lora_mcl.adapters.peft_folder import WEIGHTS_FILE
from lora_mcl.bundle import Bundle, load_bundle
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.models import LANGUAGE_MODELS
from lora_mcl.models.labels import ChatLabels
from lora_mcl.output_paths import make_output_folder
from training.data import DataError, load_examples
from training.evaluation.captioning import Evaluator, Medium, group_by_media
from training.evaluation.command import add_data_options, run_command
from training.evaluation.description import label_bundle
from training.evaluation.options import EvaluationOptions, data_options
from training.evaluation.report import results_of, tables_of
from training.evaluation.systems import System, systems_of

CAPTIONS_FILE, SETTINGS_FILE, RESULTS_FILE, TABLE_FILE = "captions.jsonl", "settings.json", "results.json", "results.md"


def load_evaluator(source: str, options: EvaluationOptions, device: str | None) -> Evaluator:
    """Load a bundle with its base and all its adapters.

    Raises:
        BundleError: it is missing, malformed, or holds a text model.
    """
    bundle = load_bundle(source)
    if bundle.modality == "text":
        raise BundleError(f"{bundle.name} holds a text model, which has no media to caption.")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = torch.float32 if where.type == "cpu" else torch.bfloat16
    model = LANGUAGE_MODELS[bundle.modality].load(
        bundle.base_location(),
        revision=bundle.base.revision,
        dtype=dtype,
        device=where,
        chat_template=bundle.chat_template,
    )
    stack = AdapterStack.from_peft(model.model, bundle.adapter_folders(), dtype=dtype)
    return Evaluator(bundle, model, stack, options)


def adapters_digest(bundle: Bundle) -> str:
    """Of the weights of all adapters: a bundle that was trained again in its folder is another one."""
    digest = hashlib.sha256()
    for folder in bundle.adapter_folders().values():
        with (folder / WEIGHTS_FILE).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings into the folder, or check that what is there was made with the same.

    Raises:
        OptionsError: it was not, or the folder cannot be written to.
    """
    file = out / SETTINGS_FILE
    # As they are read again: tuples are lists there.
    settings = json.loads(json.dumps(settings))
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
        if changed:
            key = changed[0]
            raise OptionsError(
                f"{out} holds an evaluation with other settings ({key} was {before.get(key)!r} and is "
                f"{settings.get(key)!r}): give another --out, or delete that folder"
            )
    make_output_folder(out, "--out")
    file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of finished media; a last line that was cut short is taken out of the file."""
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def caption_all(
    evaluator: Evaluator, media: Sequence[Medium], systems: Sequence[System], file: Path
) -> list[dict[str, Any]]:
    """Caption and score the media that ``file`` does not have yet; returns all lines.

    Raises:
        DataError: more than ``MAX_BROKEN`` media cannot be decoded, or none can.
    """
    lines = read_lines(file)
    done = {line["media"] for line in lines}
    labels = ChatLabels(evaluator.model, evaluator.bundle.prompt)
    for medium in media:
        for reference in medium.references:
            labels.check_caption(reference)
    todo = [medium for medium in media if medium.name not in done]
    with file.open("a", encoding="utf-8") as out, tqdm(total=len(media), initial=len(done), unit="media") as progress:
        for batch, contents in evaluator.batches(todo, progress):
            new = caption_batch(evaluator, batch, contents, systems, labels)
            lines += new
            out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in new)
            out.flush()
    if not lines:
        raise DataError("none of the media can be decoded")
    return lines


def caption_batch(
    evaluator: Evaluator,
    media: Sequence[Medium],
    contents: Sequence[Any],
    systems: Sequence[System],
    labels: ChatLabels,
) -> list[dict[str, Any]]:
    """The lines of a batch of media; a batch's cost is shared among its media."""
    lines: list[dict[str, Any]] = [
        {"media": one.name, "references": one.references, "modes": one.modes, "captions": {}, "cost": {}}
        for one in media
    ]
    for system in systems:
        captions, cost = evaluator.caption(contents, system)
        for line, of_medium in zip(lines, captions, strict=True):
            line["captions"][system.name] = of_medium
            line["cost"][system.name] = {name: round(value / len(media), 5) for name, value in cost.items()}
    for line, scored in zip(lines, evaluator.score(contents, media, labels), strict=True):
        line |= scored
    return lines


def evaluate(
    model: str,
    data: str,
    out: Path,
    options: EvaluationOptions,
    *,
    media: str = "",
    hub_split: str = "test",
    device: str | None = None,
    label: bool = False,
) -> dict[str, Any]:
    """Evaluate a bundle; see the module. Returns what ``results.json`` holds.

    Args:
        label: write what distinguishes the hypotheses into the bundle, as their labels and descriptions.

    Raises:
        LoraMclError: with a message for the user.
    """
    bundle = load_bundle(model)
    hypotheses = len(bundle.hypotheses)
    if hypotheses > 1 and options.captions not in (0, hypotheses):
        raise OptionsError(f"--captions is for a bundle of one hypothesis; {bundle.name} has {hypotheses}")
    if label and (hypotheses == 1 or not Path(model).is_dir()):
        raise OptionsError("--label describes the hypotheses of a bundle in a folder, two or more of them")
    source = data_options(data, media, bundle.modality, options.limit, hub_split)  # type: ignore[arg-type]
    examples = load_examples(source)
    given = {"model": model, "adapters": adapters_digest(bundle), "data": data, "media": media, "hub_split": hub_split}
    check_settings(out, given | asdict(options))
    evaluator = load_evaluator(model, options, device)
    captions = options.captions or hypotheses
    systems = systems_of(bundle, evaluator.stack, captions, options.beams, options.seed)
    lines = caption_all(evaluator, group_by_media(examples), systems, out / CAPTIONS_FILE)
    found = results_of(lines, hypotheses, {system.name: system.rows for system in systems})
    results = {"model": bundle.name, "data": data, "settings": asdict(options), **found}
    (out / RESULTS_FILE).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (out / TABLE_FILE).write_text(tables_of(results), encoding="utf-8")
    if label:
        label_bundle(bundle, results["specialisation"]["hypotheses"])
    return results


def parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = EvaluationOptions()
    of_program = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = of_program.add_argument
    add("--model", required=True, metavar="BUNDLE", help="folder or Hub id of a bundle")
    add("--out", required=True, type=Path, metavar="DIR")
    add("--captions", type=int, default=defaults.captions, help="K; by default as many as hypotheses")
    add("--beams", type=int, default=defaults.beams, help="of each hypothesis; the others have K times as many")
    add("--max-new-tokens", type=int, default=defaults.max_new_tokens)
    add("--repetition-penalty", type=float, default=defaults.repetition_penalty, help="the paper's is 1.1")
    add("--no-repeat-ngram-size", type=int, default=defaults.no_repeat_ngram_size, help="0 is off, as in the paper")
    add("--seed", type=int, default=defaults.seed, help="of samples and augmentations")
    add("--label", action="store_true", help="write what distinguishes the hypotheses into the bundle, as their labels")
    add_data_options(of_program)
    return of_program


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for a user's error, 130 when interrupted."""
    args = parser().parse_args(argv)

    def work() -> None:
        options = EvaluationOptions(
            args.captions,
            args.beams,
            args.max_new_tokens,
            args.repetition_penalty,
            args.no_repeat_ngram_size,
            args.seed,
            args.limit,
            args.batch,
        )
        results = evaluate(
            args.model,
            args.data,
            args.out,
            options,
            media=args.media,
            hub_split=args.hub_split,
            device=args.device,
            label=args.label,
        )
        print(tables_of(results))

    return run_command("evaluate", work, "the same command goes on after the last medium")


if __name__ == "__main__":
    sys.exit(main())
