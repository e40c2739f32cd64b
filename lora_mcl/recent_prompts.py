"""Encoded prompts of the media that were asked for last: a comparison with other settings encodes nothing anew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

import numpy as np
from PIL import Image

from lora_mcl.models import EncodedPrompt


class RecentPrompts:
    """Keeps the last ``count`` prompts, by the content of their media. For one thread at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._prompts: OrderedDict[bytes, EncodedPrompt] = OrderedDict()

    def get(self, content: Image.Image | np.ndarray, encode: Callable[[], EncodedPrompt]) -> EncodedPrompt:
        """The prompt of a picture or of samples; ``encode`` makes it where it is not kept."""
        if not self._count:
            return encode()
        key = _digest(content)
        prompt = self._prompts.pop(key, None) or encode()
        self._prompts[key] = prompt
        if len(self._prompts) > self._count:
            self._prompts.popitem(last=False)
        return prompt


def _digest(content: Image.Image | np.ndarray) -> bytes:
    if isinstance(content, Image.Image):
        shape, values = (content.mode, content.size), content.tobytes()
    else:
        shape, values = (content.dtype.str, content.shape), np.ascontiguousarray(content).tobytes()
    return blake2b(values, key=repr(shape).encode()).digest()
