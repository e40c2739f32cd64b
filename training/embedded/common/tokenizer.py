"""Tokenizers of the embedded models: small byte-level BPE, trained on the captions they are going to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"


def train_tokenizer(captions: Iterable[str], vocab_size: int, extra: Mapping[str, str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: any text, accents included, comes back exactly as it went in.

    Args:
        captions: the corpus.
        vocab_size: at most so many tokens.
        extra: special tokens other than ``BOS``, ``EOS``, ``PAD``, by the name of the tokenizer's attribute that holds
            them (``image_token``).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS, *extra.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens=dict(extra),
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
