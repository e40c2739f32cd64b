"""Teacher forcing, the multiple-choice learner and resuming, on tiny random models."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback, TrainingArguments

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.errors import OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.objectives import Anneal, ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner, MultipleChoiceTrainer
from lora_mcl.trainer.batch import (
    PromptBatch,
    caption_nll,
    pad_left,
    pad_right,
    shared_prompt_nll,
)

VOCAB = 40


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def prompts(lengths: list[int], seed: int = 0) -> PromptBatch:
    generator = torch.Generator().manual_seed(seed)
    return PromptBatch(*pad_left([torch.randn(n, 32, generator=generator) for n in lengths]))


CAPTIONS = [[5, 6, 7, 2], [8, 2], [9, 10, 11, 12, 2]]


def test_padding_goes_left_of_prompts_and_right_of_captions():
    batch, mask = pad_left([torch.tensor([1, 2]), torch.tensor([3])], value=9)
    assert batch.tolist() == [[1, 2], [9, 3]]
    assert mask.tolist() == [[1, 1], [0, 1]]
    assert pad_right([[1], [2, 3]]).tolist() == [[1, -100], [2, 3]]


def test_captions_of_prompts_read_once_have_the_same_nll():
    model, batch = tiny_llama(), prompts([3, 5, 4])
    sets = [pad_right(CAPTIONS), pad_right([[5], [6, 7, 8, 9, 10, 2], [2]]), pad_right(CAPTIONS[::-1])]
    with torch.no_grad():
        together = shared_prompt_nll(model, batch, sets)
        for nll, captions in zip(together, sets, strict=True):
            torch.testing.assert_close(nll, caption_nll(model, batch, captions), atol=1e-5, rtol=0)


def test_caption_nll_is_the_models_own_loss_under_any_padding():
    model, batch = tiny_llama(), prompts([3, 5, 4])
    together = caption_nll(model, batch, pad_right(CAPTIONS))
    for row, (length, caption) in enumerate(zip([3, 5, 4], CAPTIONS, strict=True)):
        embeds = batch.inputs_embeds[row : row + 1, -length:]
        words = model.get_input_embeddings()(torch.tensor([caption]))
        labels = torch.tensor([[-100] * length + caption])
        loss = model(inputs_embeds=torch.cat([embeds, words], 1), labels=labels).loss
        assert torch.allclose(together[row], loss, atol=1e-5)


def learner(objective: ObjectiveOptions, hypotheses: int, seed: int = 1) -> MultipleChoiceLearner:
    model = tiny_llama()
    generator = torch.Generator().manual_seed(seed)
    specs = [AdapterSpec(f"hypothesis-{k}", 4, 8.0) for k in range(hypotheses)]
    stack = AdapterStack.attach(model, specs, generator=generator)
    with torch.no_grad():
        for layer in stack.layers.values():
            layer.lora_B.normal_(0, 0.3, generator=generator)
    gate = CaptionGate(VOCAB, hypotheses, generator=generator) if objective.needs_gate else None
    return MultipleChoiceLearner(model, stack, objective, gate)


def test_all_hypotheses_in_one_forward_are_each_alone():
    module, batch, captions = learner(ObjectiveOptions("wta"), 3), prompts([3, 5, 4]), pad_right(CAPTIONS)
    nll = module.nll(batch.with_captions(module.model, captions))
    assert nll.shape == (3, 3)
    for k in range(3):
        with module.stack.rows(torch.full((3,), k)):
            assert torch.allclose(nll[k], caption_nll(module.model, batch, captions), atol=1e-5)


def test_one_hypothesis_is_ordinary_likelihood_training():
    module, batch, captions = learner(ObjectiveOptions("wta"), 1), prompts([3, 5, 4]), pad_right(CAPTIONS)
    output = module(batch.with_captions(module.model, captions), 0, 10)
    assert torch.allclose(output.loss, output.nll.mean())
    assert output.weights.tolist() == [[1, 1, 1]]


def test_winner_takes_all_moves_only_winners():
    module, batch = learner(ObjectiveOptions("wta"), 3), prompts([3])
    output = module(batch.with_captions(module.model, pad_right(CAPTIONS[:1])), 0, 10)
    output.loss.backward()
    winner = int(output.nll[:, 0].argmin())
    layer = next(iter(module.stack.layers.values()))
    moved = [bool(layer.lora_B.grad[k].abs().sum() > 0) for k in range(3)]
    assert moved == [k == winner for k in range(3)]


def test_caption_gate_wants_a_gate():
    module = learner(ObjectiveOptions("caption-gate"), 2)
    with pytest.raises(OptionsError, match="needs a gate"):
        MultipleChoiceLearner(module.model, module.stack, module.objective, None)


class StopAfter(TrainerCallback):
    """Ends a run early, as a kill would, without a last checkpoint."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step
        return control


class Examples(Dataset):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, number: int) -> int:
        return number


def collate(numbers: list[int]) -> dict:
    generator = torch.Generator().manual_seed(numbers[0])
    return {
        "prompt": torch.randn(len(numbers), 4, 32, generator=generator),
        "captions": torch.randint(3, VOCAB, (len(numbers), 5), generator=generator),
    }


def trained(folder: Path, *, stop_after: int | None = None) -> MultipleChoiceLearner:
    objective = ObjectiveOptions("caption-gate", temperature=Anneal(0.3, 0.05, 0.7))
    module = learner(objective, 2)
    arguments = TrainingArguments(
        str(folder),
        max_steps=6,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        warmup_steps=1,
        lr_scheduler_type="cosine",
        train_sampling_strategy="sequential",
        save_steps=3,
        logging_steps=2,
        bf16=True,
        remove_unused_columns=False,
        report_to=[],
        use_cpu=True,
    )
    trainer = MultipleChoiceTrainer(
        module,
        arguments,
        train_dataset=Examples(),
        data_collator=collate,
        encode_prompts=lambda batch: PromptBatch(batch["prompt"], torch.ones(batch["prompt"].shape[:2])),
    )
    if stop_after is not None:
        trainer.add_callback(StopAfter(stop_after))
    trainer.train_or_resume()
    return module


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path):
    whole = trained(tmp_path / "whole").trainable_state_dict()
    trained(tmp_path / "cut", stop_after=4)
    resumed = trained(tmp_path / "cut").trainable_state_dict()
    assert whole.keys() == resumed.keys()
    assert any(name.startswith("gate.") for name in whole)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_a_checkpoint_of_other_weights_is_refused():
    module = learner(ObjectiveOptions("wta"), 2)
    state = module.trainable_state_dict()
    state.pop(next(iter(state)))
    with pytest.raises(RuntimeError, match="other weights"):
        module.load_trainable_state_dict(state)
