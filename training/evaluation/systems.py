"""The systems that are compared: K captions each, with equal decoding budgets.

The paper's rule: where each of K hypotheses decodes with B beams, a single adapter searches with K * B beams and gives
its best K (diverse beam search in K groups); samples are K. Test-time augmentation decodes K variants of the input
with B beams each.
"""

from __future__ import annotations

from dataclasses import dataclass

from lora_mcl.adapters import BASE_ROW, AdapterStack
from lora_mcl.bundle import Bundle
from lora_mcl.decoding import BeamSearch, DecodingStrategy, DiverseBeamSearch, Greedy, Sampling

PENALTIES = (0.5, 0.8, 1.0)
HYPOTHESES, AUGMENTATION = "hypotheses", "test-time augmentation"


@dataclass(frozen=True)
class System:
    """One way to get K captions of a medium.

    Attributes:
        name: in the results.
        adapters: positions in the adapter stack; the strategy is run with each.
        strategy: how each decodes.
        variants: augmented inputs that each adapter decodes; 1 is the input itself.
        rows: of the batch, at most, a medium: the sequences searched at a time.
    """

    name: str
    adapters: tuple[int, ...]
    strategy: DecodingStrategy
    variants: int = 1

    @property
    def rows(self) -> int:
        return len(self.adapters) * self.variants * self.strategy.num_rows


def hypothesis_rows_of(bundle: Bundle, stack: AdapterStack) -> tuple[int, ...]:
    """Positions of the hypotheses in the stack."""
    return tuple(stack.index(f"hypothesis-{k}") for k in range(len(bundle.hypotheses)))


def baseline_row_of(bundle: Bundle, stack: AdapterStack) -> int:
    """The adapter under the baselines: the bundle's, or its only hypothesis (LoRA-MLE), or none (the bare base)."""
    if bundle.baseline is not None:
        return stack.index("baseline")
    return stack.index("hypothesis-0") if len(bundle.hypotheses) == 1 else BASE_ROW


def systems_of(bundle: Bundle, stack: AdapterStack, captions: int, beams: int, seed: int) -> list[System]:
    """All systems with ``captions`` = K captions of ``beams`` = B beams each; hypotheses first, if there are K > 1."""
    baseline = (baseline_row_of(bundle, stack),)
    hypotheses = hypothesis_rows_of(bundle, stack)
    each: DecodingStrategy = Greedy() if beams == 1 else BeamSearch(beams, num_return_sequences=1)
    budget = captions * beams
    systems = [System(HYPOTHESES, hypotheses, each)] if len(hypotheses) > 1 else []
    systems.append(System("beam search", baseline, BeamSearch(budget, num_return_sequences=captions)))
    if captions > 1:
        systems += [
            System(
                f"diverse beam search {penalty}",
                baseline,
                DiverseBeamSearch(budget, captions, penalty, num_return_sequences=captions),
            )
            for penalty in PENALTIES
        ]
    systems += [
        System("ancestral sampling", baseline, Sampling(captions, seed=seed)),
        System("nucleus sampling .95", baseline, Sampling(captions, top_p=0.95, seed=seed)),
        System("top-k sampling 50", baseline, Sampling(captions, top_k=50, seed=seed)),
        System("typical sampling .95", baseline, Sampling(captions, typical_p=0.95, seed=seed)),
    ]
    if captions > 1:
        systems.append(System(AUGMENTATION, baseline, each, variants=captions))
    return systems
