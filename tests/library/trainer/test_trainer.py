"""The Trainer around any causal language model: what a user of transformers expects of it, on tiny models."""

import json
import logging

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import (
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
)

from lora_mcl.bundle import load_bundle
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.objectives import Anneal, ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner, MultipleChoiceTrainer, StepOptions, save_bundle_of
from tests.support.tiny_trainer import (
    CLOSE,
    CONFIG,
    EXACT,
    SOFT,
    WTA,
    arguments,
    assert_same_weights,
    collate,
    examples,
    gpt2,
    llama,
    trained,
)


def test_three_lines_on_gpt2(tmp_path):
    base = tmp_path / "base"
    gpt2().save_pretrained(base)
    model = GPT2LMHeadModel.from_pretrained(base)
    learner = MultipleChoiceLearner.attach(model, LoraConfig(r=4), hypotheses=2)
    MultipleChoiceTrainer(learner, arguments(tmp_path), train_dataset=examples(24), data_collator=collate).train()
    saved = save_bundle_of(learner, tmp_path / "bundle", labels=["one", "two"], training={"steps": 6})
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle == saved and bundle.base_location().resolve() == base.resolve()
    assert (bundle.modality, bundle.gate) == ("text", "gate")
    tokens = torch.tensor([[1, 3, 5, 9]])
    model.eval()
    for k, (name, folder) in enumerate(bundle.adapter_folders().items()):
        alone = PeftModel.from_pretrained(GPT2LMHeadModel.from_pretrained(base), folder).eval()
        with torch.no_grad(), learner.stack.rows([k]):
            torch.testing.assert_close(alone(input_ids=tokens).logits, model(input_ids=tokens).logits)
        assert name == f"hypothesis-{k}"


