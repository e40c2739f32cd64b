"""Two bundles and the greedy captions of their hypotheses, for ``vllm_check.py`` to compare vLLM's with.

    python -m benchmarks.vllm_case DIR           # in this project's environment: writes DIR/case.json
    VLLM_PYTHON benchmarks/vllm_check.py DIR     # in vLLM's own environment: reads it

A tiny LLaVA-NeXT and a tiny Qwen2-Audio with random weights, of three random adapters each (``gpu_models.TINY``). Each
hypothesis is also merged into the base, for models to which vLLM gives no LoRA.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.gpu_models import TINY, media_of, write_base, write_bundle
from lora_mcl.bundle.export import export_merged
from lora_mcl.captioner import Captioner
from lora_mcl.modality import Modality
from lora_mcl.models import LANGUAGE_MODELS
from lora_mcl.types import Media

MEDIA = 3


def case_of(modality: Modality, folder: Path) -> dict[str, Any]:
    """A base, its bundle, media, and each hypothesis' caption of each; all files are in ``folder``."""
    shape, base = TINY[modality], folder / "base"
    write_base(base, shape, torch.device("cpu"))
    language_model = LANGUAGE_MODELS[modality].load(base)
    bundle = write_bundle(language_model.model, base, folder / "bundle", shape)
    names = [f"hypothesis-{k}" for k in range(len(bundle.hypotheses))]
    captioner = Captioner.load(bundle, device="cpu")
    media = []
    for number, medium in enumerate(media_of(shape, MEDIA)):
        *_, last = captioner.compare(medium)
        captions = {column.id: column.captions[0].text for column in last.columns if column.id in names}
        media.append({"file": str(_write(medium, folder / f"medium-{number}")), "captions": captions})
    for k, name in enumerate(names):
        export_merged(bundle, k, folder / "merged" / name)
    # Last: the library has read them by the names that its version of transformers writes.
    for weights in (*base.glob("*.safetensors"), *(folder / "merged").rglob("*.safetensors")):
        save_file(published_names(load_file(weights)), weights, metadata={"format": "pt"})
    conversation = language_model.conversation("", bundle.prompt)
    return {
        "modality": modality,
        "base": str(base),
        "prompt": language_model.processor.apply_chat_template(conversation, add_generation_prompt=True),
        "new_tokens": shape.new_tokens,
        "forbidden_token_ids": list(language_model.forbidden_token_ids),
        "adapters": {name: str(folder) for name, folder in bundle.adapter_folders().items() if name in names},
        "merged": {name: str(folder / "merged" / name) for name in names},
        "media": media,
    }


def published_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a CLIP tower by the names of the published models, which vLLM knows; transformers 5 writes others."""
    own, published = "vision_tower.", "vision_tower.vision_model."
    return {published + name.removeprefix(own) if name.startswith(own) else name: w for name, w in weights.items()}


def _write(medium: Media, stem: Path) -> Path:
    """The medium as a file without loss: a PNG, or the samples as an array of NumPy."""
    if isinstance(medium, Image.Image):
        medium.save(stem.with_suffix(".png"))
        return stem.with_suffix(".png")
    np.save(stem.with_suffix(".npy"), medium.samples)
    return stem.with_suffix(".npy")


def main(argv: list[str] | None = None) -> int:
    """Write the case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    args = parser.parse_args(argv)
    folder = args.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        parser.error(f"{folder} is not empty.")
    models = [case_of(modality, folder / modality) for modality in ("image", "audio")]
    (folder / "case.json").write_text(json.dumps(models, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
