"""The gate's start: annealed EM finds modes that differ in words for every seed, and the gate predicts them."""

import math

import pytest
import torch

from lora_mcl.errors import OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.gate_init import CONFIDENCE, Mixture, fit_mixture, start_gate

MODES, CAPTIONS = 3, 240


def captions(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, 9] token ids and their modes [N]: six nouns that all modes share, three words of the mode's own five."""
    generator = torch.Generator().manual_seed(seed)
    modes = torch.arange(CAPTIONS) % MODES
    nouns = torch.randint(40, (CAPTIONS, 6), generator=generator)
    own = 40 + 5 * modes[:, None] + torch.randint(5, (CAPTIONS, 3), generator=generator)
    return torch.cat([nouns, own], 1), modes


def test_joint_by_hand():
    mixture = Mixture(torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log(), torch.tensor([0.25, 0.75]).log(), torch.zeros(2))
    found = mixture.log_joint(torch.tensor([[2.0, 1.0]])).exp()
    torch.testing.assert_close(found, torch.tensor([[0.25 * 0.125, 0.75 * 0.081]]))


def test_one_component_is_the_smoothed_frequency():
    mixture = fit_mixture(torch.tensor([[3.0, 1.0], [0.0, 2.0]]), 1)
    assert mixture.log_features.exp()[0].tolist() == pytest.approx([3.05 / 6.1, 3.05 / 6.1])
    assert mixture.log_shares.item() == pytest.approx(0)


@pytest.mark.parametrize("seed", range(4))
def test_the_gate_starts_with_one_hypothesis_a_mode(seed):
    labels, modes = captions(seed)
    gate = CaptionGate(40 + 5 * MODES, MODES).eval()
    start_gate(gate, labels, torch.Generator().manual_seed(seed))
    log_gate = gate(labels)
    chosen = log_gate.argmax(0)
    main = [int(chosen[modes == mode].mode().values) for mode in range(MODES)]
    assert sorted(main) == list(range(MODES))
    assert (chosen == torch.tensor(main)[modes]).float().mean() > 0.97
    first, second = log_gate.topk(2, dim=0).values
    assert CONFIDENCE == 4.0 and (first - second).mean().item() == pytest.approx(4.0, abs=0.01)


def annealed_em(bags: torch.Tensor, components: int, generator: torch.Generator, unseen: int) -> Mixture:
    """One run as the module describes it, step by step: 40 iterations, of which 20 heat up from .1 to 1."""
    posterior = 1 + 0.2 * torch.rand(len(bags), components, generator=generator)
    posterior /= posterior.sum(1)[:, None]
    for iteration in range(40):
        totals, features = [], []
        for of_one in posterior.T:
            counts = (of_one[:, None] * bags).sum(0) + 0.05
            totals.append(counts.sum() + unseen * 0.05)
            features.append(counts / totals[-1])
        shares = posterior.mean(0)
        heat = min(1.0, 0.1 + 0.9 * iteration / 20)
        log_joint = torch.stack([(bags * of_one.log()).sum(1) for of_one in features], 1) + shares.log()
        posterior = (heat * log_joint).softmax(1)
    return Mixture(torch.stack(features).log(), shares.log(), (0.05 / torch.stack(totals)).log())


@pytest.mark.parametrize("unseen", [0, 7])
def test_a_run_is_annealed_em(unseen):
    labels, _ = captions(4)
    bags = CaptionGate(40 + 5 * MODES, MODES).counts(labels[:30, -5:])
    found = fit_mixture(bags, 2, torch.Generator().manual_seed(6), restarts=1, unseen=unseen)
    expected = annealed_em(bags, 2, torch.Generator().manual_seed(6), unseen)
    for name in ("log_features", "log_shares", "log_unseen"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-3, rtol=1e-3)


def test_eight_runs_are_tried():
    """As the draws show."""
    labels, _ = captions(0)
    bags = CaptionGate(40 + 5 * MODES, MODES).counts(labels[:20])
    used, expected = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    fit_mixture(bags, 2, used)
    for _ in range(8):
        torch.rand(20, 2, generator=expected)
    assert torch.equal(used.get_state(), expected.get_state())


def test_of_runs_that_end_in_the_same_place_the_first_is_kept():
    """Modes without a common word: most runs find them, in any order."""
    bags = torch.eye(3).repeat(10, 1)
    first = fit_mixture(bags, 3, torch.Generator().manual_seed(0), restarts=1)
    one_of_eight = fit_mixture(bags, 3, torch.Generator().manual_seed(0), restarts=8)
    assert torch.equal(first.log_features, one_of_eight.log_features)
    orders = set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        orders.add(tuple(fit_mixture(bags, 3, generator, restarts=1).log_features.argmax(1).tolist()))
    assert len([order for order in orders if sorted(order) == [0, 1, 2]]) > 1


