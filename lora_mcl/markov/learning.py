"""Multiple choice learning on a Markov mixture, with intermediate results: the experiment of the LoRA-MCL paper.

    for snapshot in learn(TRANSITION1, hypotheses=2):
        print(snapshot.step, snapshot.loss, snapshot.first)

The step is that of any LoRA-MCL training: score each example under all K hypotheses, weigh by the objective,
take a gradient step. K = 1 is ordinary maximum likelihood (MLE).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lora_mcl.adapters import hypothesis_rows
from lora_mcl.errors import OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.loss import mean_token_nll
from lora_mcl.markov.chains import MarkovMixture, Sequences
from lora_mcl.markov.model import ModelOptions, build_model
from lora_mcl.markov.readout import Scores, first_position_matrices, later_matrices, score, win_shares
from lora_mcl.markov.snapshot import Snapshot, to_tuples
from lora_mcl.objectives import ObjectiveOptions, weighted_loss

GATE_LEARNING_RATE = 3e-2


@dataclass(frozen=True)
class LearningOptions:
    """Defaults are the LoRA-MCL paper's, with the cosine schedule as it was meant.

    Attributes:
        steps, batch_size, length: batches, sequences in each, tokens in a sequence.
        learning_rate: at the first step; it falls along a half cosine.
        weight_decay: of AdamW, whose betas are 0.9 and 0.95.
        objective: how sequences are assigned to hypotheses.
        gate_order: what the gate of the caption-gate objective counts: 1 tokens, 2 transitions.
        evaluate_every: steps between snapshots; in the first `dense_steps`, `dense_every`.
        evaluation_size: sequences set aside to measure on.
        evaluation_seed: of those; the same for all runs.
        watched: how many of them have their winner recorded.
        seed: of the frozen weights, the adapters and the training data.

    Raises:
        OptionsError: a field is out of range.
    """

    steps: int = 501
    batch_size: int = 128
    length: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    objective: ObjectiveOptions = field(default_factory=lambda: ObjectiveOptions("wta"))
    gate_order: int = 2
    evaluate_every: int = 10
    dense_steps: int = 60
    dense_every: int = 5
    evaluation_size: int = 1000
    evaluation_seed: int = 99
    watched: int = 8
    seed: int = 1235

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "dense_every", "evaluation_size"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.length < 2:
            raise OptionsError(f"length must be at least 2, one token to see and one to predict; got {self.length}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise OptionsError(f"learning_rate must be a positive number; got {self.learning_rate}")
        if not 0 <= self.watched <= self.evaluation_size:
            raise OptionsError(f"watched must be in [0, evaluation_size]; got {self.watched}")

    def has_snapshot(self, step: int) -> bool:
        """Whether the state after `step` updates is recorded; the first and the last always are."""
        every = self.dense_every if step <= self.dense_steps else self.evaluate_every
        return step == self.steps or step % every == 0

    def rate(self, step: int) -> float:
        """Learning rate of update number `step`, from 0: a half cosine down to 0 after the last."""
        return self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2


def evaluation_sequences(mixture: MarkovMixture, options: LearningOptions) -> Sequences:
    """Sequences that snapshots are evaluated on; the watched ones come first."""
    generator = torch.Generator().manual_seed(options.evaluation_seed)
    return mixture.sample(options.evaluation_size, options.length, generator)


class MarkovLearner:
    """K adapters on the frozen model, the optimizer, and the gate where the objective wants one."""

    def __init__(
        self,
        mixture: MarkovMixture,
        hypotheses: int,
        model: ModelOptions | None = None,
        options: LearningOptions | None = None,
    ) -> None:
        self.mixture, self.model_options = mixture, model or ModelOptions()
        self.options = options or LearningOptions()
        self.stack = build_model(mixture.num_states, hypotheses, self.model_options, self.options.seed)
        groups: list[dict[str, Any]] = [{"params": list(self.stack.parameters()), "scale": 1.0}]
        self.gate: CaptionGate | None = None
        if self.options.objective.needs_gate:
            generator = torch.Generator().manual_seed(self.options.seed)
            self.gate = CaptionGate(mixture.num_states, hypotheses, order=self.options.gate_order, generator=generator)
            groups.append(
                {"params": list(self.gate.parameters()), "scale": GATE_LEARNING_RATE / self.options.learning_rate}
            )
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.options.learning_rate, betas=(0.9, 0.95), weight_decay=self.options.weight_decay
        )
        self.evaluation = evaluation_sequences(mixture, self.options)

    def nll(self, tokens: Tensor) -> Tensor:
        """Loss of each sequence [B, T] under each hypothesis [K, B], with gradient."""
        hypotheses = len(self.stack)
        rows = tokens.repeat(hypotheses, 1)
        with self.stack.rows(hypothesis_rows(hypotheses, len(tokens))):
            logits = self.stack.model(input_ids=rows).logits
        return mean_token_nll(logits, rows).mean.view(hypotheses, len(tokens))

    def loss(self, tokens: Tensor, step: int) -> Tensor:
        """Loss of update number `step`, for sequences [B, T]."""
        nll = self.nll(tokens)
        log_gate = None if self.gate is None else self.gate(tokens)
        weights = self.options.objective.weights(nll.detach(), step, self.options.steps, log_gate)
        loss = weighted_loss(nll, weights)
        if self.gate is not None and log_gate is not None:
            loss = loss + self.gate.loss(log_gate, weights)
        return loss

    def update(self, tokens: Tensor, step: int) -> None:
        """One optimizer step on sequences [B, T]."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate(step) * group["scale"]
        self.optimizer.zero_grad()
        self.loss(tokens, step).backward()
        self.optimizer.step()

    def snapshot(self, step: int) -> Snapshot:
        """Measure the present state on the evaluation sequences."""
        tokens, chains = self.evaluation
        scores: Scores = score(self.stack, tokens)
        return Snapshot(
            step=step,
            loss=float(scores.nll.min(0).values.mean()),
            nll=tuple(scores.nll.mean(1).tolist()),
            wins=to_tuples(win_shares(scores.nll, chains, self.mixture.num_chains).tolist()),
            first=to_tuples(first_position_matrices(self.stack, self.mixture.num_states).tolist()),
            later=to_tuples(later_matrices(scores, tokens, self.model_options.visible).tolist()),
            winners=tuple(scores.nll.argmin(0)[: self.options.watched].tolist()),
        )

    def run(self) -> Iterator[Snapshot]:
        """Train, with a snapshot before, now and then, and after; close the iterator to stop."""
        options = self.options
        generator = torch.Generator().manual_seed(options.seed)
        yield self.snapshot(0)
        for step in range(options.steps):
            batch: Sequences = self.mixture.sample(options.batch_size, options.length, generator)
            self.update(batch.tokens, step)
            if options.has_snapshot(step + 1):
                yield self.snapshot(step + 1)


def learn(
    mixture: MarkovMixture, hypotheses: int, model: ModelOptions | None = None, options: LearningOptions | None = None
) -> Iterator[Snapshot]:
    """Train K hypotheses on the mixture from a fresh start; see `MarkovLearner`."""
    return MarkovLearner(mixture, hypotheses, model, options).run()
