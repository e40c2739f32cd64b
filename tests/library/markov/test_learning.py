"""The Markov experiment's model, read-outs and learning, at a small size."""

import dataclasses
import itertools
import json
import math

import pytest
import torch

from lora_mcl.adapters import hypothesis_rows
from lora_mcl.errors import OptionsError
from lora_mcl.loss import mean_token_nll
from lora_mcl.markov import TRANSITION1, TRANSITION2, LearningOptions, MarkovLearner, ModelOptions, Snapshot, learn
from lora_mcl.markov.model import build_model, log_odds_limit
from lora_mcl.markov.readout import Scores, first_position_matrices, later_matrices, match, score, win_shares
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import Batch, MultipleChoiceLearner, StepOptions

SMALL = ModelOptions(hidden_size=32, rank=8, alpha=8.0, initializer_range=0.1)
QUICK = LearningOptions(
    steps=50, batch_size=24, length=24, learning_rate=1e-2, evaluate_every=50, dense_steps=0, evaluation_size=150
)


def scrambled(hypotheses: int, options: ModelOptions = SMALL, std: float = 0.5):
    """A stack whose adapters differ and do something."""
    stack = build_model(2, hypotheses, options, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in stack.layers.values():
            layer.lora_B.normal_(0, std, generator=generator)
    return stack


def sequences(count: int = 6, length: int = 12):
    return TRANSITION1.sample(count, length, torch.Generator().manual_seed(2))


def test_defaults_are_the_papers():
    model, learning = ModelOptions(), LearningOptions()
    assert (model.hidden_size, model.layers, model.heads, model.window, model.rank, model.alpha) == (
        64,
        2,
        2,
        5,
        64,
        64,
    )
    assert model.visible == 9
    assert (learning.steps, learning.batch_size, learning.length, learning.learning_rate) == (501, 128, 32, 1e-4)
    assert (learning.weight_decay, learning.evaluation_size, learning.evaluation_seed) == (1e-3, 1000, 99)
    learner = MarkovLearner(TRANSITION1, 2)
    assert {group["betas"] for group in learner.optimizer.param_groups} == {(0.9, 0.95)}
    targets = {name.split(".")[-1] for name in learner.stack.layers}
    assert targets == {"q_proj", "k_proj", "v_proj", "out_proj"} and len(learner.stack.layers) == 8
    assert learner.stack.model.config.attention_layers == ["local", "local"]


def test_a_prediction_depends_on_the_visible_tokens_only():
    stack = scrambled(1, dataclasses.replace(SMALL, window=3))
    tokens = sequences(1).tokens
    with torch.no_grad(), stack.rows([0]):
        original = stack.model(input_ids=tokens).logits[0, -1]
        reach = []
        for back in range(tokens.shape[1]):
            changed = tokens.clone()
            changed[0, -1 - back] = 1 - changed[0, -1 - back]
            reach.append(not torch.allclose(stack.model(input_ids=changed).logits[0, -1], original, atol=1e-6))
    visible = dataclasses.replace(SMALL, window=3).visible
    assert visible == 5
    assert reach == [True] * visible + [False] * (tokens.shape[1] - visible)


def test_no_adapter_passes_the_limit_of_the_odds():
    stack = scrambled(3, std=20.0)
    limit = log_odds_limit(stack.model)
    assert limit.equal(limit.T) and limit[0, 0] == 0
    tokens = sequences(40).tokens
    with torch.no_grad(), stack.rows(hypothesis_rows(3, 40)):
        log_p = stack.model(input_ids=tokens.repeat(3, 1)).logits.log_softmax(-1)
    assert (log_p[..., 0] - log_p[..., 1]).abs().max() <= limit[0, 1] * (1 + 1e-5)
    # And it is not a loose one: the best vector that the layer norm can give reaches it.
    weight = stack.model.lm_head.weight.detach()
    gap = weight[0] - weight[1]
    best = torch.nn.functional.layer_norm(gap * 1000, gap.shape)
    assert (best @ gap).item() == pytest.approx(limit[0, 1].item(), rel=1e-4)


def test_the_frozen_model_is_the_same_for_any_number_of_hypotheses():
    one, three = (build_model(2, k, SMALL, seed=5).model.state_dict() for k in (1, 3))
    base = [name for name in one if "lora" not in name]
    assert base and all(one[name].equal(three[name]) for name in base)
    other = build_model(2, 1, SMALL, seed=6).model.state_dict()
    assert not other["lm_head.weight"].equal(one["lm_head.weight"])


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    build_model(2, 1, SMALL, seed=5)
    assert torch.rand(1).equal(expected)


def test_scores_and_matrices_are_those_of_each_hypothesis_alone(monkeypatch):
    stack, tokens = scrambled(3), sequences().tokens
    monkeypatch.setattr("lora_mcl.markov.readout._ROWS_AT_ONCE", 7)  # in several parts
    scores, first = score(stack, tokens), first_position_matrices(stack, 2)
    for k in range(3):
        with torch.no_grad(), stack.rows([k] * 6):
            logits = stack.model(input_ids=tokens).logits
        torch.testing.assert_close(scores.nll[k], mean_token_nll(logits, tokens).mean)
        torch.testing.assert_close(scores.probabilities[k], logits[:, :-1].softmax(-1))
        for state in (0, 1):
            with torch.no_grad(), stack.rows([k]):
                alone = stack.model(input_ids=torch.tensor([[state]])).logits[0, 0].softmax(-1)
            torch.testing.assert_close(first[k, state], alone)


def test_later_matrices_by_hand():
    tokens = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 1]])
    # Chance of a 1 after positions 0, 1, 2; hypothesis 0 wins the first sequence, 1 the second, 2 none.
    ones = torch.tensor([[[0.9, 0.5, 0.1]] * 2, [[0.2, 0.4, 0.6]] * 2, [[0.3, 0.3, 0.3], [0.5, 0.5, 0.5]]])
    scores = Scores(torch.tensor([[1.0, 3.0], [2.0, 2.0], [5.0, 5.0]]), torch.stack([1 - ones, ones], -1))
    later = later_matrices(scores, tokens, visible=2)
    assert later[..., 1].tolist() == [
        pytest.approx([0.1, 0.5]),  # after 0: position 2; after 1: position 1
        pytest.approx([0.5, 0.5]),  # after 0: positions 1 and 2; never after 1, so uniform
        pytest.approx([(0.3 + 0.5 + 0.5) / 3, 0.3]),  # wins none: read on both
    ]
    torch.testing.assert_close(later.sum(-1), torch.ones(3, 2))
    assert later_matrices(scores, tokens, visible=9)[0, 0, 1].item() == pytest.approx(0.1)  # short sequences


