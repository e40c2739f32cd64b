"""One frozen linear layer plus N low-rank adapters, evaluated together: each batch row has its own adapter.

    y[i] = W x[i] + b + scaling[n] * B[n] A[n] x[i]        with n = rows[i]

LoRA (Hu et al. 2022), grouped as in LoRA-MCL (K copies of a batch in one pass). There is no loop
over adapters: A and B are gathered per row, then two batched products follow, the second fused with the
addition to the base output. On 2 CPU threads (72 rows of 60 tokens, 256 -> 688, rank 8, forward and backward)
this is as fast as one wide masked product or contiguous groups, and faster than a grouped convolution; unlike
those it takes any mix of rows.

A decoding step has many rows of one token each, in ever other mixes. There the adapters in use stand side by side as
one wide adapter, of which each row keeps its own part (FixedRouting): nothing is gathered when rows come and go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

LINEAR_CLASSES = (nn.Linear, Conv1D)
"""What can carry an adapter. The 4- and 8-bit layers of bitsandbytes are nn.Linear too; GPT-2's Conv1D is not."""

BASE_ROW = -1
"""Row index that means "no adapter": such a row gets the output of the bare base model."""


def linear_features(layer: nn.Linear | Conv1D) -> tuple[int, int]:
    """Input and output width of a linear layer. Not read off a Linear's weight, which may be stored packed."""
    if isinstance(layer, Conv1D):
        return layer.weight.shape[0], layer.nf
    return layer.in_features, layer.out_features


class Routing:
    """The adapter index of each batch row, shared by all grouped layers of one stack.

    `index` [R] is safe to gather with (BASE_ROW replaced by 0) and `active` [R] which rows have an
    adapter. `side_by_side`, the weights of the adapters in use, is set by FixedRouting.
    """

    def __init__(self, num_adapters: int):
        self.num_adapters = num_adapters
        self.index: Tensor | None = None
        self.active: Tensor | None = None
        self.side_by_side: SideBySide | None = None

    def set(self, rows: Tensor | Sequence[int] | None) -> None:
        """Route row i to adapter rows[i]; None means unset, and a forward pass is then refused.

        Raises:
            ValueError: `rows` is not a vector of integers in [-1, N).
        """
        self.side_by_side = None
        if rows is None:
            self.index = self.active = None
            return
        rows = torch.as_tensor(rows)
        if rows.ndim != 1 or rows.is_floating_point() or rows.dtype == torch.bool:
            raise ValueError(
                f"rows must be a vector of integers, one per batch row; got {rows.dtype} {list(rows.shape)}"
            )
        rows = rows.long()
        if rows.numel() and not (int(rows.min()) >= BASE_ROW and int(rows.max()) < self.num_adapters):
            raise ValueError(
                f"rows must lie between {BASE_ROW} (the bare base) and {self.num_adapters - 1}; got {rows.tolist()}"
            )
        self.index, self.active = rows.clamp_min(0), rows != BASE_ROW

    @contextmanager
    def using(self, rows: Tensor | Sequence[int] | None) -> Iterator[None]:
        """Set `rows`, and restore the previous routing on exit, even after an exception."""
        with self.snapshot():
            self.set(rows)
            yield

    def snapshot(self) -> RoutingSnapshot:
        """The current routing as a context manager, which may be entered any number of times later."""
        return RoutingSnapshot(self)

    def fixed(self, rows: Tensor | Sequence[int]) -> FixedRouting:
        """Routing of `rows` for many forward passes with the same weights."""
        return FixedRouting(self, rows)

    def for_batch(self, device: torch.device, num_rows: int) -> tuple[Tensor, Tensor]:
        """`index` and `active` on `device`, for a batch of `num_rows` rows.

        Raises:
            RuntimeError: no rows are set (running the bare base would hide the mistake).
            ValueError: the batch has another number of rows.
        """
        if self.index is None:
            raise RuntimeError(
                "No adapter is routed: call the model inside `with stack.rows(rows):`, one adapter index per "
                f"batch row, or {BASE_ROW} for the bare base. (With gradient checkpointing, give "
                "stack.checkpoint_contexts as context_fn, or call backward() inside too.)"
            )
        if len(self.index) != num_rows:
            raise ValueError(
                f"The batch has {num_rows} rows but {len(self.index)} adapter rows are set: give one per batch row."
            )
        if self.index.device != device:
            self.index, self.active = self.index.to(device), self.active.to(device)
        return self.index, self.active


class RoutingSnapshot:
    """The routing of the moment it was made: set inside `with`; the previous routing comes back at its end."""

    def __init__(self, routing: Routing):
        self._routing, self._saved = routing, (routing.index, routing.active, routing.side_by_side)
        self._previous: list[tuple] = []

    def __enter__(self) -> None:
        routing = self._routing
        self._previous.append((routing.index, routing.active, routing.side_by_side))
        routing.index, routing.active, routing.side_by_side = self._saved

    def __exit__(self, *error: object) -> None:
        self._routing.index, self._routing.active, self._routing.side_by_side = self._previous.pop()


