"""Token ids of a prompt and a caption, laid out by the processor's chat template; captions are the targets.

The prompt's tokens are exactly those that the model is given when it captions; the targets are what it should then
write: the caption, and the token that ends the assistant's turn. That token is taken from the template where it
ends a turn with one (Qwen2-Audio-Instruct: ``<|im_end|>``). The published LLaVA-1.6 templates do not: after an
assistant's text the Vicuna one has a space, the Mistral one the four characters ``<\\s>``, which are no token. Neither
is taught; the caption then ends with the tokenizer's end of sequence, which is what stops decoding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lora_mcl.errors import OptionsError
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.phrases import Phrase

_PROBE = "caption"


class ChatLabels:
    """Tokens of one prompt with any caption.

    Args:
        model: whose processor is used.
        prompt: the instruction.

    Raises:
        OptionsError: the chat template does not lay out an answer after the prompt, or the prompt contains the media
            placeholder token.
    """

    def __init__(self, model: MediaLanguageModel, prompt: str) -> None:
        self._tokenizer = model.tokenizer
        turn = model.conversation("", prompt)
        template = model.processor.apply_chat_template
        self.prompt_text: str = template(turn, add_generation_prompt=True)
        answered = template([*turn, _assistant(_PROBE)])
        self._lead, found, after = answered.removeprefix(self.prompt_text).partition(_PROBE)
        if not answered.startswith(self.prompt_text) or not found or self._lead.strip():
            raise OptionsError(
                f"The chat template of {model.model.name_or_path} does not let an answer follow its prompt: it makes "
                f"{self.prompt_text!r} of the prompt, and {answered!r} with the answer {_PROBE!r}"
            )
        self._prompt = self._tokens(self.prompt_text)
        self._placeholder = self._tokenizer.convert_tokens_to_ids(model.placeholder)
        added = self._tokenizer.added_tokens_decoder.items()
        self._special = {one.content for _, one in added if one.special} - {self._tokenizer.unk_token}
        first = self._tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]
        ends = model.eos_token_ids
        own = self._tokenizer.eos_token_id
        self.end = first[0] if first and first[0] in ends else own if own in ends else ends[0]

    def prompt_ids(self, positions: int) -> Tensor:
        """The prompt's tokens [P], with ``positions`` media placeholders."""
        spread = [[one] * positions if one == self._placeholder else [one] for one in self._prompt]
        return torch.tensor([token for tokens in spread for token in tokens])

    def caption_ids(self, caption: str) -> list[int]:
        """The targets: the caption's tokens as they follow the prompt, and the end token."""
        answer = self._lead + caption
        joined, prompt_length = self._tokens(self.prompt_text + answer), len(self._prompt)
        # A tokenizer may merge the prompt's last characters with the answer's first into one token. Decoding starts
        # after the prompt and never produces it: then the answer is tokenized by itself.
        is_prefix = joined[:prompt_length] == self._prompt
        ids = joined[prompt_length:] if is_prefix else self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        return [*ids, self.end]

    def check_caption(self, caption: str) -> None:
        """Refuse a caption whose text holds a special token, which would be tokenized as one.

        Raises:
            OptionsError: it holds one.
        """
        for word in self._special:
            if word in caption:
                raise OptionsError(
                    Phrase(
                        "The caption {caption!r} contains {word!r}, which the model takes for a command",
                        caption=caption,
                        word=word,
                    )
                )

    def _tokens(self, text: str) -> list[int]:
        # As processors do: a template may write the beginning of the sequence itself.
        bos = self._tokenizer.bos_token
        begins = bos is not None and text.startswith(bos)
        return self._tokenizer(text, add_special_tokens=not begins)["input_ids"]


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}
