"""The audio cards say what the results file says, and the committed model is of the size they promise."""

import json

import pytest

from training.audio import card
from training.audio.bundle import MODEL_DIR
from training.audio.evaluate import RESULTS
from training.tables import filled


@pytest.mark.parametrize("template", card.CARDS, ids=lambda path: path.stem)
def test_every_figure_of_a_card_comes_from_the_results(template):
    passages = card.blocks(json.loads(RESULTS.read_text(encoding="utf-8")))
    made = filled(template.read_text(encoding="utf-8"), passages)
    assert card.CARDS[template].read_text(encoding="utf-8") == made, "run `python -m training.audio.card`"


def test_the_model_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in MODEL_DIR.iterdir()) <= 25_000_000


def test_sounds_are_listed_from_best_to_worst():
    split = {
        "sounds": {
            "dog": {"clips": 9, "named": 0.9},
            "cat": {"clips": 9, "named": 0.5},
            "cow": {"clips": 9, "named": 0.1},
            "pig": {"clips": card.LEAST_CLIPS - 1, "named": 1.0},
        }
    }
    rows = card.sounds(split).splitlines()[2:]
    assert rows[0] == "| a dog barks | 90.0 % | a cow moos | 10.0 % |"
    assert rows[1] == "| a cat meows | 50.0 % | a cat meows | 50.0 % |" and "pig" not in card.sounds(split)
