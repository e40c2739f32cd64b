"""The captioner: a loaded bundle that answers with one column per hypothesis beside two baselines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from lora_mcl.adapters import BASE_ROW, AdapterStack
from lora_mcl.bundle import Bundle, load_bundle
from lora_mcl.decoding import (
    BeamSearch,
    Candidate,
    ColumnRequest,
    DiverseBeamSearch,
    Engine,
    Greedy,
    LogitRules,
    Strategy,
)
from lora_mcl.errors import BundleError
from lora_mcl.media import load_image, media_name
from lora_mcl.models import ImageLanguageModel
from lora_mcl.results import Caption, ColumnResult, ColumnSpec, CompareOptions, Comparison, Media, never

# How long a request that waits for its turn sleeps between two looks at should_stop, in seconds.
_TURN_POLL = 0.05


class Captioner:
    """A base model with the adapters of one bundle, ready to compare ways of decoding.

    May be shared between threads: the rows of the adapter stack belong to one request at a time, so requests
    take turns.
    """

    def __init__(self, bundle: Bundle, model: ImageLanguageModel, stack: AdapterStack) -> None:
        self.bundle = bundle
        self._model = model
        self._stack = stack
        self._engine = Engine(model.model, stack, model.eos_token_ids, model.pad_token_id)
        # Not an RLock: a server may resume a generator, and so release its turn, in another thread.
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        source: str | Path | Bundle,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Captioner:
        """Load a bundle, its base model and its adapters.

        Args:
            source: a bundle, its folder, or its Hub id (with ``revision``).
            device: where to run; by default the GPU if there is one.
            dtype: of the base model; by default float32 on the CPU and bfloat16 elsewhere.

        Raises:
            BundleError: the bundle, its base or an adapter is missing, malformed or does not fit.
        """
        bundle = source if isinstance(source, Bundle) else load_bundle(source, revision=revision)
        if bundle.modality == "text":
            raise BundleError(
                f"{bundle.name} holds a text model, which has no image to caption: use its adapters with PEFT, or "
                "merge one with `python -m lora_mcl export`."
            )
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
        model = ImageLanguageModel.load(
            bundle.base_location(), revision=bundle.base.revision, dtype=dtype, device=device
        )
        stack = AdapterStack.from_peft(model.model, bundle.adapter_folders())
        return cls(bundle, model, stack)

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.name

    @property
    def defaults(self) -> CompareOptions:
        """The options the bundle recommends."""
        return self.bundle.generation

    def columns(self, options: CompareOptions | None = None) -> tuple[ColumnSpec, ...]:
        """The columns that ``compare`` fills with these options: hypotheses, beam, diverse beam."""
        options = options or self.defaults
        hypotheses = tuple(
            ColumnSpec(f"hypothesis-{k}", "hypothesis", ref.label, ref.description)
            for k, ref in enumerate(self.bundle.hypotheses)
        )
        baseline = self.bundle.baseline
        used, mark = (baseline.label, "") if baseline else ("the base model alone", " (base)")
        beams, groups = options.num_beams, options.num_beam_groups
        return (
            *hypotheses,
            ColumnSpec(
                "beam",
                "beam",
                f"Beam search{mark}",
                f"The best captions that {beams} beams find with {used}.",
            ),
            ColumnSpec(
                "diverse-beam",
                "diverse-beam",
                f"Diverse beam search{mark}",
                f"As many, in {groups} groups that a penalty keeps apart, with {used}.",
            ),
        )

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Comparison]:
        """Caption one image in every column at once; the image is encoded once, whatever the columns.

        Args:
            media: an image, or the path of one.
            options: the bundle's defaults if left out.
            should_stop: asked before every token; true ends the decoding within one token.

        Returns:
            Snapshots, one per token step: each holds all columns as far as they are. The last has ``done``
            set, or ``stopped``. Closing the iterator early frees the turn for the next request.

        Raises:
            MediaError: at once, if the image cannot be used.
        """
        options = options or self.defaults
        started = time.perf_counter()
        image = load_image(media)
        empty = Comparison(
            media=media_name(media),
            model=self.name,
            seconds=0.0,
            columns=tuple(ColumnResult(c.id, c.method, c.label, 0.0) for c in self.columns(options)),
        )
        return self._compare(image, options, should_stop, empty, started)

    def _compare(
        self,
        image: Image.Image,
        options: CompareOptions,
        should_stop: Callable[[], bool],
        comparison: Comparison,
        started: float,
    ) -> Iterator[Comparison]:
        yield comparison
        while not self._turn.acquire(timeout=_TURN_POLL):
            if should_stop():
                yield replace(comparison, seconds=time.perf_counter() - started, stopped=True)
                return
        try:
            prompt = self._model.encode(image, self.bundle.prompt)
            decoding_since = time.perf_counter()
            events = self._engine.decode(
                prompt,
                self._requests(options),
                max_new_tokens=options.max_new_tokens,
                rules=LogitRules(
                    repetition_penalty=options.repetition_penalty,
                    forbidden_token_ids=self._model.forbidden_token_ids,
                ),
                should_stop=should_stop,
            )
            # Closed here and not when collected: the stack's rows must be back before the turn passes on.
            with closing(events):
                for event in events:
                    now = time.perf_counter()
                    columns = tuple(
                        replace(
                            column,
                            seconds=now - decoding_since,
                            captions=tuple(map(self._caption, event.columns[column.id])),
                            done=column.id in event.finished,
                        )
                        if column.id in event.columns
                        else column
                        for column in comparison.columns
                    )
                    comparison = replace(
                        comparison,
                        seconds=now - started,
                        columns=columns,
                        done=event.done and not event.stopped,
                        stopped=event.stopped,
                    )
                    yield comparison
        finally:
            self._turn.release()

    def _requests(self, options: CompareOptions) -> list[ColumnRequest]:
        hypothesis: Strategy = Greedy()
        if options.hypothesis_beams > 1:
            hypothesis = BeamSearch(
                options.hypothesis_beams, num_return_sequences=1, length_penalty=options.length_penalty
            )
        baseline = BASE_ROW if self.bundle.baseline is None else self._stack.index("baseline")
        beam = BeamSearch(options.num_beams, length_penalty=options.length_penalty)
        diverse = DiverseBeamSearch(
            options.num_beams,
            options.num_beam_groups,
            options.diversity_penalty,
            length_penalty=options.length_penalty,
        )
        return [
            *(
                ColumnRequest(f"hypothesis-{k}", self._stack.index(f"hypothesis-{k}"), hypothesis)
                for k in range(len(self.bundle.hypotheses))
            ),
            ColumnRequest("beam", baseline, beam),
            ColumnRequest("diverse-beam", baseline, diverse),
        ]

    def _caption(self, candidate: Candidate) -> Caption:
        # A byte-level token can end inside a character: the replacement mark it leaves would flicker.
        text = self._model.text(candidate.tokens).rstrip("\ufffd").strip()
        return Caption(text, candidate.log_prob, candidate.mean_log_prob, candidate.length)
