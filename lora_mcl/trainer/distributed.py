"""Training in several processes: sharded weights (DTensors of FSDP2, partitions of DeepSpeed ZeRO-3), and gathering."""

from __future__ import annotations

import os

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled


def under_deepspeed() -> bool:
    """Whether ``accelerate launch`` started this process for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def is_sharded(weight: nn.Parameter) -> bool:
    """Whether this process holds only a shard of ``weight``."""
    return isinstance(weight, DTensor) or _is_zero_partition(weight)


def gather_full_tensor(weight: nn.Parameter) -> Tensor:
    """All values of a weight; not a copy unless it is sharded: then it is collective, every process must call it.

    Of a ZeRO-3 partition these are the optimizer's master weights, in float32.
    """
    if isinstance(weight, DTensor):
        return weight.detach().full_tensor()
    if _is_zero_partition(weight):
        from deepspeed.utils import safe_get_full_fp32_param

        return safe_get_full_fp32_param(weight).detach()
    return weight.detach()


def _is_zero_partition(weight: nn.Parameter) -> bool:
    if not is_deepspeed_zero3_enabled():  # deepspeed is optional, and slow to import
        return False
    from deepspeed.runtime.zero.utils import is_zero_param

    return is_zero_param(weight)


def all_gather(tensor: Tensor) -> Tensor:
    """[...] -> [P, ...], the tensors of all P processes in the order of their ranks, without gradient.

    Collective: every process must call it, with a tensor of the same shape.
    """
    if not distributed.is_initialized():
        return tensor.detach()[None]
    parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor.detach().contiguous())
    return torch.stack(parts)
