"""LoRA-MoE, a baseline: K low-rank experts in each layer, mixed for each token by a router, as one distribution.

    y = W x + scaling * sum_k g_k(x) B_k A_k x        g(x) = softmax(R x) over K experts

(dense token routing, as in LoRAMoE, arXiv 2312.09979, without its balancing loss). It has the weights of K hypotheses,
and the routers', but it is one model: its captions come from beam search or sampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lora_mcl.adapters import AdapterStack
from lora_mcl.adapters.linear import GroupedLoraLinear, LayerAdapter


class ExpertLinear(GroupedLoraLinear):
    """A layer's single adapter of rank K * r as K experts of rank r with a router; takes over the layer's weights.

    Raises:
        ValueError: the layer has several adapters, or its rank is no multiple of ``experts``.
    """

    def __init__(self, layer: GroupedLoraLinear, experts: int, generator: torch.Generator | None = None) -> None:
        if len(layer.ranks) != 1 or layer.ranks[0] % experts:
            raise ValueError(f"{experts} experts need one adapter whose rank they divide, not ranks {layer.ranks}")
        adapter = LayerAdapter(layer.ranks[0], float(layer.scaling[0]), layer.dropouts[0])
        super().__init__(layer.base, [adapter], layer.routing, layer.lora_A.dtype)
        self.lora_A, self.lora_B = layer.lora_A, layer.lora_B
        self.experts = experts
        self.router = nn.Linear(self.lora_A.shape[2], experts, bias=False)
        nn.init.normal_(self.router.weight, std=0.02, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """x [R, T, in] -> [R, T, out], every row through all experts."""
        share = self.router(x).softmax(dim=-1)  # [R, T, K]
        low = nn.functional.dropout(x, self.dropouts[0], self.training) @ self.lora_A[0].T  # [R, T, K * r]
        low = low * share.repeat_interleave(self.ranks[0] // self.experts, dim=-1) * self.scaling[0]
        return self.base(x) + low @ self.lora_B[0].T


def route_tokens(stack: AdapterStack, experts: int, generator: torch.Generator | None = None) -> None:
    """Turn the stack's only adapter into ``experts`` experts with a router, in every layer."""
    for name, layer in stack.layers.items():
        routed = ExpertLinear(layer, experts, generator).train(layer.training)
        stack.model.set_submodule(name, routed)
        stack.layers[name] = routed
