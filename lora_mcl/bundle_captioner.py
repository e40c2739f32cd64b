"""The base of all captioners: what a bundle and the options determine, without a model."""

from __future__ import annotations

from lora_mcl.bundle import Bundle
from lora_mcl.columns import chosen_columns
from lora_mcl.types import ColumnSpec, CompareOptions


class BundleCaptioner:
    """Name, default options and columns of a bundle's captioner.

    Attributes:
        bundle: the bundle.
    """

    bundle: Bundle

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.name

    @property
    def defaults(self) -> CompareOptions:
        """The options the bundle recommends."""
        return self.bundle.generation

    def columns(self, options: CompareOptions | None = None) -> tuple[ColumnSpec, ...]:
        """The columns that ``compare`` fills with these options: hypotheses, beam, diverse beam, sampling if asked.

        Args:
            options: the bundle's defaults if left out.

        Raises:
            OptionsError: ``options.columns`` names one that there is not.
        """
        bundle = self.bundle  # once: a remote captioner asks a replica for it
        options = options or bundle.generation
        hypotheses = tuple(
            ColumnSpec(f"hypothesis-{k}", "hypothesis", ref.label, ref.description, options.hypothesis_beams > 1)
            for k, ref in enumerate(bundle.hypotheses)
        )
        used, mark = (bundle.baseline.label, "") if bundle.baseline else ("the base model alone", " (base)")
        beams, groups, samples = options.num_beams, options.num_beam_groups, options.num_samples
        best = f"The best captions that {beams} beams find with {used}."
        beam = ColumnSpec("beam", "beam", f"Beam search{mark}", best, revises=True)
        diverse = ColumnSpec(
            "diverse-beam",
            "diverse-beam",
            f"Diverse beam search{mark}",
            f"As many, in {groups} groups that a penalty keeps apart, with {used}.",
            revises=True,
        )
        drawn = ColumnSpec("sampling", "sampling", f"Sampling{mark}", f"Captions drawn at random with {used}.")
        return chosen_columns((*hypotheses, beam, diverse, *([drawn] if samples else [])), options)
