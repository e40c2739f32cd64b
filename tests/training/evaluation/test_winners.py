"""Predicted winners: calibration by hand, and a head that learns what can be learned and no more."""

import pytest
import torch

from training.evaluation.winners import Winners, calibration, fit_score_head, win_frequency, winner_losses


def test_calibration_by_hand():
    probability = torch.tensor([[0.95, 0.05], [0.85, 0.15], [0.35, 0.65], [0.35, 0.65]])
    found = calibration(probability, torch.tensor([0, 1, 1, 0]))
    assert found["accuracy"] == 0.5
    assert found["reliability"] == [[0.65, 0.5, 2], [0.85, 0.0, 1], [0.95, 1.0, 1]]
    assert found["ece"] == pytest.approx((2 * 0.15 + 0.85 + 0.05) / 4, abs=1e-4)
    expected = -torch.tensor([0.95, 0.15, 0.65, 0.35]).log()
    assert found["log_loss"] == pytest.approx(float(expected.mean()), abs=1e-4)
    torch.testing.assert_close(winner_losses(probability, torch.tensor([0, 1, 1, 0])).float(), expected)


def test_frequency_by_hand():
    assert win_frequency(torch.tensor([0, 0, 2]), 3).tolist() == pytest.approx([3 / 6, 1 / 6, 2 / 6])


def fitted(states, winner, hypotheses=2):
    fit, held_out = (Winners(states[part], winner[part]) for part in (slice(1000), slice(1000, 1500)))
    head = fit_score_head(fit, held_out, hypotheses)
    return calibration(head.log_probabilities(states[1500:]).exp(), winner[1500:])


@pytest.fixture
def states():
    # Channels of unlike scale and place, one of them constant but for rounding.
    torch.manual_seed(0)
    return torch.randn(2000, 6) * torch.tensor([1.0, 100.0, 0.01, 1.0, 1.0, 1e-7]) + torch.tensor([0, 5, 0, -3, 0, 9.0])


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_head_learns_what_the_state_shows(states, channel):
    winner = (states[:, channel] > states[:, channel].mean()).long()
    assert fitted(states, winner)["accuracy"] > 0.95


def test_a_head_knows_how_often_it_is_right(states):
    """The winner is drawn with the probability that the state shows."""
    odds = states[:, 0].sigmoid()
    winner = torch.bernoulli(odds, generator=torch.Generator().manual_seed(1)).long()
    found = fitted(states, winner)
    true = calibration(torch.stack([1 - odds, odds], dim=1)[1500:], winner[1500:])
    assert found["log_loss"] == pytest.approx(true["log_loss"], abs=0.01) and found["ece"] < 0.06


def test_of_chance_it_stays_unsure(states):
    winner = torch.multinomial(
        torch.tensor([0.7, 0.2, 0.1]), 2000, replacement=True, generator=torch.Generator().manual_seed(2)
    )
    found = fitted(states, winner, 3)
    share = torch.bincount(winner[1500:]) / 500
    assert found["log_loss"] == pytest.approx(float(-(share * share.log()).sum()), abs=0.02)


def test_the_temperature_corrects_a_head_that_was_sure_of_noise():
    """Fewer captions than channels: the fit is perfect, and what is held out corrects it."""
    torch.manual_seed(0)
    states, winner = torch.randn(400, 100), torch.randint(2, (400,))
    head = fit_score_head(Winners(states[:60], winner[:60]), Winners(states[60:200], winner[60:200]), 2)
    found = calibration(head.log_probabilities(states[200:]).exp(), winner[200:])
    assert found["log_loss"] < 0.75  # 0.693 is chance


def test_the_same_captions_give_the_same_head(states):
    winner = (states[:, 0] > 0).long()
    one, two = (
        fit_score_head(Winners(states[:50], winner[:50]), Winners(states[50:90], winner[50:90]), 2) for _ in "12"
    )
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)


def test_states_and_winners_belong_together():
    with pytest.raises(ValueError, match="do not fit"):
        Winners(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long))
