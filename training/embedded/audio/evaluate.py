"""Measure the embedded audio model on the 1,000 test clips.

    python -m training.embedded.audio.evaluate

Writes ``assets/results/audio.json``. Test clips are mixed from recordings of packages that no training heard;
``seen`` repeats the measures on new clips of trained-on recordings, to show the gap. Mode labels are used here, to
measure, and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lora_mcl.adapters import AdapterStack
from lora_mcl.models.qwen2_audio import AudioLanguageModel
from training.embedded.audio.align import ALIGNED_DIR
from training.embedded.audio.base import ADAPTERS_DIR, BASE_DIR
from training.embedded.audio.batches import PROMPT, Batch, VisitCollator, encode_prompts
from training.embedded.audio.captions.grammar import MODES, load_grammar
from training.embedded.audio.captions.reader import load_reader
from training.embedded.audio.captions.scoring import score
from training.embedded.audio.material.assets import Material, load_material
from training.embedded.audio.render.clips import draw, material_split
from training.embedded.audio.visits import CachedClips, Visit
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Scene
from training.embedded.common.comparison import (
    MAX_NEW_TOKENS,
    RUNS,
    generation_report,
    likelihood_report,
    load_stack,
    requests_for,
    run_summary,
)
from training.embedded.common.generation import generate
from training.embedded.common.likelihood import likelihoods
from training.embedded.common.reports import ScoredCaption, hypothesis_report, mean
from training.paths import ASSETS

RESULTS = ASSETS / "results" / "audio.json"
AT_ONCE = 20
EMPTY = ("Something makes a sound.",)
"""What a caption that says nothing gets."""


def test_caption(clips: CachedClips, index: int, mode: str) -> str:
    """The reference caption of a test clip by one annotator: always the same."""
    return load_grammar().caption(clips.items[index].scene, mode, random.Random(f"test/{index}/{mode}"))


def clip_likelihoods(media: AudioLanguageModel, stack: AdapterStack, clips: CachedClips) -> torch.Tensor:
    """Mean token NLL [A, M, N] of the reference captions."""
    collate = VisitCollator(media)

    def batch_of(numbers: range, mode: str) -> Batch:
        return collate(
            [
                Visit(clips.features(i), clips.num_samples, test_caption(clips, i, mode), mode, clips.items[i])
                for i in numbers
            ]
        )

    return likelihoods(media.model, stack, MODES, len(clips), batch_of, encode_prompts)


def judge(scene: Scene, text: str) -> ScoredCaption:
    """A caption's reading and score."""
    reading = load_reader().read(text)
    return ScoredCaption(text, reading.mode, score(load_lexicon(), scene, reading))


def yardsticks(clips: CachedClips) -> dict[str, Any]:
    """What the measures say of the annotators' own captions, by mode, and of captions that tell nothing."""
    scenes = [item.scene for item in clips.items]

    def report(mode: str, texts: Iterable[str]) -> dict[str, float | None]:
        return hypothesis_report([judge(scene, text) for scene, text in zip(scenes, texts, strict=True)], mode)

    annotators = {
        mode: report(mode, (test_caption(clips, index, mode) for index in range(len(clips)))) for mode in MODES
    }
    return {"annotators": annotators, "empty": {text: report(MODES[0], [text] * len(clips)) for text in EMPTY}}


def by_sound(rows: list[dict[str, list[str]]], scenes: list[Scene], columns: list[str]) -> dict[str, Any]:
    """For each sound, in how many clips it was an event and how often one of the columns names it."""
    reader, named, total = load_reader(), {}, {}
    for row, scene in zip(rows, scenes, strict=True):
        found = {sound for column in columns for text in row[column] for sound, _ in reader.read(text).events}
        for event in scene.events:
            total[event.sound] = total.get(event.sound, 0) + 1
            named[event.sound] = named.get(event.sound, 0) + (event.sound in found)
    return {sound: {"clips": total[sound], "named": mean([named[sound] / total[sound]])} for sound in sorted(total)}


def evaluate(media: AudioLanguageModel, stack: AdapterStack, split: str, limit: int | None) -> dict[str, Any]:
    """All measures on one split; generated captions are kept beside the checkpoints."""
    clips = CachedClips.open(split)
    likelihood = likelihood_report(clip_likelihoods(media, stack, clips))
    material: Material = load_material(material_split(split))
    count = min(limit or len(clips), len(clips))
    rows: list[dict[str, list[str]]] = []
    scenes: list[Scene] = []
    for start in tqdm(range(0, count, AT_ONCE), desc=f"captioning {split}"):
        drawn = [draw(split, number, material) for number in range(start, min(start + AT_ONCE, count))]
        scenes += [scene for scene, _ in drawn]
        waves = [clip.wave for _, clip in drawn]
        rows += generate(media, stack, requests_for(stack), waves, PROMPT, MAX_NEW_TOKENS)
    lines = [
        json.dumps({"scene": asdict(scene), "captions": row}, ensure_ascii=False)
        for scene, row in zip(scenes, rows, strict=True)
    ]
    (ADAPTERS_DIR / f"captions-{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "clips": len(clips),
        "captioned": count,
        "modes": list(MODES),
        "likelihood": likelihood,
        "generation": generation_report(rows, MODES, likelihood, lambda number, text: judge(scenes[number], text)),
        "yardsticks": yardsticks(clips),
        "sounds": by_sound(rows, scenes, [name for name in rows[0] if name.startswith("caption-gate/")]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="caption only so many clips of each split (for a quick look)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    media = AudioLanguageModel.load(BASE_DIR)
    stack = load_stack(media, ADAPTERS_DIR)
    results = {
        "test": evaluate(media, stack, "test", args.limit),
        "seen": evaluate(media, stack, "seen", args.limit),
        "training": {
            "align": json.loads((ALIGNED_DIR / "training.json").read_text(encoding="utf-8")),
            "base": json.loads((BASE_DIR / "training.json").read_text(encoding="utf-8")),
            **{run: run_summary(ADAPTERS_DIR, run) for run in RUNS},
        },
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