def test_short_captions_are_divided_by_their_norm():
    labels, _ = captions(2)
    gates = [CaptionGate(40 + 5 * MODES, MODES) for _ in range(2)]
    start_gate(gates[0], labels[:, -2:], torch.Generator().manual_seed(2))
    dense_start(gates[1], labels[:, -2:], torch.Generator().manual_seed(2))
    torch.testing.assert_close(gates[0].weight, gates[1].weight, atol=1e-4, rtol=1e-4)


def test_the_likeliest_of_several_runs_is_kept():
    labels, _ = captions(1)
    bags = CaptionGate(40 + 5 * MODES, MODES).counts(labels)

    def likelihood(restarts: int) -> float:
        mixture = fit_mixture(bags, 4, torch.Generator().manual_seed(5), restarts)
        return float(mixture.log_joint(bags).logsumexp(1).sum())

    found = [likelihood(restarts) for restarts in (1, 2, 4, 8)]
    assert found == sorted(found) and found[-1] > found[0]


def test_a_random_start_is_no_such_thing():
    labels, modes = captions(0)
    torch.manual_seed(0)
    chosen = CaptionGate(40 + 5 * MODES, MODES).eval()(labels).argmax(0)
    shares = [(chosen[modes == mode].bincount(minlength=MODES) / (modes == mode).sum()).max() for mode in range(MODES)]
    assert min(shares) < 0.8


def test_captions_of_one_mode_leave_a_finite_gate():
    gate = CaptionGate(4, 3)
    start_gate(gate, torch.tensor([[1, 2], [1, 2], [1, 2]]))
    assert gate.weight.isfinite().all() and gate.bias.isfinite().all()


def test_one_hypothesis_has_nothing_to_choose():
    gate = CaptionGate(4, 1)
    before = gate.weight.clone()
    start_gate(gate, torch.tensor([[1, 2]]))
    assert torch.equal(gate.weight, before) and math.isclose(gate.bias.item(), 0)


def test_too_few_captions_are_refused():
    with pytest.raises(OptionsError, match="3 hypotheses cannot start from 2 captions"):
        start_gate(CaptionGate(4, 3), torch.tensor([[1], [2]]))


def dense_start(gate: CaptionGate, labels: torch.Tensor, generator: torch.Generator) -> None:
    """The same over the whole vocabulary, as a reference."""
    bags = gate.counts(labels)
    mixture = fit_mixture(bags, len(gate.bias), generator)
    norms = bags.norm(dim=1, keepdim=True)
    weight = norms.mean() * (mixture.log_features - mixture.log_features.mean(0))
    first, second = ((bags / norms) @ weight.T + mixture.log_shares).topk(2, dim=1).values.T
    scale = min(1.0, CONFIDENCE / float((first - second).mean()))
    with torch.no_grad():
        gate.weight.copy_(scale * weight)
        gate.bias.copy_(scale * mixture.log_shares)


@pytest.mark.parametrize("order", [1, 2])
def test_tokens_that_do_not_occur_cost_nothing_and_change_nothing(order):
    labels, _ = captions(2)
    labels[:, 0] = 3  # an excluded token
    labels[::3, -1] = -100
    gates = [CaptionGate(90, MODES, order=order, excluded_token_ids=[3]) for _ in range(2)]
    start_gate(gates[0], labels, torch.Generator().manual_seed(2))
    dense_start(gates[1], labels, torch.Generator().manual_seed(2))
    torch.testing.assert_close(gates[0].weight, gates[1].weight, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gates[0].bias, gates[1].bias, atol=1e-4, rtol=1e-4)


def test_the_bias_follows_modes_of_unequal_frequency():
    """Log shares of .7, .2, .1, in any order, scaled like the weights."""
    labels, modes = captions(3)
    often = torch.cat([labels[modes == mode][:count] for mode, count in enumerate((70, 20, 10))])
    gate = CaptionGate(40 + 5 * MODES, MODES)
    start_gate(gate, often, torch.Generator().manual_seed(0))
    bags = gate.counts(often)
    mixture = fit_mixture(bags, MODES, torch.Generator().manual_seed(0))
    shares = mixture.log_shares.exp()
    torch.testing.assert_close(shares.sort().values, torch.tensor([0.1, 0.2, 0.7]), atol=0.03, rtol=0)
    scale = gate.bias[0] / mixture.log_shares[0]
    assert 0 < scale <= 1
    torch.testing.assert_close(gate.bias, scale * mixture.log_shares, atol=1e-4, rtol=1e-4)
