"""Training runs of a few steps on tiny models, and how to compare them."""

import torch
from peft import LoraConfig
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, TrainingArguments

from lora_mcl.objectives import Anneal, ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner, MultipleChoiceTrainer, StepOptions

VOCAB = 40


CONFIG = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear")


WTA, SOFT = ObjectiveOptions("wta"), ObjectiveOptions("annealed", temperature=Anneal(1.0, 0.1))


def llama():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, initializer_range=0.3, **sizes))


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2, n_positions=16, eos_token_id=2)
    return GPT2LMHeadModel(config)


def examples(count, *, length=6, masked=()):
    """Token sequences of two made-up languages; the first two tokens of each are its prompt."""
    generator = torch.Generator().manual_seed(7)
    rows = []
    for n in range(count):
        ids = torch.cat([torch.tensor([1, 3]), torch.randint(4, 20, (length - 2,), generator=generator) + 16 * (n % 2)])
        labels = ids.clone()
        labels[: length if n in masked else 2] = -100
        rows.append({"input_ids": ids, "labels": labels, "note": n})
    return rows


def collate(rows):
    return {
        "input_ids": torch.stack([row["input_ids"] for row in rows]),
        "labels": torch.stack([row["labels"] for row in rows]),
    }


def arguments(folder, **changes):
    settings = {
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 3,
    }
    return TrainingArguments(str(folder), **(settings | changes))


def trained(folder, objective=SOFT, *, data=None, callbacks=(), dropout=0.0, resume=False, **changes):
    """A finished (or cut short) training run; by default without the noise of sampled hypotheses."""
    options = changes.pop("options", StepOptions("all"))
    hypotheses, model = changes.pop("hypotheses", 2), changes.pop("model", llama)
    dead_after = changes.pop("dead_after", None)
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=dropout, target_modules="all-linear")
    learner = MultipleChoiceLearner.attach(
        model(), config, hypotheses, objective, options=options, generator=torch.Generator().manual_seed(1)
    )
    trainer = MultipleChoiceTrainer(
        learner,
        arguments(folder, **changes),
        train_dataset=data or examples(24),
        data_collator=collate,
        callbacks=list(callbacks),
        dead_after=dead_after,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def assert_same_weights(one, two, **tolerance):
    first, second = one.model.trainable_state_dict(), two.model.trainable_state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)


EXACT = {"rtol": 0, "atol": 0}


CLOSE = {"rtol": 1e-4, "atol": 1e-5}


MASKED = (1, 2, 3, 9)
