"""Token-mean NLL, assignment rules and schedules against values worked out by hand."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from lora_mcl.errors import OptionsError
from lora_mcl.loss import mean_token_nll
from lora_mcl.objectives import (
    Anneal,
    ObjectiveOptions,
    annealed,
    assignment_entropy,
    caption_gate,
    relaxed,
    weighted_loss,
    winner_counts,
    winner_takes_all,
)

# Three hypotheses, four examples: clear winners 2, 0, 1, then a tie of all.
NLL = torch.tensor([[3.0, 1.0, 2.0, 1.0], [2.0, 2.0, 1.0, 1.0], [1.0, 3.0, 3.0, 1.0]])
WINNERS = [2, 0, 1, 0]
EXTREME = {
    "huge": torch.tensor([[1e30, 3e38], [2e30, 1e38]]),
    "tiny": torch.tensor([[1e-30, 0.0], [2e-30, 1e-38]]),
    "infinite": torch.tensor([[math.inf, math.inf], [1.0, math.inf]]),
    "nan": torch.tensor([[math.nan, math.nan], [1.0, math.nan]]),
    "everything": torch.tensor([[-math.inf, math.nan], [math.nan, -math.inf], [math.inf, 3e38]]),
    "minus infinite": torch.tensor([[-math.inf, 1.0], [1.0, -math.inf]]),
    "one hypothesis": torch.tensor([[1.0, math.inf]]),
}
RULES = {
    "wta": lambda nll, t: winner_takes_all(nll),
    "relaxed": lambda nll, t: relaxed(nll, 0.1),
    "annealed": annealed,
    "caption-gate": lambda nll, t: caption_gate(nll, torch.full_like(nll, -math.log(len(nll))), t, 1.0),
    "sure gate": lambda nll, t: caption_gate(nll, torch.full_like(nll, -math.inf), t, 2.0),
    "annealed, sequence": lambda nll, t: annealed(nll, t, torch.tensor([0, 3000]).repeat(2)[: nll.shape[1]]),
}


def test_mean_token_nll_by_hand():
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]])
    logits = torch.stack([probabilities.log(), probabilities.log() + 7.0])  # softmax ignores the shift
    labels = torch.tensor([[-100, 1, 2], [2, -100, 0]])
    nll = mean_token_nll(logits, labels)
    # Row 0: label 1 is predicted by p[0] = .25, label 2 by p[1] = .8. Row 1: label 0 by p[1] = .1.
    expected = [-(math.log(0.25) + math.log(0.8)) / 2, -math.log(0.1)]
    assert nll.mean.tolist() == pytest.approx(expected)
    assert nll.tokens.tolist() == [2, 1]
    assert nll.valid.tolist() == [True, True]


def test_mean_token_nll_of_rows_without_targets_is_zero_with_zero_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    nll = mean_token_nll(logits, torch.tensor([[4, -100, -100], [0, 1, 2]]))
    nll.mean.sum().backward()
    assert nll.mean[0] == 0
    assert nll.valid.tolist() == [False, True]
    assert not logits.grad[0].any()
    assert logits.grad[1, :2].any()
    assert mean_token_nll(torch.randn(2, 1, 5), torch.zeros(2, 1, dtype=torch.long)).mean.tolist() == [0, 0]


def test_mean_token_nll_equals_the_usual_causal_loss_and_its_caption_only_form():
    logits, labels = torch.randn(1, 6, 9), torch.tensor([[-100, -100, 3, 1, 8, -100]])
    usual = F.cross_entropy(logits[0, :-1], labels[0, 1:])
    assert mean_token_nll(logits, labels).mean.item() == pytest.approx(usual.item())
    assert mean_token_nll(logits[:, -5:], labels[:, -5:]).mean.item() == pytest.approx(usual.item())
    assert mean_token_nll(logits.bfloat16(), labels).mean.dtype == torch.float32


def test_winner_takes_all_picks_the_lowest_loss_and_the_first_on_ties():
    q = winner_takes_all(NLL)
    assert q.argmax(dim=0).tolist() == WINNERS
    assert q.sum(dim=0).tolist() == [1, 1, 1, 1]
    assert set(q.flatten().tolist()) == {0.0, 1.0}


def test_relaxed_by_hand():
    q = relaxed(NLL, 0.1)
    for example, winner in enumerate(WINNERS):
        expected = [0.9 if k == winner else 0.05 for k in range(3)]
        assert q[:, example].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
def test_relaxed_loss_equals_the_reference_formula(epsilon):
    k = len(NLL)
    reference = (1 - epsilon - epsilon / (k - 1)) * NLL.amin(0) + epsilon / (k - 1) * NLL.sum(0)
    assert weighted_loss(NLL, relaxed(NLL, epsilon)).item() == pytest.approx(reference.mean().item())


def test_annealed_by_hand():
    q = annealed(torch.tensor([[1.0], [1.0 + 0.5 * math.log(3.0)], [1.0 + 0.5 * math.log(6.0)]]), 0.5)
    assert q[:, 0].tolist() == pytest.approx([6 / 9, 2 / 9, 1 / 9])  # proportional to 1, 1/3, 1/6
    assert annealed(NLL, 1e6).flatten().tolist() == pytest.approx([1 / 3] * 12, abs=1e-5)
    assert annealed(NLL, 1e-12)[:, :3].equal(winner_takes_all(NLL)[:, :3])
    assert annealed(NLL, 0.0)[:, 3].tolist() == pytest.approx([1 / 3] * 3)  # the limit on a tie


def test_caption_gate_by_hand():
    nll = torch.tensor([[1.0], [1.0 + math.log(2.0)]])  # likelihoods 2 : 1 at T = 1
    log_gate = torch.tensor([[0.2], [0.8]]).log()
    assert caption_gate(nll, log_gate, 1.0, 1.0)[:, 0].tolist() == pytest.approx([2 / 6, 4 / 6])
    assert caption_gate(nll, log_gate, 1.0, 2.0)[:, 0].tolist() == pytest.approx([2 / 18, 16 / 18])
    assert caption_gate(nll, log_gate, 1e9, 1.0)[:, 0].tolist() == pytest.approx([0.2, 0.8])


def test_caption_gate_is_the_published_formula():
    torch.manual_seed(0)
    nll, log_gate = torch.rand(3, 5), torch.randn(3, 5).log_softmax(0)
    weights = torch.exp(-(nll - nll.mean(0)) / 0.3) * log_gate.exp() ** 1.5
    torch.testing.assert_close(caption_gate(nll, log_gate, 0.3, 1.5), weights / weights.sum(0))


def test_the_sequence_scale_is_the_papers_formula():
    """q_k = p(x|c;k)^(1/T) / sum_j p(x|c;j)^(1/T) with p the whole caption's; a token mean divides by its length."""
    nll = torch.tensor([[1.0, 1.0], [1.5, 1.5]])
    tokens = torch.tensor([2, 10])
    whole = torch.exp(-nll * tokens) ** (1 / 4.0)
    torch.testing.assert_close(annealed(nll, 4.0, tokens), whole / whole.sum(0))
    for example, length in enumerate(tokens.tolist()):
        torch.testing.assert_close(annealed(nll, 4.0, tokens)[:, example], annealed(nll, 4.0 / length)[:, example])
    even = torch.full_like(nll, 0.5).log()
    torch.testing.assert_close(caption_gate(nll, even, 4.0, 1.0, tokens), annealed(nll, 4.0, tokens))
    options = ObjectiveOptions("annealed", temperature=Anneal(4.0, 4.0), temperature_scale="sequence")
    assert options.weights(nll, 0, 9, tokens=tokens).equal(annealed(nll, 4.0, tokens))
    on_tokens = ObjectiveOptions("annealed", temperature=Anneal(4.0, 4.0))
    assert on_tokens.weights(nll, 0, 9, tokens=tokens).equal(annealed(nll, 4.0))


