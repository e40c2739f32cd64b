"""The measured difficulty of recordings, and clips of one recording."""

import random

import numpy as np
import pytest
import torch

from training.embedded.audio.annotation import clip_difficulty as difficulty
from training.embedded.audio.annotation.clip_difficulty import MOST, PARTS, judged, part
from training.embedded.audio.annotation.clip_difficulty import precision_of as how_precisely
from training.embedded.audio.annotation.precision import UNMEASURED, annotation_precision, read_precision
from training.embedded.audio.annotation.solo_clips import solo_clip
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import (
    ATTRIBUTION,
    PACK_DIR,
    Recording,
    SoundError,
    load_sounds,
    read_index,
)
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.probing import fit


def test_a_clip_of_one_recording():
    material = Material("train", PACK_DIR)
    first, second = material.recordings("thunder")[:2]
    waves = [solo_clip("thunder", material, random.Random(5), one)[1].samples for one in (first, first, second)]
    assert np.array_equal(waves[0], waves[1]) and not np.array_equal(waves[0], waves[2])


LEXICON = load_lexicon()
EVENTS = LEXICON.events
FAMILIES = torch.tensor([sorted(LEXICON.families).index(LEXICON.sounds[sound].family) for sound in EVENTS])


def likely(**shares: float) -> torch.Tensor:
    out = torch.zeros(len(EVENTS))
    for sound, share in shares.items():
        out[EVENTS.index(sound)] = share
    return out


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"dog": 0.4, "saw": 0.35, "drill": 0.25}, "sound"),
        ({"cat": 0.3, "dog": 0.25, "saw": 0.45}, "family"),  # animals together are likelier than the saw
        ({"cat": 0.3, "dog": 0.1, "saw": 0.6}, "timbre"),
        ({"saw": 1.0}, "timbre"),
    ],
)
def test_what_is_recognised_is_named(shares, expected):
    assert how_precisely(likely(**shares), EVENTS.index("dog"), FAMILIES) == expected


def recording(sound: str, number: int, package: str, split: str = "train") -> Recording:
    return Recording(f"{sound}_{number}", sound, package, "x", "MIT", "somebody", False, split)


def test_recordings_are_judged_by_those_of_other_packages_alone():
    packages = {}
    for number in range(40):
        packages.setdefault(part(f"package-{number}"), f"package-{number}")
    assert set(packages) == set(range(PARTS))
    one, two, three, *_ = packages.values()
    rng = np.random.default_rng(0)

    def features(place: float) -> torch.Tensor:
        centre = np.zeros(8)
        centre[int(place)] = 8
        return torch.from_numpy(centre + rng.standard_normal((2, 8))).float()

    rows = [(recording("dog", n, (one, two)[n % 2]), features(0)) for n in range(8)]
    rows += [(recording("saw", 10 + n, (one, two)[n % 2]), features(1)) for n in range(8)]
    rows += [(recording("piano", 20 + n, (one, two)[n % 2]), features(2)) for n in range(8)]
    # Sounds like a saw; one package alone; and two of the test.
    rows += [(recording("dog", 90, three), features(1)), (recording("cow", 91, three), features(3))]
    rows += [(recording("dog", 92, "test", "test"), features(0)), (recording("cat", 93, "test", "test"), features(4))]
    # A sound that is another one in another package: what knows it from its own recordings alone does not count.
    rows += [(recording("owl", 30 + n, (one, two)[n % 2]), features(4 + n % 2)) for n in range(8)]
    # Two packages of one part learn nothing from one another.
    twin = next(name for number in range(40, 400) if part(name := f"package-{number}") == part(three))
    rows += [(recording("bell", 80 + n, (three, twin)[n % 2]), features(6)) for n in range(4)]
    found = judged(rows, steps=150)
    assert not {"sound"} & {found[f"owl_{30 + n}"] for n in range(8)} and "bell_80" not in found
    assert found["dog_90"] == "timbre" and found["dog_92"] == "sound"
    assert "cow_91" not in found and "cat_93" not in found
    assert all(found[f"dog_{n}"] == "sound" for n in range(8)) and found["saw_10"] == found["piano_20"] == "sound"


def test_tunes_by_the_dozen_do_not_drown_the_rest(monkeypatch):
    sizes = []

    def counting(inputs, labels, **options):
        sizes.append(len(inputs))
        return fit(inputs, labels, **options)

    monkeypatch.setattr(difficulty, "fit", counting)
    rows = [(recording("piano", n, "font"), torch.randn(2, 8)) for n in range(MOST + 10)]
    judged([*rows, (recording("dog", 99, "other"), torch.randn(2, 8))], steps=10)
    assert max(sizes) == 2 * (MOST + 1)


def test_the_table_and_what_it_leaves_out(tmp_path):
    (tmp_path / "precision.csv").write_text("recording,precision\ndog_1,by ear\n")
    with pytest.raises(SoundError, match=r"dog_1.*'by ear'"):
        read_precision(tmp_path / "precision.csv")
    table = read_precision()
    known = {one.id for one in (*load_sounds(), *read_index(PACK_DIR / ATTRIBUTION))}
    measured = [one for one in load_sounds() if one.id in table]
    assert len(measured) > 1500 and len(known & table.keys()) > len(measured), "rendered ones too"
    assert {annotation_precision(measured[0], random.Random(seed)) for seed in range(9)} == {table[measured[0].id]}
    kinds = {"music", "speech"}
    plays = [one for one in read_index(PACK_DIR / ATTRIBUTION) if LEXICON.sounds[one.sound].kind in kinds]
    least = [one for one in plays if table.get(one.id) == "timbre"]
    found = {annotation_precision(one, random.Random(0)) for one in least}
    assert least and found == {"family"}, "nobody takes music for less"
    unmeasured = recording("dog", 999_999, "nobody's")
    assert {annotation_precision(unmeasured, random.Random(seed)) for seed in range(40)} == set(UNMEASURED)
