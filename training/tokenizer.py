"""Tokenizers of the embedded models: small byte-level BPE, trained on the captions they are going to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def train_tokenizer(
    captions: Iterable[str], vocab_size: int, *, bos: str, eos: str, pad: str, extra: Mapping[str, str]
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: any text, accents included, comes back exactly as it went in.

    Args:
        captions: the corpus.
        vocab_size: at most so many tokens.
        bos, eos, pad: special tokens.
        extra: further special tokens by the name of the tokenizer's attribute that holds them (``image_token``).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[pad, bos, eos, *extra.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        extra_special_tokens=dict(extra),
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
