"""The captioner: a loaded bundle that gives one column per hypothesis and the baselines' columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lora_mcl.adapters import BASE_ROW, AdapterStack
from lora_mcl.audio import load_window
from lora_mcl.bundle import Bundle, load_bundle
from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.decoding import (
    BeamSearch,
    Candidate,
    ColumnRequest,
    DecodingStrategy,
    DiverseBeamSearch,
    Engine,
    EngineOptions,
    Greedy,
    LogitsOptions,
    Sampling,
    Scheduler,
    SchedulerOptions,
)
from lora_mcl.decoding.options import Acceleration
from lora_mcl.errors import BundleError, MediaError, OptionsError
from lora_mcl.images import check_not_blank, input_name, read_image
from lora_mcl.models import LANGUAGE_MODELS, AudioLanguageModel, EncodedPrompt, ImageLanguageModel, MediaLanguageModel
from lora_mcl.recent_prompts import RecentPrompts
from lora_mcl.score_head import ScoreHead, load_score_head, prompt_states, state_width
from lora_mcl.scores import CaptionScore, SystemScore
from lora_mcl.scoring import caption_ids, caption_log_probs, one_line, token_texts
from lora_mcl.types import (
    AudioClip,
    AudioView,
    Caption,
    ColumnResult,
    CompareOptions,
    Comparison,
    Media,
    Method,
    Window,
    never_stop,
)

# Columns whose captions stand in the order of their scores.
_RANKED: tuple[Method, ...] = ("beam", "diverse-beam")
# Modules that read embeddings, which are the same for every hypothesis unless something before them is adapted.
_LANGUAGE_MODEL = ("model.language_model.", "lm_head")


class Captioner(BundleCaptioner):
    """A base model with the adapters of one bundle, ready to compare ways of decoding images or sounds.

    May be shared between threads: their requests share the steps of the model, each with the captions that it would
    have alone (``decoding.Scheduler``). While an iterator of ``compare`` is open in another thread, the model and the
    adapter stack are in use.
    """

    def __init__(
        self,
        bundle: Bundle,
        model: MediaLanguageModel,
        stack: AdapterStack,
        engine_options: EngineOptions | None = None,
        scheduler_options: SchedulerOptions | None = None,
        keep_prompts: int = 0,
        score_head: ScoreHead | None = None,
    ) -> None:
        self.bundle = bundle
        self._model = model
        self._stack = stack
        self._score_head = score_head
        self._engine = Engine(
            model.model, stack, model.eos_token_ids, model.pad_token_id, engine_options or EngineOptions()
        )
        self._scheduler = Scheduler(self._engine, scheduler_options)
        # Used within the scheduler's turn, so by one thread at a time.
        self._recent = RecentPrompts(keep_prompts)
        self._prompt_per_adapter = not all(name.startswith(_LANGUAGE_MODEL) for name in stack.layers)
        if self._prompt_per_adapter and isinstance(model, ImageLanguageModel):
            raise BundleError(
                f"{bundle.name} has adapters on the vision tower or the projector, which is not supported for "
                "images: each hypothesis would need its own reading of the picture."
            )

    @classmethod
    def load(
        cls,
        source: str | Path | Bundle,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        device_map: str | Mapping[str, Any] | None = None,
        load_in_4bit: bool = False,
        acceleration: Acceleration = "off",
        scheduler_options: SchedulerOptions | None = None,
        keep_prompts: int = 0,
    ) -> Captioner:
        """Load a bundle, its base model and its adapters.

        Args:
            source: a bundle, its folder, or its Hub id (with ``revision``).
            device: where to run; by default the GPU if there is one.
            dtype: of the base model; by default float32 on the CPU and bfloat16 elsewhere.
            device_map: in place of ``device``, a placement over several ones, such as "auto".
            load_in_4bit: hold the base's language model in 4 bits (needs the bitsandbytes package).
            acceleration: how steps are run on a GPU; see ``decoding.EngineOptions``. Requests then take turns.
            scheduler_options: how many requests of other threads may share a step; see ``decoding.SchedulerOptions``.
            keep_prompts: of how many media that were asked for last the encoding is kept, for those who ask again.

        Raises:
            BundleError: the bundle, its base, an adapter or the score head is missing, malformed or does not fit.
            OptionsError: both ``device`` and ``device_map`` are given, or an unknown acceleration.
        """
        engine_options = EngineOptions(acceleration=acceleration)
        if device is not None and device_map is not None:
            raise OptionsError("Give either device or device_map, not both.")
        bundle = source if isinstance(source, Bundle) else load_bundle(source, revision=revision)
        if bundle.modality == "text":
            raise BundleError(
                f"{bundle.name} holds a text model, which has no image to caption: use its adapters with PEFT, or "
                "merge one with `python -m lora_mcl export`."
            )
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
        model = LANGUAGE_MODELS[bundle.modality].load(
            bundle.base_location(),
            revision=bundle.base.revision,
            dtype=dtype,
            device=device,
            device_map=device_map,
            load_in_4bit=load_in_4bit,
            chat_template=bundle.chat_template,
        )
        model.use_channels_last()
        # In the base's dtype, to which they would be cast for every product anyway.
        stack = AdapterStack.from_peft(model.model, bundle.adapter_folders(), dtype=dtype)
        score_head = load_score_head(bundle, state_width(model.model))
        return cls(bundle, model, stack, engine_options, scheduler_options, keep_prompts, score_head)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Caption one image or sound in every column at once.

        It is encoded once for all columns, unless the adapters change the audio tower or the projector: then once
        for each of them, in one batch. With a score head the bare base reads the prompt once more, and every hypothesis
        has its predicted probability of winning from its first token on.

        Args:
            media: an image or a sound, as the bundle takes them, or the path of one.
            options: the bundle's defaults if left out.
            start: of a sound, the second where the model's window begins; None is the first sound.
            should_stop: asked before every token; true ends the decoding within one token.

        Returns:
            Snapshots, one per token step: each holds all columns as far as they are. The last has ``done``
            set, or ``stopped``. Closing the iterator early frees its rows and cache.

        Raises:
            MediaError: at once, if the image or sound cannot be used.
            OptionsError: at once, if ``start`` is not within the sound, or given for an image, or if there is no
                column of an id in ``options.columns``.
        """
        options = options or self.defaults
        started = time.perf_counter()
        content, window, notices = self._read(media, start)
        empty = Comparison(
            media=input_name(media),
            model=self.name,
            seconds=0.0,
            columns=tuple(ColumnResult(c.id, c.method, c.label, 0.0) for c in self.columns(options)),
            window=window,
            notices=notices,
        )
        return self._compare(content, options, should_stop, empty, started)

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The part of a sound from second ``start`` that the model gets, with its log-mel spectrogram.

        Raises:
            MediaError: if the sound cannot be used.
            OptionsError: if ``start`` is not within the sound, or the bundle is one for images.
        """
        if not isinstance(self._model, AudioLanguageModel):
            raise OptionsError(f"{self.name} captions images, not sounds.")
        samples, window, _ = self._read(media, start)
        return AudioView(window, self._model.log_mel(samples), self._model.sampling_rate)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Log-probabilities of a given caption under every hypothesis and the baseline, token by token.

        It is scored as it stands, with single spaces between its words, in one forward for all of them.

        Args:
            media, start: as for ``compare``.
            caption: of any language.

        Raises:
            MediaError: the image or sound cannot be used.
            OptionsError: the caption is empty or too long or holds a special token, or ``start`` is not within the
                sound.
        """
        started = time.perf_counter()
        caption = one_line(caption) if isinstance(caption, str) else caption
        ids = caption_ids(self._model, self.bundle.prompt, caption)
        content, window, notices = self._read(media, start)

        def log_probs() -> list[list[float]]:
            prompt = self._encode(content)
            return caption_log_probs(self._model.model, self._stack, prompt, self._adapters(), ids).tolist()

        *hypotheses, baseline = self._scheduler.run(log_probs)
        texts, unknown = token_texts(self._model, ids)
        reference = self.bundle.baseline
        return CaptionScore(
            media=input_name(media),
            model=self.name,
            caption=caption,
            tokens=texts,
            hypotheses=tuple(
                SystemScore(f"hypothesis-{k}", ref.label, tuple(own))
                for k, (ref, own) in enumerate(zip(self.bundle.hypotheses, hypotheses, strict=True))
            ),
            baseline=SystemScore("baseline", reference.label if reference else "Base model", tuple(baseline)),
            unknown=unknown,
            seconds=time.perf_counter() - started,
            window=window,
            notices=notices,
        )

    def _read(
        self, media: Media, start: float | None
    ) -> tuple[Image.Image | np.ndarray, Window | None, tuple[str, ...]]:
        """The image or the samples, the part of a sound they are, and notices for the user."""
        model = self._model
        if isinstance(model, AudioLanguageModel):
            if isinstance(media, Image.Image):
                raise MediaError(f"{self.name} captions sounds, not images.")
            rate, longest = model.sampling_rate, model.max_seconds
            samples, window = load_window(media, start, sampling_rate=rate, max_seconds=longest)
            return samples, window, window.notices
        if isinstance(media, AudioClip):
            raise MediaError(f"{self.name} captions images, not sounds.")
        if start not in (None, 0):
            raise OptionsError(f"start is the second of a sound where the model begins; {self.name} captions images.")
        image, notices = read_image(media)
        check_not_blank(image, input_name(media))
        return image, None, notices

    def _encode(self, content: Image.Image | np.ndarray) -> EncodedPrompt:
        """The prompt: one row for all columns, or one for each of ``_adapters`` where these change the tower."""

        def encode() -> EncodedPrompt:
            if not self._prompt_per_adapter:
                return self._model.encode(content, self.bundle.prompt)
            with self._stack.rows(self._adapters()):
                return self._model.encode(content, self.bundle.prompt, copies=len(self._adapters()))

        return self._recent.get(content, encode)

    def _win_probabilities(self, content: Image.Image | np.ndarray, prompt: EncodedPrompt) -> list[float]:
        """Each hypothesis' predicted probability of winning; empty without a score head."""
        if self._score_head is None:
            return []
        if self._prompt_per_adapter:  # none of these is the bare base's
            with self._stack.rows([BASE_ROW]):
                prompt = self._model.encode(content, self.bundle.prompt)
        states = prompt_states(self._model.model, self._stack, prompt)
        return self._score_head.log_probabilities(states.cpu())[0].exp().tolist()

    def _adapters(self) -> list[int]:
        """Rows of the hypotheses, in order, then of the baseline."""
        baseline = BASE_ROW if self.bundle.baseline is None else self._stack.index("baseline")
        return [*(self._stack.index(f"hypothesis-{k}") for k in range(len(self.bundle.hypotheses))), baseline]

    def _compare(
        self,
        content: Image.Image | np.ndarray,
        options: CompareOptions,
        should_stop: Callable[[], bool],
        comparison: Comparison,
        started: float,
    ) -> Iterator[Comparison]:
        yield comparison
        decoding_since = started
        predicted: list[float] = []

        def encode() -> EncodedPrompt:
            nonlocal decoding_since
            prompt = self._encode(content)
            predicted.extend(self._win_probabilities(content, prompt))
            decoding_since = time.perf_counter()
            return prompt

        events = self._scheduler.decode(
            encode,
            self._requests(options),
            max_new_tokens=options.max_new_tokens,
            logits_options=LogitsOptions(
                repetition_penalty=options.repetition_penalty,
                no_repeat_ngram_size=options.no_repeat_ngram_size,
                min_new_tokens=options.min_new_tokens,
                forbidden_token_ids=self._model.forbidden_token_ids,
            ),
            should_stop=should_stop,
        )
        # Closed here and not when collected, so that rows and cache are free at once.
        with closing(events):
            for event in events:
                now = time.perf_counter()
                if predicted:
                    comparison = comparison.with_win_probabilities(predicted)
                columns = tuple(
                    replace(
                        column,
                        seconds=now - decoding_since,
                        captions=tuple(
                            self._caption(candidate, column.method in _RANKED) for candidate in event.columns[column.id]
                        ),
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

    def _requests(self, options: CompareOptions) -> list[ColumnRequest]:
        hypothesis: DecodingStrategy = Greedy()
        if options.hypothesis_beams > 1:
            hypothesis = BeamSearch(
                options.hypothesis_beams, num_return_sequences=1, length_penalty=options.length_penalty
            )
        beam = BeamSearch(options.num_beams, length_penalty=options.length_penalty)
        diverse = DiverseBeamSearch(
            options.num_beams,
            options.num_beam_groups,
            options.diversity_penalty,
            length_penalty=options.length_penalty,
        )
        baselines: list[tuple[str, DecodingStrategy]] = [("beam", beam), ("diverse-beam", diverse)]
        if options.num_samples:
            sampling = Sampling(
                options.num_samples,
                options.temperature,
                options.top_k,
                options.top_p,
                options.typical_p,
                options.seed,
            )
            baselines.append(("sampling", sampling))
        *hypotheses, baseline = self._adapters()
        own_prompt = len(hypotheses) if self._prompt_per_adapter else 0
        requests = [
            *(
                ColumnRequest(f"hypothesis-{k}", adapter, hypothesis, prompt=k if self._prompt_per_adapter else 0)
                for k, adapter in enumerate(hypotheses)
            ),
            *(ColumnRequest(id, baseline, strategy, prompt=own_prompt) for id, strategy in baselines),
        ]
        wanted = {spec.id for spec in self.columns(options)}
        return [request for request in requests if request.id in wanted]

    def _caption(self, candidate: Candidate, ranked: bool) -> Caption:
        # A byte-level token can end inside a character: the replacement mark it leaves would flicker.
        text = self._model.text(candidate.tokens).rstrip("\ufffd").strip()
        score = candidate.score if ranked else None
        return Caption(
            text, candidate.log_prob, candidate.mean_log_prob, candidate.length, score, candidate.least_log_prob
        )
