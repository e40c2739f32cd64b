"""Assignment statistics between two logs: wins, entropy, losses, and hypotheses that no longer win."""

from __future__ import annotations

import logging
from math import inf, nan

import torch
from accelerate import Accelerator
from torch import Tensor

from lora_mcl.objectives import assignment_entropy, winner_counts
from lora_mcl.trainer.step import MultipleChoiceOutput

logger = logging.getLogger(__name__)


class AssignmentStats:
    """Sums over steps, on the device of the losses so that no step waits for them.

    Args:
        hypotheses: K.
        dead_after: warn of a hypothesis that won none of this many examples in a row; never by default.
    """

    def __init__(self, hypotheses: int, dead_after: float = inf) -> None:
        self.hypotheses, self.dead_after = hypotheses, dead_after
        self._sums: Tensor | None = None
        self._since_win: Tensor | None = None
        self._warned: set[int] = set()
        self._warned_of_skipping = False

    def update(self, output: MultipleChoiceOutput) -> None:
        """Add one step's examples."""
        valid = output.valid
        count = valid.sum()
        wins = winner_counts(output.weights, valid)
        nll = torch.where(valid, output.nll, 0.0)  # [K, B]; an example without targets adds nothing
        scalars = [count, (~valid).sum(), assignment_entropy(output.weights, valid) * count, nll.amin(dim=0).sum()]
        sums = torch.cat([torch.stack([value.double() for value in scalars]), wins.double(), nll.sum(dim=1).double()])
        self._sums = sums if self._sums is None else self._sums + sums
        # [K] examples since the last win: 0 for a hypothesis that won one of these, else as many more as there were.
        since = torch.zeros_like(wins) if self._since_win is None else self._since_win
        self._since_win = torch.where(wins > 0, torch.zeros_like(wins), since + count)

    def compute_and_reset(self, accelerator: Accelerator) -> dict[str, float]:
        """The figures since the last call, over all processes; the sums start again at 0.

        ``wins_<k>`` examples whose largest weight is hypothesis k's; ``nll_<k>`` its mean NLL over all examples and
        ``best_nll`` the mean of each example's least, in nats; ``assignment_entropy`` in nats; ``skipped`` examples
        without target tokens. Means are NaN where every example was without.
        """
        if self._sums is None:
            return {}
        # In the order of ``update``; ``rest`` is K wins, then K sums of NLL.
        count, skipped, entropy, best, *rest = accelerator.reduce(self._sums, "sum").tolist()
        wins, nll = rest[: self.hypotheses], rest[self.hypotheses :]
        self._sums = None
        self._warn(skipped, count)
        examples = count or nan  # a mean of no examples is none
        figures = {f"wins_{k}": value for k, value in enumerate(wins)}
        figures |= {f"nll_{k}": value / examples for k, value in enumerate(nll)}
        return figures | {
            "best_nll": best / examples,
            "assignment_entropy": entropy / examples,
            "skipped": skipped,
        }

    def _warn(self, skipped: float, count: float) -> None:
        """Log examples without targets once, and each hypothesis that no longer wins once until it wins again."""
        if skipped and not self._warned_of_skipping:
            self._warned_of_skipping = True
            logger.warning(
                "%d of %d examples had no target token and were skipped: could their media not be decoded, or are "
                "captions cut off by the longest length allowed, or masked with their prompts?",
                skipped,
                skipped + count,
            )
        for k, since in enumerate(self._since_win.tolist()):
            if since < self.dead_after:
                self._warned.discard(k)
            elif k not in self._warned:
                self._warned.add(k)
                logger.warning(
                    "hypothesis %d won none of the last %d examples: it may be dead. Start from a higher temperature, "
                    "use a larger epsilon or the caption gate, or train fewer hypotheses.",
                    k,
                    since,
                )
