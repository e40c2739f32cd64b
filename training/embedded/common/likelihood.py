"""The NLL of every reference caption under every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lora_mcl.adapters import AdapterStack, hypothesis_rows
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.trainer.batch import shared_prompt_nll
from training.embedded.common.collator import SampleCollator, encode_prompts
from training.embedded.common.dataset import CachedFeatures, Sample
from training.embedded.common.domain import Domain, reference_caption

BATCH = 20


@torch.inference_mode()
def likelihoods(domain: Domain, model: MediaLanguageModel, stack: AdapterStack, cached: CachedFeatures) -> Tensor:
    """Mean token NLL [A, M, N], in nats: A adapters of the stack, M modes, N inputs."""
    collate = SampleCollator(model)

    def batch_of(numbers: Sequence[int], shown: Sequence[Tensor], mode: str) -> dict[str, Any]:
        return collate(
            [
                Sample(features, cached.items[n], reference_caption(domain, cached.items[n], n, mode), mode)
                for n, features in zip(numbers, shown, strict=True)
            ]
        )

    nll = torch.empty(len(stack), len(domain.annotators.modes), len(cached))
    for start in range(0, len(cached), BATCH):
        numbers = range(start, min(start + BATCH, len(cached)))
        shown = [domain.rendering.as_tower_shows(model, cached.features(n)) for n in numbers]
        batches = [batch_of(numbers, shown, mode) for mode in domain.annotators.modes]
        # Rows are adapter-major: all B inputs under adapter 0, then under adapter 1, ...
        captions = [batch["captions"].repeat(len(stack), 1) for batch in batches]
        with stack.rows(hypothesis_rows(len(stack), len(numbers))):
            prompts = encode_prompts(domain, model.model, batches[0]).repeat(len(stack))
            flat = shared_prompt_nll(model.model, prompts, captions)  # M times [A B]
        nll[:, :, start : start + len(numbers)] = torch.stack(flat).view(len(flat), len(stack), -1).transpose(0, 1)
    return nll