class FixedRouting(RoutingSnapshot):
    """A snapshot for inference: each layer lays out its adapters in use at its first forward pass, and keeps them."""

    def __init__(self, routing: Routing, rows: Tensor | Sequence[int]):
        super().__init__(routing)
        self._side_by_side: SideBySide | None = None
        self.set_rows(rows)

    def set_rows(self, rows: Tensor | Sequence[int]) -> None:
        """Route other rows from the next `with` on; the weights stay, unless there is an adapter that had no row."""
        with self._routing.using(rows):
            index, active = self._routing.index, self._routing.active
        adapters = tuple(sorted(set(index[active].tolist())))
        if self._side_by_side is None or not set(adapters) <= set(self._side_by_side.adapters):
            self._side_by_side = SideBySide(adapters)
        self._side_by_side.set_rows(index, active)
        self._saved = (index, active, self._side_by_side)

    def refresh(self) -> None:
        """Lay the weights out again, in the same tensors: to be called when the adapters may have changed."""
        self._side_by_side.refresh()


class SideBySide:
    """The adapters that some rows use, as one wide adapter of which each row keeps the columns of its own.

        y[i] = W x[i] + b + sum over n of [n = rows[i]] * scaling[n] * B[n] A[n] x[i]

    With M adapters in use of rank r that is a product with [M * r, in], zeros in place of the other adapters' columns,
    and a product with [M * r, out], for all rows together. The weights are read once, however many rows there are; the
    products are M times wider than each row needs, which is little next to the base as long as M * r is below its
    width.

    Attributes:
        adapters: those in use, in order.
    """

    def __init__(self, adapters: Sequence[int]):
        self.adapters = tuple(adapters)
        self._weights: dict[GroupedLoraLinear, tuple[Tensor, Tensor]] = {}
        self._others: dict[tuple[int, torch.device], Tensor] = {}
        self._place = torch.empty(0, dtype=torch.long)

    def set_rows(self, index: Tensor, active: Tensor) -> None:
        """Set each row's adapter, of those in use: `index` [R] where `active` [R], none elsewhere."""
        place = {adapter: place for place, adapter in enumerate(self.adapters)}
        rows = zip(index.tolist(), active.tolist(), strict=True)
        self._place = torch.tensor([place[adapter] if has_one else -1 for adapter, has_one in rows])
        self._others = {}

    def weights(self, layer: GroupedLoraLinear, in_dtype: torch.dtype, out_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A layer's A [M * r, in] and scaled B [M * r, out] of the adapters in use."""
        if layer not in self._weights:
            self._weights[layer] = layer.side_by_side(self.adapters, in_dtype, out_dtype)
        return self._weights[layer]

    def others(self, rank: int, device: torch.device) -> Tensor:
        """Where a row of the wide adapter's columns is another adapter's: bool [R, 1, M * r]."""
        key = (rank, device)
        if key not in self._others:
            columns = torch.arange(len(self.adapters)).repeat_interleave(rank)
            self._others[key] = (columns != self._place[:, None])[:, None].to(device)
        return self._others[key]

    @torch.no_grad()
    def refresh(self) -> None:
        """See FixedRouting."""
        for layer, (a, b) in self._weights.items():
            new_a, new_b = layer.side_by_side(self.adapters, a.dtype, b.dtype)
            a.copy_(new_a)
            b.copy_(new_b)


@dataclass(frozen=True)
class LayerAdapter:
    """Rank, scaling and dropout of one adapter in one linear layer; rank 0 if it does not target the layer."""

    rank: int
    scaling: float
    dropout: float


class GroupedLoraLinear(nn.Module):
    """A frozen linear layer with N adapters; row i of the input goes through adapter rows[i].

    lora_A [N, R, in] and lora_B [N, out, R] with R the largest rank. A smaller adapter is padded with zeros,
    which training cannot move: the gradient of A's padding is a product with B's, and the other way round, so
    both stay 0 under any optimizer whose update vanishes with gradient and weight (SGD, Adam, AdamW). The
    same holds for an adapter that does not target this layer (rank 0). `scaling` [N] is alpha / rank, applied
    in training and inference alike.

    The adapters' dtype is their own (float32 by default, as master weights of a bfloat16 base); they are cast
    to the input's dtype for the products, and their output to that of the base layer. So the base layer may be
    quantized: only its output is used. Dropout applies to the adapters' input, in training mode only.
    """

    def __init__(
        self,
        base: nn.Linear | Conv1D,
        adapters: Sequence[LayerAdapter],
        routing: Routing,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.base = base
        self.routing = routing
        self.ranks = tuple(adapter.rank for adapter in adapters)
        self.dropouts = tuple(adapter.dropout for adapter in adapters)
        count, rank, device = len(adapters), max(self.ranks), base.weight.device
        in_features, out_features = linear_features(base)
        self.lora_A = nn.Parameter(torch.zeros(count, rank, in_features, device=device, dtype=dtype))
        self.lora_B = nn.Parameter(torch.zeros(count, out_features, rank, device=device, dtype=dtype))
        scaling = torch.tensor([adapter.scaling for adapter in adapters], device=device, dtype=torch.float32)
        self.register_buffer("scaling", scaling, persistent=False)
        keep = torch.tensor([1.0 - dropout for dropout in self.dropouts], device=device, dtype=torch.float32)
        self.register_buffer("keep", keep, persistent=False)

    @torch.no_grad()
    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw every A independently (Kaiming uniform, a = sqrt 5) and set every B to 0, like the paper."""
        self.lora_A.zero_()
        self.lora_B.zero_()
        for n, rank in enumerate(self.ranks):
            if rank:
                nn.init.kaiming_uniform_(self.lora_A[n, :rank], a=math.sqrt(5), generator=generator)

    def weights(self, n: int) -> tuple[Tensor, Tensor]:
        """Views on adapter n without its padding: A [rank, in], B [out, rank]."""
        rank = self.ranks[n]
        return self.lora_A[n, :rank], self.lora_B[n, :, :rank]

    @torch.no_grad()
    def merge(self, n: int) -> None:
        """Add adapter n to the base weight, which must be of a float type: W + scaling[n] * B[n] A[n]."""
        weight = self.base.weight  # [out, in]; Conv1D stores [in, out]
        a, b = self.weights(n)  # [rank, in], [out, rank]
        # bfloat16 keeps 8 bits: the sum is computed in float32 and rounded once.
        exact = torch.promote_types(weight.dtype, torch.float32)
        delta = float(self.scaling[n]) * (b.to(exact) @ a.to(exact))
        weight.copy_(weight.to(exact) + (delta.T if isinstance(self.base, Conv1D) else delta))

    def _drop(self, x: Tensor, index: Tensor) -> Tensor:
        """Dropout with each row's own probability. x [R, T, in]."""
        if not self.training or not any(self.dropouts):
            return x
        if len(set(self.dropouts)) == 1:
            return F.dropout(x, self.dropouts[0])
        keep = self.keep[index].view(-1, 1, 1)  # [R, 1, 1]: rows of one batch may differ
        return x * (torch.bernoulli(keep.expand(x.shape)) / keep).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x [R, ..., in] with one routed adapter per row -> [R, ..., out].

        Raises:
            RuntimeError: no rows are routed.
            ValueError: the number of routed rows is not R.
        """
        y = self.base(x)  # [R, ..., out]
        index, active = self.routing.for_batch(x.device, x.shape[0])
        inputs = x.reshape(x.shape[0], -1, x.shape[-1])  # [R, T, in]
        if self.routing.side_by_side is not None:
            return self._all_at_once(inputs, y, self.routing.side_by_side)
        # Row i has its own pair of matrices, so the two products are batched over rows, each with T positions.
        inputs = self._drop(inputs, index)
        # Cast before gathering: N adapters are fewer than R rows.
        a = self.lora_A.to(x.dtype).index_select(0, index)  # [N, rank, in] -> [R, rank, in]
        b = self.lora_B.to(y.dtype).index_select(0, index).mT  # [N, out, rank] -> [R, rank, out]
        scale = (self.scaling.index_select(0, index) * active).to(x.dtype).view(-1, 1, 1)  # 0 for BASE_ROW
        # [R, T, in] @ [R, in, rank]: scaled while it is narrow, in rank and not in out columns.
        low = (torch.bmm(inputs, a.mT) * scale).to(y.dtype)  # [R, T, rank]
        # y + low @ b in one kernel: [R, T, out] + [R, T, rank] @ [R, rank, out].
        return torch.baddbmm(y.reshape(*inputs.shape[:2], -1), low, b).view(y.shape)

    def _all_at_once(self, inputs: Tensor, y: Tensor, adapters: SideBySide) -> Tensor:
        """Inputs [R, T, in] and the base's output y [R, ..., out] -> y with the adapters' part; see SideBySide."""
        a, b = adapters.weights(self, inputs.dtype, y.dtype)
        # Filled and not multiplied by 0: what overflows in another adapter's columns is not this row's.
        low = F.linear(inputs, a).masked_fill_(adapters.others(max(self.ranks), inputs.device), 0)  # [R, T, M * r]
        return torch.addmm(y.reshape(-1, y.shape[-1]), low.to(y.dtype).flatten(0, 1), b).view(y.shape)

    @torch.no_grad()
    def side_by_side(
        self, adapters: Sequence[int], in_dtype: torch.dtype, out_dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """A [M * rank, in] and scaled B [M * rank, out] of M adapters; new tensors."""
        index = torch.tensor(adapters, dtype=torch.long, device=self.lora_A.device)
        a = self.lora_A.index_select(0, index).to(in_dtype)  # [M, rank, in]
        b = self.lora_B.index_select(0, index) * self.scaling.index_select(0, index).view(-1, 1, 1)  # [M, out, rank]
        return a.flatten(0, 1), b.mT.flatten(0, 1).to(out_dtype)

    def extra_repr(self) -> str:
        return f"ranks={self.ranks}"
