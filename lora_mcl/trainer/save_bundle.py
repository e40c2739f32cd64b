"""Save what a ``MultipleChoiceLearner`` learned as a bundle: PEFT folders, the gate and its words, ``bundle.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.errors import OptionsError
from lora_mcl.trainer.divergence import require_finite_weights
from lora_mcl.trainer.step import MultipleChoiceLearner

WORDS = 12
"""Number of distinctive words of each hypothesis that a bundle lists."""


def save_bundle_of(
    learner: MultipleChoiceLearner,
    folder: str | Path,
    *,
    base: str | Path | None = None,
    revision: str | None = None,
    modality: str = "text",
    prompt: str = "",
    chat_template: str | None = None,
    labels: Sequence[str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    training: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle that ``lora_mcl.load_bundle`` reads, and return it.

    Args:
        base: where the frozen model came from, a folder or a Hub id; by default the model's ``name_or_path``.
        revision: of a Hub id.
        modality, prompt, chat_template: see ``lora_mcl.bundle.bundle``.
        labels: a heading for each hypothesis; "Hypothesis 1", ... by default.
        tokenizer: spells the gate's distinctive words; without it none are saved.
        training: free summary of how the adapters were made.

    Raises:
        OptionsError: ``labels`` are not one per hypothesis.
        BundleError: the base is unknown, or the result would not load.
        DivergenceError: what was learned is not finite.
    """
    require_finite_weights(learner)
    folder, names = Path(folder), learner.stack.names
    labels = [f"Hypothesis {k + 1}" for k in range(len(names))] if labels is None else labels
    if len(labels) != len(names):
        raise OptionsError(f"labels: give one per hypothesis, {len(names)}; got {len(labels)}")
    reference = BaseRef.of(base or learner.model.name_or_path, folder, revision)
    for k, name in enumerate(names):
        learner.stack.save(name, folder / "hypotheses" / str(k), reference.id)
    if learner.gate is not None:
        words = None if tokenizer is None else learner.gate.distinctive_words(WORDS, tokenizer.decode)
        learner.gate.save(folder / "gate", words)
    bundle = Bundle(
        folder=folder,
        name=folder.resolve().name,
        base=reference,
        prompt=prompt,
        chat_template=chat_template,
        hypotheses=tuple(AdapterRef(f"hypotheses/{k}", label) for k, label in enumerate(labels)),
        gate=None if learner.gate is None else "gate",
        modality=modality,
        training=training or {},
    )
    save_bundle(bundle)
    return bundle
