"""The projector's alignment: which names, which positions, and that the loss falls where the right thing is named."""

import pytest
import torch

from training.embedded.audio.dataset import ClipItem
from training.embedded.audio.domain import clause_names
from training.embedded.audio.domain import locate as locate_sounds
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Event
from training.embedded.audio.world.scene import Scene as AudioScene
from training.embedded.common.alignment import AlignmentCollator, AlignmentModule, naming_matrix
from training.embedded.common.dataset import Sample
from training.embedded.common.domain import Item
from training.embedded.image.domain import locate, slot_columns
from training.embedded.image.world.scene import Scene, Thing


class Letters:
    """A tokenizer whose tokens are letters: a = 1, b = 2, …; the leading space is dropped."""

    def __call__(self, text: str, add_special_tokens: bool) -> dict:
        return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text.strip()]}


def test_names_of_any_length_count_the_same():
    matrix = naming_matrix([("a", "bc"), ("dd",)], Letters(), 6)
    assert matrix.tolist() == [[0, 0.5, 0.25, 0.25, 0, 0], [0, 0, 0, 0, 1, 0]]


def test_names_of_sounds_have_no_articles():
    sounds = load_lexicon().sounds
    assert clause_names(sounds["dog"].clause) == ("dog barks", "chien aboie")
    assert clause_names(sounds["drip"].clause) == ("water drips", "eau goutte")
    assert clause_names(sounds["spark"].clause) == ("electricity crackles", "électricité grésille")


def test_a_slot_is_the_columns_around_its_third():
    assert slot_columns(4).tolist() == [
        [True, True, False, False],
        [False, True, True, False],
        [False, False, True, True],
    ]


def picture(*things: Thing, place: str | None = "beach") -> Sample:
    return Sample(torch.zeros(1, 16, 8), Item(Scene(place, things), (256, 256)), "", "")


def clip(item: ClipItem) -> Sample:
    return Sample(torch.zeros(1, 125, 8), item, "", "")


def test_things_are_located_in_the_patches_of_their_slots():
    collate = AlignmentCollator(locate, ["cat", "dog"], ["beach"])
    batch = collate([picture(place=None), picture(Thing("dog", slot="left"), Thing("cat", slot="right"))])
    assert batch["features"].shape == (2, 16, 8)
    assert batch["rows"].tolist() == [1, 1]
    assert batch["things"].tolist() == [1, 0]
    assert batch["places"].tolist() == [-100, 0]
    assert batch["here"][0].view(4, 4).tolist() == [[True, True, False, False]] * 4
    assert batch["here"][1].view(4, 4).tolist() == [[False, False, True, True]] * 4


def test_sounds_are_located_when_they_occur():
    scene = AudioScene("rain", (Event("dog", 2), Event("saw")))
    item = ClipItem(scene, 80_000, (0,), (((1.0, 1.2), (2.0, 2.2)), ((3.0, 4.0),)))
    samples = [clip(item), clip(ClipItem(AudioScene("sea", ()), 80_000))]
    batch = AlignmentCollator(locate_sounds, ("cat", "dog", "saw"), ("wind", "rain"))(samples)
    assert batch["rows"].tolist() == [0, 0] and batch["things"].tolist() == [1, 2]
    assert batch["places"].tolist() == [1, -100] and batch["here"].shape == (2, 125)
    # Positions are 40 ms: number 26 is at 1.06 s, 40 at 1.62 s, 52 at 2.1 s, 87 at 3.5 s.
    dog, saw = batch["here"]
    assert dog[[26, 52]].all() and not dog[[0, 40, 87]].any() and saw[87] and not saw[[26, 52, 110]].any()
    empty = AlignmentCollator(locate_sounds, ("dog",), ("wind",))(samples[1:])
    assert empty["here"].shape == (0, 125) and empty["rows"].dtype == torch.long


class TinyModel(torch.nn.Module):
    """Where ``AlignmentModule`` finds a projector and token embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Module()
        self.model.multi_modal_projector = torch.nn.Linear(8, 6, bias=False)
        self.embeddings = torch.nn.Embedding(6, 6)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embeddings


@pytest.fixture
def learner() -> AlignmentModule:
    torch.manual_seed(0)
    names, places = torch.eye(6)[:2], torch.eye(6)[2:3]
    return AlignmentModule(TinyModel(), names, places, 0.2).eval()


def test_naming_the_right_thing_in_the_right_slot_costs_least(learner):
    batch = AlignmentCollator(locate, ["cat", "dog"], ["beach"])([picture(Thing("dog", slot="left"))])
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


def test_alignment_learns_what_is_shown_among_noise(learner):
    learner.train()
    directions = torch.randn(2, 8)
    optimizer = torch.optim.Adam([weight for _, weight in learner.trainable_parameters()], lr=1e-2)

    def batch(generator):
        """One telling position of ten, somewhere where the thing may be."""
        things = torch.randint(0, 2, (16,), generator=generator)
        features = torch.randn(16, 10, 8, generator=generator)
        at = torch.randint(0, 10, (16,), generator=generator)
        features[torch.arange(16), at] = 3 * directions[things]
        return features, torch.arange(16), things, torch.ones(16, 10, dtype=torch.bool), torch.full((16,), -100)

    generator = torch.Generator().manual_seed(1)
    first = learner(*batch(generator)).item()
    for _ in range(120):
        optimizer.zero_grad()
        learner(*batch(generator)).backward()
        optimizer.step()
    learner.eval()
    features, rows, things, here, places = batch(generator)
    assert learner(features, rows, things, here, places).item() < 0.3 * first
    assert (learner.scores(features, rows, here)[0].argmax(1) == things).float().mean() > 0.9


def test_alignment_of_nothing_known_is_zero_with_a_gradient(learner):
    empty, here = torch.zeros(0, dtype=torch.long), torch.zeros(0, 10, dtype=torch.bool)
    loss = learner(torch.randn(2, 10, 8), empty, empty, here, torch.tensor([-100, -100]))
    loss.backward()
    assert loss.item() == 0
    placed = learner(torch.randn(2, 10, 8), empty, empty, here, torch.tensor([0, -100]))
    assert placed.item() >= 0
