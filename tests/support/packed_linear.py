"""A quantized linear layer of the kind that bitsandbytes makes, for machines without it."""

import torch
from torch import nn
from torch.nn import functional as F


class PackedLinear(nn.Linear):
    """Like the 4-bit layers of bitsandbytes: packed integer weights, answers in its own compute dtype."""

    def __init__(self, dense: nn.Linear, compute_dtype: torch.dtype):
        super().__init__(dense.in_features, dense.out_features, bias=False)
        self.scale = dense.weight.detach().abs().max() / 7
        levels = (dense.weight.detach() / self.scale).round().clamp(-7, 7).to(torch.int8) + 8
        flat = levels.flatten().to(torch.uint8)
        self.weight = nn.Parameter((flat[0::2] * 16 + flat[1::2])[:, None], requires_grad=False)
        self.compute_dtype = compute_dtype

    def dense(self):
        flat = torch.stack([self.weight[:, 0] // 16, self.weight[:, 0] % 16], dim=1).flatten()
        return (flat.float() - 8).view(self.out_features, self.in_features) * self.scale

    def forward(self, x):
        return F.linear(x.to(self.compute_dtype), self.dense().to(self.compute_dtype))
