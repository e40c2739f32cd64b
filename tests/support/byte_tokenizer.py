"""A byte-level BPE tokenizer trained on a few sentences."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def byte_tokenizer(texts: list[str], special_tokens: list[str]) -> Tokenizer:
    """Byte-level BPE: the special tokens first, then every byte, then the commonest pieces of ``texts``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts * 4, trainer)
    return tokenizer
