"""A small language model from scratch that writes translations, and its K adapters.

A sequence is ``<s> message <to> translation </s>``; the language is not given. The base learns from all translations at
once, by transformers' Trainer; the adapters on it by ``MultipleChoiceTrainer``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from lora_mcl.gate_init import start_gate
from lora_mcl.models.base import EncodedPrompt, use_eager_attention_on_cpu
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner, MultipleChoiceTrainer
from lora_mcl.trainer.batch import IGNORE_INDEX, pad_left, pad_right
from training.embedded.common.tokenizer import train_tokenizer
from training.experiments.lora_moe import route_tokens
from training.experiments.translations.catalogues import Message

SEPARATOR = "<to>"
GATE_CAPTIONS = 2000


@dataclass(frozen=True)
class Size:
    """Size and training of base and adapters, chosen for some minutes of one CPU core."""

    vocabulary: int = 2048
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    base_steps: int = 2400
    base_batch: int = 96
    base_learning_rate: float = 3e-3
    steps: int = 200
    batch: int = 48
    rank: int = 8
    learning_rate: float = 4e-3


def build_tokenizer(messages: Sequence[Message], size: Size) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the training messages and their translations."""
    texts = [text for message in messages for text in (message.text, *message.translations)]
    return train_tokenizer(texts, size.vocabulary, {"separator_token": SEPARATOR})


def build_model(tokenizer: PreTrainedTokenizerFast, size: Size, seed: int) -> LlamaForCausalLM:
    """The untrained base."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.hidden,
            intermediate_size=size.hidden * 8 // 3 // 8 * 8,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


@dataclass(frozen=True)
class Encoder:
    """Token ids of messages and translations."""

    tokenizer: PreTrainedTokenizerFast

    def prompt(self, text: str) -> list[int]:
        """``<s> message <to>``."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        separator = self.tokenizer.convert_tokens_to_ids(SEPARATOR)
        return [self.tokenizer.bos_token_id, *ids, separator]

    def target(self, text: str) -> list[int]:
        """``translation </s>``."""
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def text(self, ids: Sequence[int]) -> str:
        """The text of a translation's tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()


class Pairs(Dataset):
    """Training pairs in a fixed random order: each message with one of its translations, all of them in turn."""

    def __init__(self, messages: Sequence[Message], encoder: Encoder, length: int, seed: int) -> None:
        self._encoder = encoder
        self._pairs = [(message.text, one) for message in messages for one in message.translations]
        generator = torch.Generator().manual_seed(seed)
        orders = [torch.randperm(len(self._pairs), generator=generator) for _ in range(-(-length // len(self._pairs)))]
        self._order = torch.cat(orders)[:length].tolist()

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        text, translation = self._pairs[self._order[index]]
        return {"prompt": self._encoder.prompt(text), "target": self._encoder.target(translation)}


def collate(pairs: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
    """``input_ids``, ``attention_mask`` and ``labels`` [B, T], padded on the right; the prompt is no target."""
    ids = pad_right([pair["prompt"] + pair["target"] for pair in pairs])
    labels = pad_right([[IGNORE_INDEX] * len(pair["prompt"]) + pair["target"] for pair in pairs])
    return {"input_ids": ids.clamp_min(0), "attention_mask": (ids != IGNORE_INDEX).long(), "labels": labels}


def _arguments(out: Path, steps: int, batch: int, learning_rate: float, seed: int, **more: Any) -> TrainingArguments:
    return TrainingArguments(
        str(out),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 20,
        weight_decay=0.01,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="steps",
        save_total_limit=1,
        logging_steps=50,
        report_to=[],
        disable_tqdm=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **more,
    )


def train_base(messages: Sequence[Message], folder: Path, size: Size, seed: int) -> None:
    """Train tokenizer and base, going on from the last checkpoint, and save them in ``folder``."""
    tokenizer = build_tokenizer(messages, size)
    model = build_model(tokenizer, size, seed)
    use_eager_attention_on_cpu(model)
    pairs = Pairs(messages, Encoder(tokenizer), size.base_steps * size.base_batch, seed)
    run = folder.with_name(folder.name + "-run")
    arguments = _arguments(run, size.base_steps, size.base_batch, size.base_learning_rate, seed, save_steps=50)
    trainer = Trainer(model, arguments, train_dataset=pairs, data_collator=collate)
    trainer.train(resume_from_checkpoint=any(run.glob("checkpoint-*")))
    tokenizer.save_pretrained(folder)
    # Last, and it makes the folder complete.
    model.save_pretrained(folder)


def load_base(folder: Path) -> tuple[PreTrainedModel, Encoder]:
    """The frozen base and its encoder, anew for every run: adapters change it in place."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    use_eager_attention_on_cpu(model)
    return model.eval().requires_grad_(False), Encoder(AutoTokenizer.from_pretrained(folder))


def train_adapters(
    base: Path,
    messages: Sequence[Message],
    hypotheses: int,
    objective: ObjectiveOptions,
    size: Size,
    rank: int,
    seed: int,
    out: Path,
    experts: int = 0,
) -> tuple[MultipleChoiceLearner, Encoder]:
    """K adapters of one rank, trained by ``MultipleChoiceTrainer``; K = 1 is LoRA-MLE, or LoRA-MoE with ``experts``.

    They are saved as ``out``.safetensors, and read from there if that file exists. A training that was cut short
    goes on from its last checkpoint in ``out``.
    """
    model, encoder = load_base(base)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    learner = MultipleChoiceLearner.attach(
        model,
        LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"),
        hypotheses,
        objective,
        tokenizer=encoder.tokenizer,
        generator=generator,
    )
    if experts:
        route_tokens(learner.stack, experts, generator)
    saved = out.with_name(f"{out.name}.safetensors")
    if saved.is_file():
        learner.load_trainable_state_dict(load_file(saved))
        learner.eval()
        return learner, encoder
    pairs = Pairs(messages, encoder, size.steps * size.batch, seed + 1)
    if learner.gate is not None:
        captions = [pairs[number]["target"] for number in range(min(GATE_CAPTIONS, len(pairs)))]
        start_gate(learner.gate, pad_right(captions), generator)
    arguments = _arguments(out, size.steps, size.batch, size.learning_rate, seed, save_steps=10)
    MultipleChoiceTrainer(learner, arguments, train_dataset=pairs, data_collator=collate).train_or_resume()
    learner.eval()
    state = {name: tensor.contiguous() for name, tensor in learner.trainable_state_dict().items()}
    save_file(state, saved)
    return learner, encoder


def encode_prompts(model: PreTrainedModel, encoder: Encoder, messages: Sequence[Message]) -> EncodedPrompt:
    """Prompts of B messages as embeddings [B, T, D], padded on the left."""
    ids, mask = pad_left([torch.tensor(encoder.prompt(message.text)) for message in messages])
    return EncodedPrompt(model.get_input_embeddings()(ids), mask)
