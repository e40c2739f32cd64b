"""The base of all captioners: what a bundle and the options determine, without a model."""

from __future__ import annotations

from lora_mcl.bundle import Bundle
from lora_mcl.columns import column_specs
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
        """
        return column_specs(self.bundle, options)  # the bundle once: a remote captioner asks a replica for it