@pytest.mark.parametrize("temperature", [0.0, 1e-320, 1e-12, 0.05, 1.0, 1e6])
def test_caption_gate_without_its_gate_is_annealed_and_then_wta(temperature):
    log_gate = torch.randn(3, 4).log_softmax(0)
    without = caption_gate(NLL, log_gate, temperature, 0.0)
    assert without.equal(annealed(NLL, temperature))
    if temperature <= 1e-12:
        assert without[:, :3].equal(winner_takes_all(NLL)[:, :3])


def test_cold_caption_gate_decides_ties():
    log_gate = torch.tensor([[0.2], [0.7], [0.1]]).log().expand(3, 4)
    q = caption_gate(NLL, log_gate, 0.0, 1.0)
    assert q[:, :3].equal(winner_takes_all(NLL)[:, :3])
    assert q[:, 3].tolist() == pytest.approx([0.2, 0.7, 0.1])


@pytest.mark.parametrize("temperature", [0.0, 1e-320, 1e-38, 1e-12, 1.0, 1e6, 1e300])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", EXTREME)
def test_weights_are_a_distribution_for_any_losses(case, rule, temperature):
    for nll in (EXTREME[case], EXTREME[case].double(), EXTREME[case].bfloat16()):
        q = RULES[rule](nll, temperature)
        assert q.isfinite().all()
        assert (q >= 0).all()
        assert q.sum(dim=0).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("rule", RULES)
