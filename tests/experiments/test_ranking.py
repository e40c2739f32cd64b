"""The ranking experiment: whose winner counts, and one tiny run."""

import torch

from tests.support.tiny_translations import MESSAGES, TINY
from training.experiments.translations import ranking, runs
from training.experiments.translations.catalogues import Message
from training.experiments.translations.model import train_base


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
    together = ranking.states_of(learner, encoder, MESSAGES)
    alone = torch.cat([ranking.states_of(learner, encoder, [message]) for message in MESSAGES])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
