"""Pictures and sounds in training batches: the tower runs once per example, and the numbers are the stock model's."""

import pytest
import torch
from PIL import Image
from transformers import LlavaNextForConditionalGeneration, Qwen2AudioForConditionalGeneration, TrainingArguments

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer.batch import Examples
from lora_mcl.trainer.media import llava_next_examples, qwen2_audio_examples
from lora_mcl.trainer.trainer import MultipleChoiceLearner, MultipleChoiceTrainer, StepOptions
from tests.support.tiny_audio import chirp


@pytest.fixture
def batch(tiny_captioner):
    """Two pictures of different shapes with a prompt and a caption each, padded on the right."""
    processor = tiny_captioner._model.processor
    texts = ["<s><image>Describe.A red apple", "<s><image>Describe.two blue cats."]
    pictures = [Image.new("RGB", (40, 40), "red"), Image.new("RGB", (30, 50), "blue")]
    made = processor(images=pictures, text=texts, return_tensors="pt", padding=True, add_special_tokens=False)
    labels = made["input_ids"].clone()
    prompt = len(processor.tokenizer("Describe.", add_special_tokens=False)["input_ids"])
    for row, ids in zip(labels, made["input_ids"], strict=True):
        start = int((ids == 3).nonzero().max()) + 1 + prompt
        row[:start] = -100
    labels[made["attention_mask"] == 0] = -100
    return {**made, "labels": labels}


@pytest.fixture
def learner(tiny_base):
    model = LlavaNextForConditionalGeneration.from_pretrained(tiny_base)
    stack = AdapterStack.attach(model, [AdapterSpec(f"hypothesis-{k}", 4, 8.0) for k in range(3)])
    with torch.no_grad():
        for layer in stack.layers.values():
            layer.lora_B.normal_(0, 0.1)
    return MultipleChoiceLearner(model, stack, ObjectiveOptions("relaxed"), options=StepOptions("sampled"))


def test_the_tower_runs_once_per_example_whatever_k(learner, batch):
    seen = []
    learner.model.model.vision_tower.register_forward_hook(lambda layer, args, output: seen.append(len(args[0])))
    with torch.no_grad():
        once = learner.nll(llava_next_examples(learner.model, batch))
        assert seen == [2, 2]  # one picture at a time, overview and tile
        seen.clear()
        stock = learner.nll(Examples.from_batch(batch))
        assert sum(seen) == 3 * 4
    torch.testing.assert_close(once, stock, rtol=1e-4, atol=1e-5)


def test_sounds_are_heard_once_per_example_whatever_k(tiny_audio_captioner):
    media = tiny_audio_captioner._model
    prompt = "<|audio_bos|><|AUDIO|><|audio_eos|>Describe the sound."
    clips = [chirp(0.9), chirp(0.5)]
    texts = [f"{prompt}A dog barks twice", f"{prompt}Un chien aboie"]
    batch = dict(media.processor(text=texts, audio=clips, return_tensors="pt", padding=True))
    labels = batch["input_ids"].clone()
    labels[:, :-3] = -100
    labels[batch["attention_mask"] == 0] = -100
    batch["labels"] = labels
    model = Qwen2AudioForConditionalGeneration.from_pretrained(tiny_audio_captioner.bundle.base_location())
    stack = AdapterStack.attach(model, [AdapterSpec(f"hypothesis-{k}", 4, 8.0) for k in range(3)])
    with torch.no_grad():
        for layer in stack.layers.values():
            layer.lora_B.normal_(0, 0.1)
    learner = MultipleChoiceLearner(model, stack, ObjectiveOptions("wta")).eval()
    seen = []
    model.model.audio_tower.register_forward_hook(lambda layer, args, output: seen.append(len(args[0])))
    with torch.no_grad():
        once = learner.nll(qwen2_audio_examples(model, batch))
        assert seen == [2]
        stock = learner.nll(Examples.from_batch(batch))
    assert seen == [2, 6]
    torch.testing.assert_close(once, stock, rtol=1e-4, atol=1e-5)
    assert once.std() > 0


def test_the_trainer_takes_such_batches(tmp_path, learner, batch):
    rows = [{name: value[i] for name, value in batch.items()} for i in (0, 1) for _ in range(4)]
    trainer = MultipleChoiceTrainer(
        learner,
        TrainingArguments(
            str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=2,
            remove_unused_columns=False,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
        ),
        examples_of=lambda batch: llava_next_examples(learner.model, batch),
        train_dataset=rows,
        data_collator=lambda items: {name: torch.stack([item[name] for item in items]) for name in items[0]},
    )
    before = {name: tensor.clone() for name, tensor in learner.kept().items()}
    trainer.train()
    assert all(not tensor.equal(before[name]) for name, tensor in learner.kept().items())