def test_one_hypothesis_owns_everything_and_weights_are_detached(rule):
    nll = torch.rand(1, 4, requires_grad=True)
    q = RULES[rule](nll, 0.1)
    assert q.tolist() == [[1.0] * 4]
    assert not q.requires_grad
    weighted_loss(nll, q).backward()
    assert nll.grad.tolist() == [[0.25] * 4]


@pytest.mark.parametrize("rule", ["wta", "relaxed", "annealed"])
def test_nan_counts_as_the_worst_loss(rule):
    q = RULES[rule](torch.tensor([[math.nan], [5.0], [7.0]]), 0.5)
    assert q.argmax(dim=0).item() == 1
    assert q[0].item() < 0.06


def test_weighted_loss_gradient_is_the_weights():
    nll = NLL.clone().requires_grad_()
    q = relaxed(nll, 0.1)
    weighted_loss(nll, q).backward()
    torch.testing.assert_close(nll.grad, q / 4)


def test_examples_without_targets_are_left_out_of_the_mean():
    valid = torch.tensor([True, False, True, False])
    q = winner_takes_all(NLL)
    assert weighted_loss(NLL, q, valid).item() == pytest.approx((1 + 1) / 2)
    assert weighted_loss(NLL, q, torch.zeros(4, dtype=torch.bool)).item() == 0
    assert winner_counts(q, valid).tolist() == [0, 1, 1]
    assert assignment_entropy(relaxed(NLL, 0.0), valid).item() == 0


def test_one_example_that_counts_is_its_own_mean():
    q, valid = torch.tensor([[0.5, 1.0], [0.5, 0.0]]), torch.tensor([True, False])
    assert weighted_loss(torch.tensor([[1.0, 5.0], [3.0, 7.0]]), q, valid).item() == 2
    assert assignment_entropy(q, valid).item() == pytest.approx(math.log(2))


def test_diagnostics_by_hand():
    assert winner_counts(winner_takes_all(NLL)).tolist() == [2, 1, 1]
    assert winner_counts(torch.eye(3)[:, :1]).tolist() == [1, 0, 0]
    assert assignment_entropy(winner_takes_all(NLL)).item() == 0
    assert assignment_entropy(torch.full((3, 4), 1 / 3)).item() == pytest.approx(math.log(3))
    q = torch.tensor([[0.5, 1.0], [0.5, 0.0]])
    assert assignment_entropy(q).item() == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize("shape", ["exponential", "linear", "cosine"])
