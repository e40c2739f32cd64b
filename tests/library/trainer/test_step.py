"""The training step: three ways of the backward pass, parts of K, dropout, masked examples, checkpointing."""

import itertools

import pytest
import torch
from peft import LoraConfig
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lora_mcl.errors import OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.loss import mean_token_nll
from lora_mcl.objectives import Anneal, ObjectiveOptions
from lora_mcl.trainer import Batch, MultipleChoiceLearner, StepOptions
from tests.support.tiny_image import tiny_image_processor

VOCAB = 40
WARM = Anneal(2.0, 2.0)  # soft weights even for random models
OBJECTIVES = {
    "wta": ObjectiveOptions("wta"),
    "relaxed": ObjectiveOptions("relaxed", epsilon=0.3),
    "annealed": ObjectiveOptions("annealed", temperature=WARM),
    "sequence": ObjectiveOptions("annealed", temperature=WARM, temperature_scale="sequence"),
    "caption-gate": ObjectiveOptions("caption-gate", temperature=WARM),
}
BACKWARDS = ["all", "sampled", "winner"]
# Three examples: prompts of 2, 3 and 2 tokens, captions of 4, 2 and 3.
LABELS = torch.tensor([[-100, -100, 5, 6, 7, 2], [-100, -100, -100, 8, 2, -100], [-100, -100, 9, 10, 2, -100]])
EXAMPLES = Batch(
    {
        "input_ids": torch.tensor([[3, 4, 5, 6, 7, 2], [4, 4, 3, 8, 2, 0], [3, 3, 9, 10, 2, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0]]),
    },
    LABELS,
)


def llama():
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, initializer_range=0.3, **sizes))


def gpt2():
    """With the dropout of its own that GPT-2 has by default."""
    config = GPT2Config(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=16, initializer_range=0.3)
    return GPT2LMHeadModel(config)


def learner(objective="annealed", hypotheses=3, *, dropout=0.0, model=llama, **options):
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=dropout, target_modules="all-linear")
    module = MultipleChoiceLearner.attach(
        model(), config, hypotheses, OBJECTIVES[objective], options=StepOptions(**({"backward": "all"} | options))
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in module.stack.layers.values():
            layer.lora_B.normal_(0, 0.3, generator=generator)
    return module.train()


def gradients(module, examples=EXAMPLES, step=3):
    module.zero_grad()
    output = module(examples, step, 10)
    output.loss.backward()
    return output, {name: weight.grad.clone() for name, weight in module.trainable_parameters()}


def assert_same(one, two, **tolerance):
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, two[name], **tolerance)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_sampled_gradient_is_unbiased(objective):
    """Its mean over every possible draw, each with its probability, is the gradient of "all"."""
    whole, expected = gradients(learner(objective))
    module = learner(objective, backward="sampled")
    mean = {name: torch.zeros_like(gradient) for name, gradient in expected.items()}
    total = 0.0
    for draw in itertools.product(range(3), repeat=3):
        module._draw_hypotheses = lambda weights, draw=draw: torch.tensor(draw)
        output, drawn = gradients(module)
        torch.testing.assert_close(output.weights, whole.weights)
        torch.testing.assert_close(output.loss, whole.loss)  # the logged value does not depend on the draw
        probability = output.weights.gather(0, torch.tensor(draw)[None]).prod().item()
        total += probability
        for name in mean:
            mean[name] += probability * drawn[name]
    assert total == pytest.approx(1.0)
    assert_same(mean, expected, rtol=1e-4, atol=1e-6)


def test_draws_follow_the_weights():
    weights = torch.tensor([[0.5, 0.0, 0.1], [0.3, 1.0, 0.1], [0.2, 0.0, 0.8]])
    module = learner(backward="sampled")
    draws = torch.stack([module._draw_hypotheses(weights) for _ in range(4000)])
    frequencies = torch.stack([(draws == k).float().mean(dim=0) for k in range(3)])
    assert (frequencies - weights).abs().max() < 4 * (0.25 / 4000) ** 0.5
    assert learner(backward="winner")._draw_hypotheses(weights).tolist() == [0, 1, 2]


