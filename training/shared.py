"""Weights that several processes share out between them: DTensors of FSDP2 and the partitions of DeepSpeed ZeRO-3."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled


def is_shared(weight: nn.Parameter) -> bool:
    """Whether this process holds only a part of ``weight``."""
    return isinstance(weight, DTensor) or _is_partition(weight)


def whole(weight: nn.Parameter) -> Tensor:
    """The values of a training weight; not a copy unless it is shared out: then every process must ask for it.

    Of a ZeRO-3 partition these are the optimizer's master weights, in float32.
    """
    if isinstance(weight, DTensor):
        return weight.detach().full_tensor()
    if _is_partition(weight):
        from deepspeed.utils import safe_get_full_fp32_param

        return safe_get_full_fp32_param(weight).detach()
    return weight.detach()


def _is_partition(weight: nn.Parameter) -> bool:
    if not is_deepspeed_zero3_enabled():  # deepspeed is optional, and slow to import
        return False
    from deepspeed.runtime.zero.utils import is_zero_param

    return is_zero_param(weight)