@pytest.mark.parametrize("fraction", [1.0, 0.7, 0.1])
@pytest.mark.parametrize("total", [2, 10, 1000])
def test_schedules_hit_their_ends_exactly_and_never_rise(shape, fraction, total):
    anneal = Anneal(0.3, 0.05, fraction, shape)
    values = [anneal.at(step, total) for step in range(total)]
    assert values[0] == 0.3
    assert values[-1] == 0.05
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert all(v == 0.05 for v in values[math.ceil(fraction * (total - 1)) :])


@pytest.mark.parametrize(
    ("shape", "middle"),
    [("exponential", 0.1), ("linear", 0.205), ("cosine", 0.205)],
)
def test_schedules_by_hand(shape, middle):
    assert Anneal(0.4, 0.01 if shape != "exponential" else 0.025, 1.0, shape).at(50, 101) == pytest.approx(middle)
    assert Anneal(1.0, 0.0, 1.0, "cosine").at(25, 101) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert Anneal(0.3, 0.05, 0.0, shape).at(0, 100) == 0.05
    assert Anneal(0.3, 0.05, 1.0, shape).at(0, 1) == 0.05


@pytest.mark.parametrize(
    ("shape", "end", "second"),
    [
        ("exponential", 0.025, 0.2),
        ("linear", 0.02, 0.305),
        ("cosine", 0.02, 0.4 - 0.38 * (1 - math.cos(math.pi / 4)) / 2),
    ],
)
def test_schedules_move_from_the_first_step_on(shape, end, second):
    assert Anneal(0.4, end, shape=shape).at(1, 5) == pytest.approx(second)


def test_defaults():
    assert ObjectiveOptions() == ObjectiveOptions(
        "caption-gate",
        epsilon=0.1,
        temperature=Anneal(0.3, 0.05, 0.7, "exponential"),
        beta=1.0,
        temperature_scale="token",
    )


@pytest.mark.parametrize("total", [2, 100, 13_815, 20_000])
def test_the_papers_schedule_multiplies_by_the_same_number_each_step(total):
    anneal = Anneal(1.0, ratio=0.999)
    for step in (0, 1, total // 2, total - 1):
        assert anneal.at(step, total) == pytest.approx(max(0.999**step, 1e-6), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Anneal(1.0, ratio=1.0), r"ratio must be in \(0, 1\); got 1.0"),
        (lambda: Anneal(1.0, ratio=math.nan), "ratio must be"),
        (lambda: Anneal(1.0, ratio=0.0), "ratio must be"),
        (lambda: Anneal(1.0, fraction=0.5, ratio=0.9), "fraction and shape do not go with it"),
        (lambda: Anneal(1.0, shape="cosine", end=0.1, ratio=0.9), "fraction and shape do not go with it"),
        (lambda: Anneal(0.1, 0.1, ratio=0.9), "end must be below start; got 0.1 and 0.1"),
        (lambda: Anneal(0.0, 0.1), "start must be positive"),
        (lambda: Anneal(0.3, 0.0), "end must be positive"),
        (lambda: Anneal(-1.0, 0.1, shape="linear"), "start must be"),
        (lambda: Anneal(0.3, math.inf, shape="linear"), "end must be"),
        (lambda: Anneal(0.3, 0.1, 1.5), "fraction"),
        (lambda: Anneal(0.3, 0.1, shape="square"), "shape"),
        (lambda: ObjectiveOptions("best"), "objective must be one of wta"),
        (lambda: ObjectiveOptions(epsilon=1.0), "epsilon"),
        (lambda: ObjectiveOptions(beta=-1.0), "beta"),
        (lambda: relaxed(NLL, -0.1), "epsilon"),
        (lambda: annealed(NLL, -1.0), "temperature"),
        (lambda: annealed(NLL, math.nan), "temperature"),
        (lambda: annealed(NLL, math.inf), "temperature"),
        (lambda: caption_gate(NLL, NLL, 1.0, math.inf), "beta"),
        (lambda: ObjectiveOptions("caption-gate").weights(NLL, 0, 10), "needs log_gate"),
        (lambda: ObjectiveOptions(temperature_scale="word"), "temperature_scale must be token or sequence"),
        (lambda: ObjectiveOptions("annealed", temperature_scale="sequence").weights(NLL, 0, 10), "needs tokens"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(OptionsError, match=message):
        make()


def test_options_choose_the_rule_and_its_temperature():
    log_gate = torch.randn(3, 4).log_softmax(0)
    anneal = Anneal(0.3, 0.05, 0.5)
    expected = {
        "wta": winner_takes_all(NLL),
        "relaxed": relaxed(NLL, 0.2),
        "annealed": annealed(NLL, anneal.at(3, 20)),
        "caption-gate": caption_gate(NLL, log_gate, anneal.at(3, 20), 2.0),
    }
    for name, q in expected.items():
        options = ObjectiveOptions(name, epsilon=0.2, temperature=anneal, beta=2.0)
        assert options.weights(NLL, 3, 20, log_gate).equal(q)
        assert options.needs_gate == (name == "caption-gate")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_without_weight_may_be_anything(bad):
    nll = torch.tensor([[1.0, bad, 3.0], [2.0, 4.0, bad]], requires_grad=True)
    q = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    valid = torch.tensor([True, True, False])
    loss = weighted_loss(nll, q, valid)
    loss.backward()
    assert loss.item() == 2.5
    assert torch.equal(nll.grad, torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]))
    everything = weighted_loss(nll[:, :2], q[:, :2])
    assert everything.item() == 2.5
    assert not weighted_loss(nll, q).isfinite()