def test_the_winner_alone_is_exact_for_winner_takes_all():
    whole, expected = gradients(learner("wta"))
    for backward in ("sampled", "winner"):
        output, only = gradients(learner("wta", backward=backward))
        torch.testing.assert_close(output.loss, whole.loss)
        assert_same(only, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("backward", BACKWARDS)
def test_only_the_adapters_that_learn_move_and_the_base_stays(backward):
    module = learner("wta", 4, backward=backward)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    optimizer = torch.optim.SGD([weight for _, weight in module.trainable_parameters()], lr=0.1)
    output, moved = gradients(module)
    optimizer.step()
    winners = set(output.nll.argmin(dim=0).tolist())
    assert 0 < len(winners) < 4
    for name, gradient in moved.items():
        assert {k for k in range(4) if gradient[k].any()} == winners, name
    changed = {name for name, tensor in module.state_dict().items() if not tensor.equal(before[name])}
    assert changed == set(moved) == {name for name, _ in module.trainable_parameters()}
    assert all(name.endswith(("lora_A", "lora_B")) for name in changed)


def rows_seen(module):
    """(rows, whether gradient was recorded) of every forward of the language model."""
    seen = []
    module.model.model.register_forward_hook(
        lambda layer, args, kwargs, output: seen.append((len(output.last_hidden_state), torch.is_grad_enabled())),
        with_kwargs=True,
    )
    return seen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"backward": "all"}, [(9, True)]),
        ({"backward": "sampled"}, [(9, False), (3, True)]),
        ({"backward": "winner"}, [(9, False), (3, True)]),
        ({"backward": "all", "score_with_dropout": False}, [(9, True), (9, False)]),
        ({"backward": "sampled", "hypotheses_per_forward": 2}, [(6, False), (3, False), (3, True)]),
        ({"backward": "all", "hypotheses_per_forward": 2}, [(6, True), (3, True), (3, True), (6, True)]),
    ],
    ids=str,
)
def test_what_each_step_computes(options, expected):
    module = learner(**options)
    seen = rows_seen(module)
    module(EXAMPLES, 0, 10).loss.backward()
    assert seen == expected


@pytest.mark.parametrize("backward", BACKWARDS)
def test_two_hypotheses_are_already_several(backward):
    module = learner("caption-gate", 2, backward=backward, dropout=0.5, score_with_dropout=False)
    seen = rows_seen(module)
    first, second = module(EXAMPLES, 0, 10), module(EXAMPLES, 0, 10)
    own, scores = ((6, True), (6, False)) if backward == "all" else ((3, True), (6, False))
    assert sorted(seen) == sorted([own, scores] * 2) and isinstance(module.gate, CaptionGate)
    assert first.nll.equal(second.nll) and first.nll.shape == (2, 3)
    torch.testing.assert_close(first.weights.sum(dim=0), torch.ones(3))


