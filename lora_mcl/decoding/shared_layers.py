"""What a prefill need not compute: the layers below every adapter process a prompt once, not once per hypothesis.

Where adapters are on the layers from m on only (``AdapterSpec.layers_to_transform``), all hypotheses have the same
hidden states below m. A prefill may then enter the model with one row per prompt [B, T, D], and only become one row
per prefix (prompt and adapter) [S, T, D] at layer m. And of the last layer, only the last position is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

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


def num_shared_layers(layers: nn.ModuleList | None) -> int:
    """Number of first layers that carry no adapter; at least one layer is left above."""
    if layers is None:
        return 0
    for index, layer in enumerate(layers):
        if any(isinstance(module, GroupedLoraLinear) for module in layer.modules()):
            return index
    return len(layers) - 1


@contextmanager
def expanding_rows_at(layers: nn.ModuleList, depth: int, prompt_of: Tensor) -> Iterator[None]:
    """Inside the block, row ``s`` of the layers from ``depth`` on gets row ``prompt_of[s]`` of the layers below.

    Args:
        depth: index of the first layer with the new rows.
        prompt_of: [S] indices of the B rows that enter the model.
    """
    num_prompts = int(prompt_of.max()) + 1

    def expand(value: Any) -> Any:
        if isinstance(value, tuple):  # such as cosines and sines of rotary embeddings
            return tuple(map(expand, value))
        # One row serves all by broadcasting; a vector (such as positions of the cache) has no rows.
        is_batch = isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == num_prompts > 1
        return value.index_select(0, prompt_of) if is_batch else value

    def first(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        hidden, *others = args
        # [B, T, D] -> [S, T, D]
        return (hidden.index_select(0, prompt_of), *map(expand, others)), {k: expand(v) for k, v in kwargs.items()}

    def later(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        # The hidden states come from the layer below and have S rows already; mask and positions still have B.
        hidden, *others = args
        return (hidden, *map(expand, others)), {k: expand(v) for k, v in kwargs.items()}

    hooks = [
        layer.register_forward_pre_hook(later if index else first, with_kwargs=True)
        for index, layer in enumerate(layers[depth:])
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


# Layers x + o_proj(attention(norm(x))), then x + mlp(norm(x)): behind attention, each position is on its own.
_PRE_NORM_LAYERS = (LlamaDecoderLayer, MistralDecoderLayer, Qwen2DecoderLayer)


@contextmanager
def reading_last_position(layers: nn.ModuleList | None) -> Iterator[None]:
    """Inside the block, the last layer computes the last position alone, where it is of a kind that is known.

    Keys and values are those of all positions, as ever; its output [R, T, D] is right at the last position only.
    """
    last = None if layers is None else layers[-1]
    if not isinstance(last, _PRE_NORM_LAYERS):
        yield
        return

    def keep_last(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        # [R, T, E] -> [R, 1, E], which the layer adds to all positions of its input.
        return (args[0][:, -1:],)

    hooks = [module.register_forward_pre_hook(keep_last) for module in (last.self_attn.o_proj, last.mlp)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
