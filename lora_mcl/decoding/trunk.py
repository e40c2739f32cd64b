"""The shared trunk: layers below every adapter read a prompt once, not once per hypothesis.

Where adapters touch only the layers from m on (``AdapterSpec.layers_to_transform``), all hypotheses compute the
same thing below m. A prefill may then enter the model with one row per medium, and only become one row per medium
and adapter at layer m.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_mcl.adapters import GroupedLoraLinear


def decoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The module that holds the decoder layers: inside a multimodal model, its language model."""
    while (inner := model.get_decoder()) is not model:
        model = inner
    return model


def decoder_layers(decoder: PreTrainedModel) -> nn.ModuleList | None:
    """The decoder's layers, first to last; None if it does not keep them in one list."""
    count = decoder.config.num_hidden_layers
    lists = [child for child in decoder.children() if isinstance(child, nn.ModuleList) and len(child) == count]
    return lists[0] if len(lists) == 1 else None


def trunk_depth(layers: nn.ModuleList | None) -> int:
    """Number of first layers that carry no adapter; at least one layer is left above."""
    if layers is None:
        return 0
    for index, layer in enumerate(layers):
        if any(isinstance(module, GroupedLoraLinear) for module in layer.modules()):
            return index
    return len(layers) - 1


@contextmanager
def branching_at(layers: nn.ModuleList, depth: int, media: Tensor) -> Iterator[None]:
    """Inside the block, layers from ``depth`` on get row ``media[s]`` of what they are called with, for every s.

    Args:
        depth: index of the first layer that does.
        media: [S] indices of the B rows that enter the model.
    """
    num_media = int(media.max()) + 1

    def branch(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(branch, value))
        # One row serves all by broadcasting; a vector (positions of the cache, say) has no rows.
        is_batch = isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == num_media > 1
        return value.index_select(0, media) if is_batch else value

    def first(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        hidden, *others = args
        return (hidden.index_select(0, media), *map(branch, others)), {k: branch(v) for k, v in kwargs.items()}

    def later(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        # The hidden states come from the layer below and have their rows already.
        hidden, *others = args
        return (hidden, *map(branch, others)), {k: branch(v) for k, v in kwargs.items()}

    hooks = [
        layer.register_forward_pre_hook(later if index else first, with_kwargs=True)
        for index, layer in enumerate(layers[depth:])
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
