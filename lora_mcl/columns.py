"""The columns of a comparison, as a bundle and the options determine them; no model is needed."""

from __future__ import annotations

from collections.abc import Mapping

from lora_mcl.bundle import Bundle
from lora_mcl.errors import OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.types import ColumnSpec, CompareOptions, Method

_EVERY = ("max_new_tokens", "min_new_tokens", "repetition_penalty", "no_repeat_ngram_size")
USED_OPTIONS: Mapping[Method, tuple[str, ...]] = {
    "hypothesis": (*_EVERY, "hypothesis_beams", "length_penalty"),
    "beam": (*_EVERY, "num_beams", "length_penalty"),
    "diverse-beam": (*_EVERY, "num_beams", "num_beam_groups", "diversity_penalty", "length_penalty"),
    "sampling": (*_EVERY, "num_samples", "temperature", "top_k", "top_p", "typical_p", "seed"),
}
"""The options that the captions of a column depend on, by its method."""


def same_captions(method: Method, one: CompareOptions, two: CompareOptions) -> bool:
    """Whether a column of that method gets the same captions with both."""
    return all(getattr(one, name) == getattr(two, name) for name in USED_OPTIONS[method])


def column_specs(bundle: Bundle, options: CompareOptions | None = None) -> tuple[ColumnSpec, ...]:
    """The columns that ``Captioner.compare`` fills: hypotheses, beam, diverse beam, sampling if asked.

    Args:
        options: the bundle's defaults if left out.

    Raises:
        OptionsError: ``options.columns`` names one that there is not.
    """
    options = options or bundle.generation
    hypotheses = tuple(
        ColumnSpec(f"hypothesis-{k}", "hypothesis", ref.label, ref.description, options.hypothesis_beams > 1)
        for k, ref in enumerate(bundle.hypotheses)
    )
    baseline = bundle.baseline
    used, mark = (Phrase(baseline.label), "") if baseline else (Phrase("the base model alone"), " (base)")
    beams, groups, samples = options.num_beams, options.num_beam_groups, options.num_samples
    best = Phrase("The best captions that {beams} beams find with {used}.", beams=beams, used=used)
    if groups == 1:
        kept_apart = Phrase("As many, in one group that no penalty divides, with {used}.", used=used)
    else:
        kept_apart = Phrase(
            "As many, in {groups} groups that a penalty keeps apart, with {used}.", groups=groups, used=used
        )
    at_random = Phrase("Captions drawn at random with {used}.", used=used)
    beam = ColumnSpec("beam", "beam", f"Beam search{mark}", best, revises=True)
    diverse = ColumnSpec(
        "diverse-beam",
        "diverse-beam",
        f"Diverse beam search{mark}",
        kept_apart,
        revises=True,
    )
    drawn = ColumnSpec("sampling", "sampling", f"Sampling{mark}", at_random)
    return chosen_columns((*hypotheses, beam, diverse, *([drawn] if samples else [])), options)


def chosen_columns(specs: tuple[ColumnSpec, ...], options: CompareOptions) -> tuple[ColumnSpec, ...]:
    """Those that ``options.columns`` names, in the order of ``specs``; all of them if it names none.

    Raises:
        OptionsError: it names one that there is not.
    """
    known = [spec.id for spec in specs]
    for id in options.columns:
        if id not in known:
            raise OptionsError(f"columns: there is no column {id!r}; there are {', '.join(known)}.")
    return tuple(spec for spec in specs if not options.columns or spec.id in options.columns)