def test_one_hypothesis_is_a_plain_peft_run_of_transformers_trainer(tmp_path):
    ours = trained(tmp_path, hypotheses=1)
    start = MultipleChoiceLearner.attach(llama(), CONFIG, 1, WTA, generator=torch.Generator().manual_seed(1))
    start.stack.save("hypothesis-0", tmp_path / "start")
    model = PeftModel.from_pretrained(llama(), tmp_path / "start", is_trainable=True)
    data = [{k: v for k, v in row.items() if k != "note"} for row in examples(24)]
    theirs = Trainer(model, arguments(tmp_path), train_dataset=data, data_collator=collate)
    theirs.train()
    losses = [[entry["loss"] for entry in t.state.log_history if "loss" in entry] for t in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    own = ours.model.stack.tensors("hypothesis-0")
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            module, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
            torch.testing.assert_close(own[module]["AB".index(part[0])], weight, **CLOSE)


@pytest.mark.parametrize("masked", [(), (1, 2, 3, 9)], ids=["even", "uneven"])
def test_accumulated_batches_equal_one_batch(tmp_path, masked):
    """Also where micro-batches have different numbers of examples with targets."""
    whole = trained(tmp_path, data=examples(24, masked=masked))
    parts = trained(
        tmp_path,
        data=examples(24, masked=masked),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=4,
    )
    assert_same_weights(whole, parts, **CLOSE)
    for one, two in zip(whole.state.log_history, parts.state.log_history, strict=True):
        assert {k: v for k, v in one.items() if "runtime" not in k and "second" not in k and k != "total_flos"} == (
            pytest.approx({k: two[k] for k in one if "runtime" not in k and "second" not in k and k != "total_flos"})
        )


@pytest.mark.parametrize("backward", ["all", "sampled"])
def test_checkpointed_activations_change_nothing(tmp_path, backward):
    options = StepOptions(backward=backward, hypotheses_per_forward=1)
    plain = trained(tmp_path, options=options, dropout=0.2)
    again = trained(tmp_path, options=options, dropout=0.2, activation_checkpointing=True)
    assert_same_weights(plain, again, **CLOSE)


class StopAfter(TrainerCallback):
    """Ends a run early, as a kill would, without a last checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step
        return control


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        (ObjectiveOptions("caption-gate", temperature=Anneal(1.0, 0.1)), StepOptions("sampled")),
        (SOFT, StepOptions("all")),
        (WTA, StepOptions("winner", score_with_dropout=False)),
    ],
    ids=lambda option: getattr(option, "name", None) or option.backward,
)
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, objective, options):
    """Shuffled data, dropout, drawn hypotheses, accumulation, two epochs: all must go on where they were."""
    run = {
        "options": options,
        "dropout": 0.2,
        "model": gpt2,
        "max_steps": 8,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "save_strategy": "steps",
        "save_steps": 3,
    }
    whole = trained(tmp_path / "whole", objective, **run)
    trained(tmp_path / "cut", objective, callbacks=[StopAfter(4)], **run)
    resumed = trained(tmp_path / "cut", objective, resume=True, **run)
    assert resumed.state.global_step == 8
    assert_same_weights(whole, resumed, **EXACT)
    saved = load_file(tmp_path / "cut" / "checkpoint-3" / "model.safetensors")
    assert saved.keys() == whole.model.trainable_state_dict().keys()
    assert any(not tensor.equal(saved[name]) for name, tensor in whole.model.trainable_state_dict().items())


def test_bfloat16_training_keeps_float32_adapters(tmp_path):
    trainer = trained(tmp_path, bf16=True, options=StepOptions("sampled"), max_steps=24, learning_rate=0.05)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] - 0.2
    assert {weight.dtype for _, weight in trainer.model.trainable_parameters()} == {torch.float32}


def test_assignment_statistics_are_logged_and_reach_tensorboard(tmp_path):
    objective = ObjectiveOptions("annealed", temperature=Anneal(0.4, 0.1, 1.0, "linear"))
    trainer = trained(tmp_path, objective, report_to=["tensorboard"], max_steps=4)
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logs) == 2
    for entry in logs:
        assert entry["wins_0"] + entry["wins_1"] == 8  # two steps of four examples
        assert entry["best_nll"] <= min(entry["nll_0"], entry["nll_1"])
        assert 0 <= entry["assignment_entropy"] <= 0.6932
        assert entry["skipped"] == 0
    assert [entry["temperature"] for entry in logs] == pytest.approx([0.3, 0.1])
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.*")).parent)).Reload()
    assert {"train/loss", "train/wins_1", "train/nll_0", "train/assignment_entropy"} <= set(events.Tags()["scalars"])
    assert "temperature" not in trained(tmp_path, WTA).state.log_history[0]


def test_examples_without_targets_are_counted_and_warned_of_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="lora_mcl.trainer.assignment_stats"):
        trainer = trained(tmp_path, data=examples(24, masked=range(6)), train_sampling_strategy="sequential")
    assert [entry["skipped"] for entry in trainer.state.log_history if "loss" in entry] == [6, 0, 0]
    warnings = [record.getMessage() for record in caplog.records]
    assert len([text for text in warnings if text.startswith("6 of 8 examples had no target token")]) == 1
    assert all(tensor.isfinite().all() for tensor in trainer.model.trainable_state_dict().values())


def test_a_hypothesis_that_stops_winning_is_warned_of_once(tmp_path, caplog):
    data = [examples(1)[0]] * 24  # all alike: one hypothesis takes them all
    with caplog.at_level(logging.WARNING, logger="lora_mcl.trainer.assignment_stats"):
        trained(tmp_path, WTA, data=data, dead_after=8, logging_steps=1)
    texts = [record.getMessage() for record in caplog.records if "may be dead" in record.getMessage()]
    assert len(texts) == 1 and "won none of the last 8 examples" in texts[0]


def test_evaluation_reports_the_papers_test_loss(tmp_path):
    learner = MultipleChoiceLearner.attach(llama(), CONFIG, 3, WTA, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for layer in learner.stack.layers.values():
            layer.lora_B.normal_(0, 0.3)
    trainer = MultipleChoiceTrainer(
        learner,
        arguments(tmp_path, per_device_eval_batch_size=4),
        eval_dataset=examples(10, masked=(3,)),
        data_collator=collate,
    )
    metrics = trainer.evaluate()
    with torch.no_grad():
        output = learner.eval()(trainer._make_batch(collate(examples(10, masked=(3,)))), 0, 1)
    nll = output.nll[:, output.valid]
    assert metrics["eval_loss"] == pytest.approx(nll.amin(dim=0).mean().item(), rel=1e-5)
    assert [metrics[f"eval_nll_{k}"] for k in range(3)] == pytest.approx(nll.mean(dim=1).tolist(), rel=1e-5)
    wins = torch.bincount(nll.argmin(dim=0), minlength=3).tolist()
    assert [metrics[f"eval_wins_{k}"] for k in range(3)] == wins
    assert metrics["eval_skipped"] == 1


def test_the_best_checkpoint_can_be_loaded_at_the_end(tmp_path):
    evaluated = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    generator = torch.Generator().manual_seed(1)
    learner = MultipleChoiceLearner.attach(llama(), CONFIG, 2, SOFT, options=StepOptions("all"), generator=generator)
    trainer = MultipleChoiceTrainer(
        learner,
        arguments(tmp_path, learning_rate=0.5, load_best_model_at_end=True, **evaluated),  # too fast: gets worse
        train_dataset=examples(24),
        eval_dataset=examples(8),
        data_collator=collate,
    )
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert trainer.state.best_metric == min(losses) < losses[-1]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(losses), rel=1e-5)


def test_the_named_optimizer_is_used_and_the_gate_learns_faster(tmp_path):
    objective = ObjectiveOptions("caption-gate")
    trainer = trained(tmp_path, objective, optim="sgd", weight_decay=0.1, max_steps=1, lr_scheduler_type="constant")
    assert isinstance(trainer.optimizer.optimizer, torch.optim.SGD)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [1e-2, 3e-2]
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.1, 0.1]
    assert trainer.model.gate.occurrences.sum() == 16


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"label_smoothing_factor": 0.1}, {}, "label_smoothing_factor"),
        ({"neftune_noise_alpha": 5.0}, {}, "neftune_noise_alpha is not supported"),
        ({}, {"prepare_batch": id}, "remove_unused_columns=False"),
        ({"remove_unused_columns": False}, {"prepare_batch": id, "encode_prompts": id}, "not both"),
    ],
)
def test_contradictions_are_refused(tmp_path, changes, options, message):
    learner = MultipleChoiceLearner.attach(llama(), CONFIG, 1, WTA)
    with pytest.raises(OptionsError, match=message):
        MultipleChoiceTrainer(learner, arguments(tmp_path, **changes), data_collator=collate, **options)


def test_bundles_need_a_base_and_a_label_for_each_hypothesis(tmp_path):
    learner = MultipleChoiceLearner.attach(llama(), CONFIG, 2, WTA)
    with pytest.raises(BundleError, match="The base model '' is neither a folder nor a Hub id"):
        save_bundle_of(learner, tmp_path / "bundle")
    with pytest.raises(OptionsError, match="one per hypothesis, 2; got 1"):
        save_bundle_of(learner, tmp_path / "bundle", labels=["one"])
    bundle = save_bundle_of(learner, tmp_path / "bundle", base="owner/name")
    assert bundle.base.id == "owner/name" and bundle.gate is None
    config = json.loads((tmp_path / "bundle" / "hypotheses" / "1" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/name"
    # PEFT finds the layers by these names: the ones that were trained.
    found = get_peft_model(llama(), LoraConfig(target_modules=config["target_modules"])).targeted_module_names
    assert sorted(found) == sorted(learner.stack.layers)
