"""Several models in one tab: the visitor chooses one, or two side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields, replace

from lora_mcl.columns import chosen_columns
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.scores import CaptionScore
from lora_mcl.types import (
    AudioCaptionSource,
    AudioView,
    CaptionSource,
    ColumnSpec,
    CompareOptions,
    Comparison,
    Media,
    never_stop,
)
from ui.loading import Waiting

Source = CaptionSource | AudioCaptionSource

ONE_MODEL = Phrase("A caption is scored by one model at a time: choose one of them.")


@dataclass(frozen=True)
class NamedModelOptions(CompareOptions):
    """Options for one of several models, by its name."""

    model: str = ""


def with_model(options: CompareOptions, model: str) -> NamedModelOptions:
    """The options, for that model."""
    return NamedModelOptions(
        **{field.name: getattr(options, field.name) for field in fields(CompareOptions)}, model=model
    )


class SeveralCaptioners:
    """A captioner for each of several models; that of ``NamedModelOptions.model`` answers, by default the first."""

    def __init__(self, captioners: Sequence[Source]) -> None:
        """
        Raises:
            BundleError: two have the same name.
        """
        self.captioners = tuple(captioners)
        self._by_name = {captioner.name: captioner for captioner in captioners}
        for captioner in captioners:
            if self._by_name[captioner.name] is not captioner:
                raise BundleError(
                    f"Two models of one tab are named {captioner.name}: give one of the bundles another name."
                )

    @property
    def name(self) -> str:
        """Name of the first model."""
        return self.captioners[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all models, in their order."""
        return tuple(self._by_name)

    @property
    def defaults(self) -> CompareOptions:
        """The options that the first model's bundle recommends."""
        return self.captioners[0].defaults

    def named(self, name: str) -> Source:
        """The captioner of that model.

        Raises:
            OptionsError: there is none.
        """
        if name not in self._by_name:
            known = ", ".join(self.names)
            raise OptionsError(Phrase("There is no model {name!r}; there are {known}.", name=name[:60], known=known))
        return self._by_name[name]

    def columns(self, options: CompareOptions | None = None) -> tuple[ColumnSpec, ...]:
        """The columns that ``compare`` fills."""
        return captioner_of(self, options).columns(options)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``, by the model of the options.

        Raises:
            BundleError, MediaError, OptionsError: as ``Captioner.compare``.
        """
        return captioner_of(self, options).compare(media, options, start=start, should_stop=should_stop)

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The first model's input for a sound."""
        return self.captioners[0].audio_view(media, start)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Like ``Captioner.score``, by the first model.

        Raises:
            MediaError, OptionsError: as ``Captioner.score``.
        """
        return self.captioners[0].score(media, caption, start=start)


class SideBySide:
    """The hypotheses of two models in one comparison, such as before and after training; no baselines."""

    def __init__(self, first: Source, second: Source) -> None:
        self._both = (first, second)

    @property
    def name(self) -> str:
        """Both names."""
        return " and ".join(captioner.name for captioner in self._both)

    @property
    def defaults(self) -> CompareOptions:
        """The options that the first bundle recommends, without samples."""
        return replace(self._both[0].defaults, num_samples=0, columns=())

    def columns(self, options: CompareOptions | None = None) -> tuple[ColumnSpec, ...]:
        """The first model's hypotheses, then the second's; those of the second are numbered on."""
        options = options or self.defaults
        specs = []
        for captioner in self._both:
            for spec in _hypotheses(captioner, options):
                label = Phrase("{label} · {model}", label=Phrase(spec.label), model=captioner.name)
                specs.append(replace(spec, id=f"hypothesis-{len(specs)}", label=label))
        return chosen_columns(tuple(specs), options)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``; both models write at the same time.

        Raises:
            BundleError, MediaError, OptionsError: as ``Captioner.compare``.
        """
        options = options or self.defaults
        wanted = self.columns(options)
        begins = (0, len(_hypotheses(self._both[0], options)))
        chosen = [self._ids(place, begin, wanted, options) for place, begin in enumerate(begins)]
        snapshots = [
            captioner.compare(media, replace(options, columns=ids), start=start, should_stop=should_stop)
            for captioner, ids in zip(self._both, chosen, strict=True)
            if ids
        ]
        return self._merged(snapshots, wanted, [begin for begin, ids in zip(begins, chosen, strict=True) if ids])

    def _ids(self, place: int, begin: int, wanted: Sequence[ColumnSpec], options: CompareOptions) -> tuple[str, ...]:
        """Ids, in one model's own numbers, of its columns among the wanted ones."""
        own = [spec.id for spec in _hypotheses(self._both[place], options)]
        ids = {spec.id for spec in wanted}
        return tuple(id for number, id in enumerate(own) if f"hypothesis-{begin + number}" in ids)

    def _merged(
        self, snapshots: Sequence[Iterator[Comparison]], wanted: Sequence[ColumnSpec], begins: Sequence[int]
    ) -> Iterator[Comparison]:
        latest: list[Comparison | None] = [None] * len(snapshots)
        with ExitStack() as stack:
            for one in snapshots:
                stack.enter_context(closing(one))
            while not all(one is not None and (one.done or one.stopped) for one in latest):
                for place, one in enumerate(snapshots):
                    latest[place] = next(one, latest[place])
                yield self._together([one for one in latest if one is not None], wanted, begins)

    def _together(
        self, latest: Sequence[Comparison], wanted: Sequence[ColumnSpec], begins: Sequence[int]
    ) -> Comparison:
        found = {
            f"hypothesis-{begin + column.number}": column
            for begin, one in zip(begins, latest, strict=True)
            for column in one.columns
        }
        columns = tuple(replace(found[spec.id], id=spec.id, label=spec.label) for spec in wanted)
        known = {field.name: getattr(latest[0], field.name) for field in fields(Comparison)}
        kind = next((Waiting for one in latest if isinstance(one, Waiting)), Comparison)
        return kind(
            **known
            | {
                "model": self.name,
                "seconds": max(one.seconds for one in latest),
                "columns": columns,
                "done": all(one.done for one in latest),
                "stopped": any(one.stopped for one in latest),
            }
        )

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The first model's input for a sound."""
        return self._both[0].audio_view(media, start)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Refused: two models have two vocabularies.

        Raises:
            OptionsError: always.
        """
        raise OptionsError(ONE_MODEL)


def _hypotheses(captioner: Source, options: CompareOptions) -> list[ColumnSpec]:
    specs = captioner.columns(replace(options, columns=()))
    return [spec for spec in specs if spec.method == "hypothesis"]


def captioner_of(captioner: Source, options: CompareOptions | None) -> Source:
    """Of several captioners the one that the options name, by default the first; any other captioner as it is.

    Raises:
        OptionsError: there is none of that name.
    """
    if not isinstance(captioner, SeveralCaptioners):
        return captioner
    named = isinstance(options, NamedModelOptions) and options.model
    return captioner.named(options.model) if named else captioner.captioners[0]


def models_of(captioner: Source) -> tuple[Source, ...]:
    """All captioners of several, or that one."""
    return captioner.captioners if isinstance(captioner, SeveralCaptioners) else (captioner,)