def test_a_weight_of_0_leaves_out_what_is_not_finite():
    nll = torch.tensor([[math.nan, 2.0, math.inf], [3.0, 4.0, 5.0]], requires_grad=True)
    q = torch.tensor([[0.0, 0.25, 0.5], [1.0, 0.75, 0.5]])
    loss = weighted_loss(nll, q, torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx((3.0 + 0.25 * 2.0 + 0.75 * 4.0) / 2)
    loss.backward()
    assert nll.grad.tolist() == [[0.0, 0.125, 0.0], [0.5, 0.375, 0.0]]
    assert weighted_loss(nll.detach()[:, :2], q[:, :2]).item() == pytest.approx(3.25)
    assert math.isnan(weighted_loss(nll.detach(), torch.full((2, 3), 0.5)).item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_least_temperature_is_that_of_normal_numbers(dtype):
    """From there on losses are divided by it; what is below counts as 0."""
    tiny = torch.finfo(dtype).tiny
    nll = torch.tensor([[0.0], [tiny]], dtype=dtype)
    for temperature, first in ((tiny, 1 / (1 + math.exp(-1))), (tiny / 2, 1.0)):
        assert annealed(nll, temperature)[0].item() == pytest.approx(first)


@pytest.mark.parametrize("shape", ["exponential", "linear", "cosine"])
def test_before_the_first_step_is_the_start(shape):
    assert Anneal(0.3, 0.05, 1.0, shape).at(-5, 100) == 0.3
    assert Anneal(0.3, 0.05, ratio=0.5).at(-5, 100) == 0.3


def test_what_a_gate_excludes_is_excluded_at_any_weight_of_it():
    """log 0 counts as -10,000: finite, and next to nothing even at a weight of .01."""
    log_gate = torch.tensor([[-math.inf], [0.0]])
    for beta, most in ((0.0, 0.5), (0.01, 1e-30), (1e30, 0.0)):
        q = caption_gate(torch.ones(2, 1), log_gate, 1.0, beta)
        assert q[0].item() <= most and q.sum().item() == 1
