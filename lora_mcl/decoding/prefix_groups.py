"""Rows grouped by the prompt that they continue, so that each prompt's states are read once for its whole group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class EqualGroups:
    """Consecutive prompts that are continued by equally many rows, G each: one batched product serves them all.

    Attributes:
        prompts: positions of the prompts.
        rows: positions of their rows, once rows are sorted by prompt: G for the first prompt, G for the next, ...
    """

    prompts: slice
    rows: slice

    def group(self, rows: Tensor) -> Tensor:
        """One batch entry per prompt: [prompts * G, heads, n, E] to [prompts, heads, G * n, E]."""
        count, (_, heads, _, size) = self.prompts.stop - self.prompts.start, rows.shape
        # [prompts, G, heads, n, E] -> [prompts, heads, G, n, E] -> [prompts, heads, G * n, E]
        return rows.view(count, -1, *rows.shape[1:]).transpose(1, 2).reshape(count, heads, -1, size)

    def ungroup(self, grouped: Tensor, n: int) -> Tensor:
        """The inverse: [prompts, heads, G * n, E] to [prompts * G, heads, n, E]."""
        count, heads, _, size = grouped.shape
        return grouped.view(count, heads, -1, n, size).transpose(1, 2).reshape(-1, heads, n, size)


@dataclass(frozen=True)
class PrefixGroups:
    """The prompt that each of R rows continues.

    Attributes:
        runs: all prompts in their order, in runs of equally many rows.
        order: [R] the rows sorted by prompt; None where they are sorted already.
        inverse: [R] the position of each row in that order.
    """

    runs: tuple[EqualGroups, ...]
    order: Tensor | None = None
    inverse: Tensor | None = None

    @classmethod
    def of(cls, prompts: Sequence[int]) -> PrefixGroups:
        """The groups of rows of which row ``i`` continues prompt ``prompts[i]``; no prompt is without a row."""
        order = sorted(range(len(prompts)), key=prompts.__getitem__)
        sizes = list(Counter(sorted(prompts)).values())  # rows of prompt 0, of prompt 1, ...
        runs, prompt, row = [], 0, 0
        for size, equal in groupby(sizes):
            count = len(list(equal))
            runs.append(EqualGroups(slice(prompt, prompt + count), slice(row, row + count * size)))
            prompt, row = prompt + count, row + count * size
        if order == list(range(len(prompts))):
            return cls(tuple(runs))
        inverse = sorted(range(len(order)), key=order.__getitem__)
        return cls(tuple(runs), torch.tensor(order), torch.tensor(inverse))

    def to(self, device: torch.device) -> PrefixGroups:
        """The same on ``device``."""
        return self if self.order is None else PrefixGroups(self.runs, self.order.to(device), self.inverse.to(device))

    def product(self, rows: Tensor, prompts: Tensor) -> Tensor:
        """Every row times its prompt's matrix: [R, heads, n, E] and [S, heads, E, F] to [R, heads, n, F]."""
        n = rows.shape[2]
        rows = rows if self.order is None else rows.index_select(0, self.order)
        # [prompts, heads, G * n, E] @ [prompts, heads, E, F]: the long matrix is read once for its G rows.
        parts = [run.ungroup(run.group(rows[run.rows]) @ prompts[run.prompts], n) for run in self.runs]
        products = parts[0] if len(parts) == 1 else torch.cat(parts)
        return products if self.inverse is None else products.index_select(0, self.inverse)