@pytest.mark.parametrize("backward", BACKWARDS)
def test_one_hypothesis_is_ordinary_likelihood_in_one_forward(backward):
    module = learner("caption-gate", 1, backward=backward, score_with_dropout=False)
    seen = rows_seen(module)
    output, _ = gradients(module)
    assert seen == [(3, True)]
    assert module.gate is None and output.weights.tolist() == [[1.0] * 3]
    with module.stack.rows([0, 0, 0]):
        nll = mean_token_nll(module.model(**EXAMPLES.inputs).logits, LABELS).mean
    torch.testing.assert_close(output.loss, nll.mean())


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_hypotheses_in_parts_give_the_same_step(backward, at_once):
    module, parts = learner(backward=backward), learner(backward=backward, hypotheses_per_forward=at_once)
    torch.manual_seed(5)
    whole, expected = gradients(module)
    torch.manual_seed(5)
    output, same = gradients(parts)
    torch.testing.assert_close(output.nll, whole.nll)
    torch.testing.assert_close(output.loss, whole.loss)
    assert_same(same, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("at_once", [None, 2])
def test_activation_checkpointing_gives_the_same_step(backward, at_once):
    """Layers run again in the backward pass, after the routing of their forward is gone; with dropout too."""
    results = []
    for checkpointed in (False, True):
        module = learner(backward=backward, hypotheses_per_forward=at_once, dropout=0.3)
        if checkpointed:
            module.activation_checkpointing_enable()
        torch.manual_seed(5)
        results.append(gradients(module)[1])
    assert_same(*results, rtol=1e-4, atol=1e-6)


def test_reentrant_checkpoints_are_refused():
    with pytest.raises(OptionsError, match="use_reentrant must be False"):
        learner().activation_checkpointing_enable({"use_reentrant": True})


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("model", [llama, gpt2])
def test_scores_can_be_free_of_dropout(backward, model):
    """Of the adapters' and of the base's own."""
    clean = learner(backward=backward, dropout=0.5, model=model, score_with_dropout=False)
    modes = [module.training for module in clean.modules()]
    first, second = clean(EXAMPLES, 0, 10), clean(EXAMPLES, 0, 10)
    assert first.nll.equal(second.nll) and all(modes)
    assert [module.training for module in clean.modules()] == modes
    with torch.no_grad():
        torch.testing.assert_close(clean.eval()(EXAMPLES, 0, 10).nll, first.nll)
    noisy = learner(backward=backward, dropout=0.5, model=model)
    assert not noisy(EXAMPLES, 0, 10).nll.equal(noisy(EXAMPLES, 0, 10).nll)


def test_dropout_acts_where_gradients_are_even_if_scores_are_free_of_it():
    module = learner(backward="winner", dropout=0.5, score_with_dropout=False)
    (_, one), (_, two) = gradients(module), gradients(module)
    assert any(not one[name].equal(two[name]) for name in one)


@pytest.mark.parametrize("backward", BACKWARDS)
def test_without_its_gate_the_caption_gate_objective_is_annealed(backward):
    """beta = 0: the same weights and the same gradients of the adapters; the gate learns without effect."""
    results = {}
    for name in ("annealed", "caption-gate"):
        module = learner(name, backward=backward)
        module.objective = ObjectiveOptions(name, temperature=WARM, beta=0.0)
        torch.manual_seed(5)
        results[name] = gradients(module)
    assert results["annealed"][0].weights.equal(results["caption-gate"][0].weights)
    adapters = {n: g for n, g in results["caption-gate"][1].items() if not n.startswith("gate.")}
    assert_same(results["annealed"][1], adapters, rtol=0, atol=0)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_examples_without_targets_change_nothing(objective, backward):
    module = learner(objective, backward=backward)
    module._draw_hypotheses = lambda weights: weights.argmax(dim=0)
    masked = Batch(EXAMPLES.inputs, LABELS.clone().index_fill_(0, torch.tensor([1]), -100))
    kept = torch.tensor([0, 2])
    only = Batch({name: value[kept] for name, value in EXAMPLES.inputs.items()}, LABELS[kept])
    output, some = gradients(module, masked)
    expected, others = gradients(module, only)
    assert output.valid.tolist() == [True, False, True]
    torch.testing.assert_close(output.loss, expected.loss)
    assert_same(some, others, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("temperature", [1e-300, 1e-12, 1e300])
def test_steps_are_finite_at_extreme_temperatures_and_without_any_target(objective, backward, temperature):
    module = learner(objective, backward=backward)
    scale = OBJECTIVES[objective].temperature_scale
    extreme = Anneal(temperature, temperature)
    module.objective = ObjectiveOptions(
        OBJECTIVES[objective].name, temperature=extreme, temperature_scale=scale, beta=3.0
    )
    for labels in (LABELS, torch.full_like(LABELS, -100)):
        output, some = gradients(module, Batch(EXAMPLES.inputs, labels))
        assert output.loss.isfinite() and all(gradient.isfinite().all() for gradient in some.values())
        torch.testing.assert_close(output.weights.sum(dim=0), torch.ones(3))
    assert output.loss == 0 and not any(gradient.any() for gradient in some.values())


def test_the_output_layer_runs_only_from_the_first_target_on():
    module = learner(backward="winner")
    widths = []
    module.model.lm_head.register_forward_hook(lambda layer, args, output: widths.append(output.shape[1]))
    module(EXAMPLES, 0, 10)
    assert widths == [5, 5]  # the first target, at position 2, is predicted at position 1


@pytest.mark.parametrize("backward", BACKWARDS)
def test_the_gates_loss_is_added(backward):
    module = learner("caption-gate", backward=backward)
    output = module(EXAMPLES, 3, 10)
    gates = module.gate.loss(module.gate(LABELS), output.weights, output.valid)
    torch.testing.assert_close(output.loss, (output.weights * output.nll).sum(dim=0).mean() + gates)
    assert gates > 0


def test_one_target_makes_an_example_count():
    one = Batch(EXAMPLES.inputs, LABELS.clone().index_fill_(1, torch.tensor([2, 3, 5]), -100))
    assert one.num_targets.tolist() == [1, 1, 1]
    output, moved = gradients(learner("wta"), one)
    assert output.valid.all() and output.loss > 0 and all(gradient.any() for gradient in moved.values())


def test_evaluation_mode_scores_in_one_forward_and_counts_nothing():
    module = learner("caption-gate", backward="sampled").eval()
    seen = rows_seen(module)
    with torch.no_grad():
        module(EXAMPLES, 0, 10)
    assert seen == [(9, False)]
    assert not module.gate.occurrences.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backward": "some"}, "backward must be one of all, sampled, winner"),
        ({"hypotheses_per_forward": 0}, "hypotheses_per_forward must be at least 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionsError, match=message):
        StepOptions(**options)


def test_a_model_spread_over_devices_is_known_to_be():
    module = learner("wta", 2)
    assert not hasattr(module, "hf_device_map")
    module.model.hf_device_map = {"model": 0, "lm_head": 1}
    spread = MultipleChoiceLearner(module.model, module.stack, OBJECTIVES["wta"])
    assert spread.hf_device_map == {"model": 0, "lm_head": 1}


def test_batches_that_cannot_be_learned_from_are_refused():
    with pytest.raises(OptionsError, match="the batch has no labels"):
        Batch.from_collated({"input_ids": LABELS})
    with pytest.raises(OptionsError, match="'names' in the batch is a list"):
        Batch.from_collated({"input_ids": LABELS, "labels": LABELS, "names": ["a"]})
    module = learner("wta", 2)
    with pytest.raises(OptionsError, match="needs a gate"):
        MultipleChoiceLearner(module.model, module.stack, OBJECTIVES["caption-gate"])
    gate = CaptionGate(VOCAB, 2)
    assert MultipleChoiceLearner(module.model, module.stack, OBJECTIVES["caption-gate"], gate).gate is gate


def test_evaluation_gathers_nothing(monkeypatch):
    """Processes may have different numbers of batches: one that waited for the other would wait for ever."""
    module = learner("caption-gate")
    gathered = []
    monkeypatch.setattr("lora_mcl.trainer.step.all_gather", lambda tensor: gathered.append(1) or tensor[None])
    module.eval()(EXAMPLES, 0, 10)
    assert gathered == []
    module.train()(EXAMPLES, 0, 10)
    assert gathered != []


def test_the_gate_counts_no_special_token():
    tokenizer = tiny_image_processor().tokenizer
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes))
    config = LoraConfig(r=2, target_modules="all-linear")
    module = MultipleChoiceLearner.attach(model, config, 2, OBJECTIVES["caption-gate"], tokenizer=tokenizer)
    special = sorted(tokenizer.all_special_ids)
    word = next(token for token in range(len(tokenizer)) if token not in special)
    counts = module.gate.counts(torch.tensor([[*special, word]]))
    assert special and counts.sum() == 1
