"""Choice of the decode state: a static step where acceleration is on and possible, otherwise live rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding.decode_state import DecodeState
from lora_mcl.decoding.options import EngineOptions
from lora_mcl.decoding.prefill import Prefill
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.decoding.shared_prompt_cache import can_share_prompts
from lora_mcl.decoding.static import StaticDecodeState, StaticShape, StaticStep
from lora_mcl.errors import first_line

logger = logging.getLogger(__name__)


class Accelerator:
    """Makes the decode state of a request; keeps the step of the last shape for the next request."""

    def __init__(self, model: PreTrainedModel, stack: AdapterStack | None, options: EngineOptions) -> None:
        self._model = model
        self._stack = stack
        self._options = options
        self._step: StaticStep | None = None
        self._off = options.acceleration == "off"

    @property
    def is_on(self) -> bool:
        """Whether acceleration is requested and has not failed."""
        return not self._off

    def start(self, prefill: Prefill, max_rows: Sequence[int], max_new_tokens: int) -> DecodeState | StaticDecodeState:
        """The state that continues a prefill of S prefixes; prefix ``s`` has at most ``max_rows[s]`` rows."""
        if not self._off:
            step = self._static_step(prefill, max_rows, max_new_tokens)
            if step is not None:
                return StaticDecodeState(step, prefill)
        return DecodeState(self._model, self._stack, prefill, share_prompts=self._options.share_prompts)

    def _static_step(self, prefill: Prefill, max_rows: Sequence[int], max_new_tokens: int) -> StaticStep | None:
        shape = StaticShape(
            rows=tuple(max_rows),
            adapters=prefill.adapters,
            prompt_of=prefill.prompt_of,
            num_shared_layers=prefill.num_shared_layers,
            prompt_capacity=prefill.mask.shape[1],
            written_capacity=max_new_tokens,
        )
        if self._step is not None and self._step.in_use:
            logger.warning("Decoding without acceleration: another decode of this engine is going on.")
            return None
        if self._step is not None and self._step.shape.fits(shape):
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
            # Any error of a compiler or a driver: decoding works without them.
            return self._give_up(f"{type(error).__name__}: {first_line(error)}")
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