def test_winners_by_hand():
    nll = torch.tensor([[1.0, 1.0, 3.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0], [9.0] * 5])
    shares = win_shares(nll, torch.tensor([0, 0, 0, 1, 1]), 2)
    assert shares.tolist() == [pytest.approx([2 / 3, 1 / 3, 0]), pytest.approx([1 / 2, 1 / 2, 0])]
    assert match(torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])) == ((0, 1, 1), pytest.approx((0.9 + 0.8) / 2), True)
    assert match(torch.tensor([[0.6, 0.4], [0.5, 0.5]])) == ((0, 1), pytest.approx(0.55), True)
    assert match(torch.tensor([[0.6], [0.4]])).covered is False


@pytest.mark.parametrize("name", ["wta", "relaxed", "annealed", "caption-gate"])
def test_the_step_is_that_of_the_trainer(name):
    options = dataclasses.replace(QUICK, objective=ObjectiveOptions(name))
    learner = MarkovLearner(TRANSITION1, 2, SMALL, options)
    tokens = sequences(10).tokens
    for step in range(3):
        learner.update(tokens, step)
    trainer = MultipleChoiceLearner(
        learner.stack.model, learner.stack, options.objective, learner.gate, StepOptions("all")
    )
    parameters = [*learner.stack.parameters(), *(learner.gate.parameters() if learner.gate else ())]
    gradients = []
    for loss in (learner.loss(tokens, 9), trainer(Batch({"input_ids": tokens}, tokens), 9, QUICK.steps).loss):
        gradients.append((loss.detach(), *torch.autograd.grad(loss, parameters)))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_only_winning_adapters_learn_and_the_base_never():
    learner = MarkovLearner(TRANSITION1, 3, SMALL, QUICK)
    base = {n: w.clone() for n, w in learner.stack.model.named_parameters() if "lora" not in n}
    tokens = sequences(10).tokens
    with torch.no_grad():  # make the second hypothesis the winner of everything
        won = learner.nll(tokens).argmin(0)
    learner.loss(tokens, 0).backward()
    for layer in learner.stack.layers.values():
        moved = [bool(layer.lora_B.grad[k].any()) for k in range(3)]
        assert moved == [bool((won == k).any()) for k in range(3)]
    learner.update(tokens, 0)
    after = dict(learner.stack.model.named_parameters())
    assert all(after[name].equal(weight) for name, weight in base.items())
    assert not any(after[name].requires_grad for name in base)


