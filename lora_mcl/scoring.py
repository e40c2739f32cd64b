"""Log-probabilities of a given caption under every hypothesis and the baseline, in one forward.

This is what winner-takes-all training compares: the caption is given (teacher forcing), and each adapter's loss on it
is read off. The layers below all adapters run once for all of them (``decoding.shared_layers``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding.prefill import Prefix, prefix_logits
from lora_mcl.decoding.request import Prompt
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.errors import OptionsError
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.models.labels import ChatLabels
from lora_mcl.phrases import Phrase

MAX_CAPTION_TOKENS = 256
"""Longest caption that is scored, in tokens, the end mark included."""
# More characters are refused before they are tokenized.
_MAX_CHARACTERS = 40 * MAX_CAPTION_TOKENS
_BROKEN = "\ufffd"


def caption_ids(model: MediaLanguageModel, prompt: str, caption: str) -> list[int]:
    """The caption's tokens as training lays them out after the prompt, and the end mark.

    Raises:
        OptionsError: the caption is empty or too long, or holds a special token.
    """
    if not isinstance(caption, str):
        raise OptionsError(Phrase("The caption must be text, not {kind}.", kind=type(caption).__name__))
    if not caption.strip():
        raise OptionsError(Phrase("The caption is empty: type a few words."))
    too_long = Phrase(
        "The caption is too long: at most {most} tokens, about 150 words, can be scored.", most=MAX_CAPTION_TOKENS - 1
    )
    if len(caption) > _MAX_CHARACTERS:
        raise OptionsError(too_long)
    labels = ChatLabels(model, prompt)
    labels.check_caption(caption)
    ids = labels.caption_ids(caption)
    if len(ids) > MAX_CAPTION_TOKENS:
        raise OptionsError(too_long)
    return ids


def one_line(caption: str) -> str:
    """The caption with single spaces between its words, as training data are read."""
    return " ".join(caption.split())


def token_texts(model: MediaLanguageModel, ids: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The text of each token [T], which together are the caption, and the characters that have no token.

    A character is without a token where the tokenizer writes its bytes one by one, or its mark for the unknown.
    """
    *written, _ = ids
    decode, unknown_id = model.tokenizer.decode, model.tokenizer.unk_token_id
    texts, unknown, before, pending = [], {}, "", False
    for index, token in enumerate(written):
        # Whole beginnings, as some tokenizers drop the space before a first token.
        text = decode(written[: index + 1], skip_special_tokens=False)
        incomplete = text.endswith(_BROKEN)
        new = "" if incomplete else text[len(before) :]
        if token == unknown_id or (pending and not incomplete):
            unknown[new.strip()] = None
        before, pending = (before, True) if incomplete else (text, False)
        texts.append(new)
    return (*texts, ""), tuple(unknown)


@torch.no_grad()
def caption_log_probs(
    model: PreTrainedModel,
    stack: AdapterStack,
    prompt: Prompt,
    adapters: Sequence[int],
    ids: Sequence[int],
) -> Tensor:
    """Log-probabilities of a caption under S adapters, fp32 [S, T], in nats.

    Args:
        prompt: the encoded prompt, one row for all adapters, or one for each in their order.
        adapters: rows of the stack, or BASE_ROW.
        ids: the caption's T tokens, the end mark included.

    Raises:
        OptionsError: prompt and caption are longer than the model's positions.
    """
    embeds, mask = prompt.inputs_embeds, prompt.attention_mask  # [B, P, D], [B, P]
    rows, length, count = len(embeds), embeds.shape[1], len(ids)
    positions = getattr(decoder_of(model).config, "max_position_embeddings", None)
    # The last token is never an input, so it needs no position.
    if positions is not None and length + count - 1 > positions:
        raise OptionsError(
            Phrase(
                "A prompt of {length} positions and a caption of {count} tokens are too long for the model, "
                "which has {positions} positions: shorten the caption.",
                length=length,
                count=count,
                positions=positions,
            )
        )
    targets = torch.tensor(ids, device=embeds.device)  # [T]
    written = model.get_input_embeddings()(targets[:-1]).to(embeds.dtype)  # [T - 1, D]
    inputs = torch.cat([embeds, written.expand(rows, -1, -1)], dim=1)  # [B, P + T - 1, D]
    mask = torch.cat([mask, mask.new_ones(rows, count - 1)], dim=1)
    prefixes = [Prefix(row if rows > 1 else 0, adapter) for row, adapter in enumerate(adapters)]
    logits, *_ = prefix_logits(model, stack, inputs, mask, prefixes, count, use_cache=False)  # [S, T, V]
    log_probs = logits.float().log_softmax(dim=-1)
    return log_probs.gather(2, targets.expand(len(adapters), -1)[..., None])[..., 0]
