"""Choosing between live rows and a static step, and falling back with a reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from transformers import PreTrainedModel

from lora_mcl.decoding.options import EngineOptions
from lora_mcl.decoding.prefill import AdapterRows, Prefill, Source
from lora_mcl.decoding.rows import LiveRows
from lora_mcl.decoding.shared_prompt import can_share_prompts
from lora_mcl.decoding.static import Shape, StaticRows, StaticStep
from lora_mcl.decoding.trunk import decoder_of

logger = logging.getLogger(__name__)


class Accelerator:
    """Gives a decode its rows; keeps the step of the last shape ready for the next request."""

    def __init__(self, model: PreTrainedModel, stack: AdapterRows | None, options: EngineOptions) -> None:
        self._model = model
        self._stack = stack
        self._options = options
        self._step: StaticStep | None = None
        self._off = options.acceleration == "off"

    def rows(
        self, prefill: Prefill, sources: Sequence[Source], num_rows: Sequence[int], max_new_tokens: int
    ) -> LiveRows | StaticRows:
        """The rows that continue a prefill; source ``s`` has ``num_rows[s]`` at most."""
        if not self._off:
            step = self._static_step(prefill, sources, num_rows, max_new_tokens)
            if step is not None:
                return StaticRows(step, prefill)
        return LiveRows(self._model, self._stack, prefill, sources, share_prompts=self._options.share_prompts)

    def _static_step(
        self, prefill: Prefill, sources: Sequence[Source], num_rows: Sequence[int], max_new_tokens: int
    ) -> StaticStep | None:
        adapters = tuple(source.adapter for source in sources)
        length = prefill.mask.shape[1]
        shape = Shape(tuple(num_rows), adapters, prefill.media, prefill.trunk_depth, length, max_new_tokens)
        if self._step is not None and self._step.in_use:
            logger.warning("Decoding without acceleration: another decode of this engine is going on.")
            return None
        if self._step is not None and self._step.shape.holds(shape):
            return self._step
        if reason := self._obstacle():
            return self._give_up(reason)
        # First, so that old and new buffers are not held together.
        self._step = None
        try:
            step = StaticStep(self._model, self._stack, prefill, shape.rounded())
            if self._options.acceleration == "compile":
                step.compile(self._options.compile_backend)
            if self._options.acceleration != "static" and prefill.logits.is_cuda:
                step.record()
        except Exception as error:
            # Whatever a compiler or a driver has to say, captions can be written without them.
            first_line = str(error).strip().split("\n")[0]
            return self._give_up(f"{type(error).__name__}: {first_line}")
        self._step = step
        return step

    def _obstacle(self) -> str | None:
        """Why the model cannot take a static step; None if it can."""
        decoder = decoder_of(self._model)
        devices = {parameter.device for parameter in decoder.parameters()}
        if not can_share_prompts(decoder):
            return f"{type(decoder).__name__} has layers that do not attend to all positions in the usual way"
        if len(devices) > 1:
            return f"the model lies on {len(devices)} devices"
        (device,) = devices
        if self._options.acceleration == "cuda-graph" and device.type != "cuda":
            return f"the model is on the {device.type}, which has no CUDA graphs"
        return None

    def _give_up(self, reason: str) -> None:
        logger.warning("Decoding without acceleration (%s): %s.", self._options.acceleration, reason)
        self._off = True
