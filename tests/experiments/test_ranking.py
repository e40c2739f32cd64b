"""The ranking experiment: calibration by hand, a head that learns what can be learned, and one tiny run."""

import pytest
import torch

from tests.support.tiny_translations import MESSAGES, TINY
from training.experiments.translations import ranking, runs
from training.experiments.translations.catalogues import Message
from training.experiments.translations.model import train_base


def test_calibration_by_hand():
    probability = torch.tensor([[0.95, 0.05], [0.85, 0.15], [0.35, 0.65], [0.35, 0.65]])
    found = ranking.calibration(probability, torch.tensor([0, 1, 1, 0]))
    assert found["accuracy"] == 0.5
    assert found["reliability"] == [[0.65, 0.5, 2], [0.85, 0.0, 1], [0.95, 1.0, 1]]
    assert found["ece"] == pytest.approx((2 * 0.15 + 0.85 + 0.05) / 4, abs=1e-4)
    expected = -torch.tensor([0.95, 0.15, 0.65, 0.35]).log().mean()
    assert found["log_loss"] == pytest.approx(float(expected), abs=1e-4)


def test_a_head_learns_what_the_prompt_shows_and_stays_unsure_of_the_rest():
    torch.manual_seed(0)
    states = torch.randn(2000, 6)
    winner = (states[:, 0] > 0).long()
    head = ranking.fit_head(states[:1500], winner[:1500], 2, seed=0)
    shown = ranking.calibration(head(states[1500:]).softmax(1).detach(), winner[1500:])
    assert shown["accuracy"] > 0.95
    chance = torch.randint(2, (2000,))
    head = ranking.fit_head(states[:1500], chance[:1500], 2, seed=0)
    unsure = ranking.calibration(head(states[1500:]).softmax(1).detach(), chance[1500:])
    assert unsure["log_loss"] == pytest.approx(0.693, abs=0.02)


def test_the_winner_is_that_of_the_reference():
    nll = torch.tensor([[[1.0, 5.0], [3.0, 1.0]], [[2.0, 4.0], [2.0, 2.0]]])  # [K, languages, N]
    assert ranking.winners(nll, [0, 0]).tolist() == [0, 1]
    assert ranking.winners(nll, [1, 1]).tolist() == [1, 0]


def test_languages_of_references():
    texts = ["Open", "Open file", "Open new file"]
    messages = [Message(text, ("a", "b", "c", "d")) for text in texts]
    assert [ranking.language_by_words(7, message) for message in messages] == [0, 1, 2]
    assert [ranking.random_language(number, messages[0]) for number in range(5)] == [0, 1, 2, 3, 0]


def test_a_run_reports_every_ranking(tmp_path):
    train_base(MESSAGES, tmp_path / "base", TINY, seed=0)
    setting = runs.Setting(tmp_path / "base", MESSAGES[:6], MESSAGES[6:], TINY, tmp_path / "kept")
    result = ranking.run(0, setting)
    assert set(result["references"]) == {"any language", "language by words"}
    for report in result["references"].values():
        assert set(report) == {"score head", "log-probability", "frequency"}
        assert all(sum(bin[2] for bin in one["reliability"]) == 2 for one in report.values())
    assert ranking.run(0, setting) == result  # with the adapters that were kept


def test_states_do_not_depend_on_padding_or_adapters(tmp_path):
    train_base(MESSAGES, tmp_path / "base", TINY, seed=0)
    setting = runs.Setting(tmp_path / "base", MESSAGES, MESSAGES, TINY, tmp_path)
    learner, encoder = runs.trained(runs.Variant(2, runs.RELAXED, 2), 0, setting)
    together = ranking.prompt_states(learner, encoder, MESSAGES)
    alone = torch.cat([ranking.prompt_states(learner, encoder, [message]) for message in MESSAGES])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