def test_the_learning_rate_falls_along_half_a_cosine():
    options = LearningOptions(steps=100, learning_rate=2.0)
    rates = [options.rate(step) for step in range(100)]
    assert rates[0] == 2.0 and rates[50] == pytest.approx(1.0)
    assert all(earlier > later > 0 for earlier, later in itertools.pairwise(rates))
    learner = MarkovLearner(TRANSITION1, 2, SMALL, dataclasses.replace(QUICK, objective=ObjectiveOptions()))
    learner.update(sequences().tokens, QUICK.steps // 2)
    assert [group["lr"] for group in learner.optimizer.param_groups] == pytest.approx([5e-3, 1.5e-2])


def test_snapshots_come_when_they_should_and_survive_json():
    options = dataclasses.replace(QUICK, steps=13, evaluate_every=5, dense_steps=4, dense_every=2, watched=3)
    snapshots = list(learn(TRANSITION2, 2, SMALL, options))
    assert [snapshot.step for snapshot in snapshots] == [0, 2, 4, 5, 10, 13]
    last = snapshots[-1]
    assert len(last.winners) == 3 and len(last.first) == len(last.later) == len(last.nll) == 2
    assert last.loss <= min(last.nll)
    assert [sum(row) for row in last.wins] == pytest.approx([1, 1])
    written = json.loads(json.dumps(last.to_dict()))
    read = Snapshot.from_dict(written)
    assert read.to_dict() == last.to_dict() and read.step == 13 and read.winners == last.winners
    assert read.loss == pytest.approx(last.loss, abs=5e-5)
    del written["nll"]
    with pytest.raises(KeyError, match="nll"):
        Snapshot.from_dict(written)


def test_a_run_can_be_stopped_and_repeated():
    options = dataclasses.replace(QUICK, evaluate_every=2)
    first, again = learn(TRANSITION1, 2, SMALL, options), learn(TRANSITION1, 2, SMALL, options)
    assert [next(first), next(first)] == [next(again), next(again)]
    first.close()
    assert next(first, None) is None


def test_two_hypotheses_part_where_one_averages():
    """The paper's result at a small size: one chain each, and a loss that no single model can have."""
    (*_, one) = learn(TRANSITION1, 1, SMALL, QUICK)
    (start, *_, two) = learn(TRANSITION1, 2, SMALL, QUICK)
    matching = match(torch.tensor(two.wins))
    assert matching.covered and matching.accuracy > 0.98
    assert start.nll[0] == pytest.approx(start.nll[1]), "identical at first"
    assert two.loss < one.loss - 0.02
    for z, matrix in enumerate(TRANSITION1.matrices):
        own = two.later[matching.chain_of.index(z)]
        assert (
            max(abs(a - b) for row, true in zip(own, matrix, strict=True) for a, b in zip(row, true, strict=True)) < 0.1
        )
        assert abs(one.later[0][0][1] - matrix[0][1]) > 0.1, "one model is neither"


@pytest.mark.parametrize("options", [{"steps": 0}, {"length": 1}, {"learning_rate": 0.0}, {"watched": 2000}])
def test_bad_learning_options_are_refused(options):
    with pytest.raises(OptionsError, match=next(iter(options))):
        LearningOptions(**options)


@pytest.mark.parametrize("options", [{"rank": 0}, {"heads": 3}, {"initializer_range": math.inf}, {"alpha": -1.0}])
def test_bad_model_options_are_refused(options):
    with pytest.raises(OptionsError, match=next(iter(options))):
        ModelOptions(**options)
