"""The projector's alignment: whose names, which patches, and that the loss asks for the right thing."""

import pytest
import torch

from training.embedded.common.alignment import AlignmentLearner, naming_matrix
from training.embedded.image.align import AlignmentCollator, slot_columns
from training.embedded.image.visits import Visit
from training.embedded.image.world.scene import Scene, Thing


class Letters:
    """A tokenizer whose tokens are letters: a = 1, b = 2, …; the leading space is dropped."""

    def __call__(self, text: str, add_special_tokens: bool) -> dict:
        return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text.strip()]}


def test_names_count_the_same_whatever_their_length():
    matrix = naming_matrix([("a", "bc"), ("dd",)], Letters(), 6)
    assert matrix.tolist() == [[0, 0.5, 0.25, 0.25, 0, 0], [0, 0, 0, 0, 1, 0]]


def test_a_slot_is_the_columns_around_its_third():
    assert slot_columns(4).tolist() == [
        [True, True, False, False],
        [False, True, True, False],
        [False, False, True, True],
    ]


def visit(*things: Thing, place: str | None = "beach") -> Visit:
    return Visit(torch.zeros(1, 16, 8), (256, 256), "", "", Scene(place, things))


def test_the_collator_says_what_is_where():
    collate = AlignmentCollator(["cat", "dog"], ["beach"])
    batch = collate([visit(place=None), visit(Thing("dog", slot="left"), Thing("cat", slot="right"))])
    assert batch["features"].shape == (2, 16, 8)
    assert batch["medium"].tolist() == [1, 1]
    assert batch["thing"].tolist() == [1, 0]
    assert batch["place"].tolist() == [-100, 0]
    assert batch["here"][0].view(4, 4).tolist() == [[True, True, False, False]] * 4
    assert batch["here"][1].view(4, 4).tolist() == [[False, False, True, True]] * 4


class TinyModel(torch.nn.Module):
    """Where ``AlignmentLearner`` finds a projector and token embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Module()
        self.model.multi_modal_projector = torch.nn.Linear(8, 6, bias=False)
        self.embeddings = torch.nn.Embedding(6, 6)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embeddings


@pytest.fixture
def learner() -> AlignmentLearner:
    torch.manual_seed(0)
    names, places = torch.eye(6)[:2], torch.eye(6)[2:3]
    return AlignmentLearner(TinyModel(), names, places, 0.2).eval()


def test_naming_the_right_thing_in_the_right_slot_costs_least(learner):
    batch = AlignmentCollator(["cat", "dog"], ["beach"])([visit(Thing("dog", slot="left"))])
    with torch.no_grad():
        learner.model.embeddings.weight.copy_(torch.eye(6))
        learner.model.model.multi_modal_projector.weight.copy_(torch.eye(6, 8))

        # Dimension 5 is no name: it only shows where something stands.
        learner.presence.weight.copy_(10 * torch.eye(6)[5:])

    def loss(thing: int, column: int) -> float:
        features = torch.zeros(1, 4, 4, 8)
        features[:, 2, column, [thing, 5]] = 1.0
        return learner(**batch | {"features": features.view(1, 16, 8)}).item()

    right = loss(1, 0)
    assert right < loss(1, 3), "the dog on the wrong side"
    assert right < loss(0, 0), "a cat instead"
    assert right < loss(4, 0), "nothing named"


def test_only_projector_and_embeddings_learn(learner):
    names = {name for name, _ in learner.trainable_parameters()}
    projector = "model.model.multi_modal_projector.weight"
    assert names == {"scale", "presence.weight", "presence.bias", projector, "model.embeddings.weight"}
