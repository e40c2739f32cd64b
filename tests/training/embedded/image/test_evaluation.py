"""Where captions go wrong, on a few made-up scenes."""

from training.embedded.common.reports import ScoredCaption
from training.embedded.image.captions.scoring import Score
from training.embedded.image.evaluation import by_kinds, by_photographs
from training.embedded.image.world.scene import Scene, Thing

ONE = Scene("beach", (Thing("cat"),))
TWO = Scene("forest", (Thing("cat", slot="left"), Thing("dog", slot="right")))


def caption(recall: float, precision: float, place: bool = False) -> ScoredCaption:
    return ScoredCaption("", None, Score(recall, precision, place, None))


def test_the_best_caption_counts_for_each_number_of_kinds():
    sets = [[caption(0, 0), caption(1, 0.5)], [caption(0, 0)], [caption(0.5, 1), caption(0.5, 0.5)]]
    assert by_kinds([ONE, ONE, TWO], sets) == [
        {"kinds": 1, "scenes": 2, "recall": 0.5, "precision": 0.25},
        {"kinds": 2, "scenes": 1, "recall": 0.5, "precision": 1.0},
    ]


def test_places_are_grouped_by_their_training_photographs():
    sets = [[caption(0, 0, place=True), caption(1, 1)], [caption(0, 0)], [caption(0, 0, place=True)]]
    assert by_photographs([ONE, ONE, TWO], sets, {"beach": 1, "forest": 7}) == [
        {"photographs": "1", "places": 1, "scenes": 2, "place_right": 0.5},
        {"photographs": "4 or more", "places": 1, "scenes": 1, "place_right": 1.0},
    ]
