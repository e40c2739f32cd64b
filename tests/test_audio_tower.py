"""The tower's adaptation to sounds: mixed clips, what the learner hears, and how hard sounds are said to be."""

import math
import random

import numpy as np
import pytest
import torch
from transformers import Qwen2AudioEncoder

from training.audio import tower
from training.audio.alone import alone
from training.audio.difficulty import CLEAR, PARTS, UNCLEAR, part, vague
from training.audio.lexicon import load_lexicon
from training.audio.material import Material
from training.audio.recordings import PACK_DIR
from training.audio.tower import Clips, Heard, Mixer, TowerLearner, mixed
from training.audio.whisper import log_mel_extractor, whisper_config


@pytest.fixture(scope="module")
def encoder() -> Qwen2AudioEncoder:
    torch.manual_seed(0)
    config = whisper_config(layers=1)
    config.d_model, config.encoder_attention_heads, config.encoder_ffn_dim = 32, 2, 64
    return Qwen2AudioEncoder(config).eval()


def clip(event: int, bed: int, generator: torch.Generator) -> Heard:
    """A band of its own for each event, in the second and third second."""
    picture = torch.rand(80, 500, generator=generator) * 0.1
    picture[10 * event : 10 * event + 10, 100:300] += 1.0
    here = torch.zeros(125, dtype=torch.bool)
    here[25:75] = True
    return Heard(picture, here, event, bed)


def test_mixed_pictures_are_of_the_sum_of_energies():
    one, silent = torch.full((2, 3), 0.8), torch.full((2, 3), -1.5)
    torch.testing.assert_close(mixed(one, one, 0.3), one)
    torch.testing.assert_close(mixed(one, silent, 1.0), one)
    # A quarter of the energy is 6 dB less: log10(1/4) / 4 on Whisper's scale.
    torch.testing.assert_close(mixed(one, silent, 0.25), one + math.log10(0.25) / 4, rtol=0, atol=1e-3)


def test_batches_are_crops_around_the_event_and_always_the_same():
    generator = torch.Generator().manual_seed(0)
    clips = [clip(event, -100 if event == 1 else event, generator) for event in range(4)]
    mixers = [Mixer(3), Mixer(3)]
    lengths = set()
    for _ in range(12):
        first, again = (mixer(clips) for mixer in mixers)
        assert all(torch.equal(first[name], again[name]) for name in first)
        frames = first["log_mel"].shape[2]
        lengths.add(frames)
        assert first["log_mel"].shape == (4, 80, frames) and first["here"].shape == (4, frames // 4)
        assert first["here"].sum(1).min() >= 20 and first["log_mel"].isfinite().all()
        assert (first["start"] >= 0).all() and (first["start"] + frames // 2 <= 500).all()
    assert len(lengths) > 1


def test_the_learner_hears_what_the_stock_encoder_does(encoder):
    learner = TowerLearner(encoder, 4, 3).eval()
    picture = torch.randn(1, 80, 1000)
    with torch.no_grad():
        stock = encoder(picture).last_hidden_state
        ours = learner.said(picture, torch.tensor([0])) * encoder.layer_norm.weight + encoder.layer_norm.bias
        torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-5)
        later = learner.said(picture[..., :200], torch.tensor([150]))
    assert later.shape == (1, 50, 32) and not torch.allclose(later, ours[:, :50], atol=1e-3)


def test_it_learns_to_tell_events_and_backgrounds_and_keeps_the_closing_norm(encoder):
    torch.manual_seed(1)
    learner, generator, mix = TowerLearner(encoder, 4, 3).train(), torch.Generator().manual_seed(1), Mixer(0)
    names = {name for name, _ in learner.trainable()}
    assert not any("layer_norm.weight" in name and "layers" not in name for name in names)
    assert not any("embed_positions" in name for name in names)
    optimizer = torch.optim.AdamW([weight for _, weight in learner.trainable()], 3e-3)
    losses = []
    for _ in range(60):
        events = torch.randint(0, 4, (12,), generator=generator).tolist()
        loss = learner(**mix([clip(event, event % 3, generator) for event in events]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) / 10 < 0.75 * sum(losses[:5]) / 5


def test_nothing_known_of_any_background_is_no_error(encoder):
    generator = torch.Generator().manual_seed(0)
    loss = TowerLearner(encoder, 4, 3)(**Mixer(0)([clip(event, -100, generator) for event in range(3)]))
    assert loss.isfinite()


def test_clips_are_kept_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(tower, "CLIPS_DIR", tmp_path)
    monkeypatch.setattr(tower, "load_material", lambda split: Material(split, PACK_DIR))
    with pytest.raises(FileNotFoundError, match="no clips"):
        Clips(tmp_path, 3, 0)
    for sound in ("thunder", "bell"):
        tower.write_clips(log_mel_extractor(), 2, sound)
    stamp = (tmp_path / "bell.npz").stat().st_mtime_ns
    tower.write_clips(log_mel_extractor(), 2, "bell")
    assert (tmp_path / "bell.npz").stat().st_mtime_ns == stamp
    clips, events = Clips(tmp_path, 20, 0), load_lexicon().events
    drawn = [clips[number] for number in range(20)]
    assert {events[one.event] for one in drawn} == {"thunder", "bell"}
    assert all(one.log_mel.shape == (80, 500) and one.here.any() for one in drawn)
    assert torch.equal(clips[7].log_mel, drawn[7].log_mel)
    assert {one.bed for one in drawn} <= {-100, *range(len(load_lexicon().beds))}


def test_a_clip_of_one_recording():
    material = Material("train", PACK_DIR)
    first, second = material.recordings("thunder")[:2]
    waves = [alone("thunder", material, random.Random(5), one)[1].wave for one in (first, first, second)]
    assert np.array_equal(waves[0], waves[1]) and not np.array_equal(waves[0], waves[2])


def test_the_harder_a_sound_the_vaguer_by_hand():
    # One hit in three is added to what was counted.
    assert vague(15, 15) == pytest.approx(0.1 + 0.4 * (1 - 16 / 18), abs=0.005)
    assert vague(0, 2) == pytest.approx(0.1 + 0.4 * (1 - 1 / 5), abs=0.005)
    assert CLEAR < vague(9, 10) < vague(2, 10) < vague(0, 10) < UNCLEAR
    assert {part(f"package-{number}") for number in range(60)} == set(range(PARTS))
    shares = load_lexicon().vague
    assert all(CLEAR <= share <= UNCLEAR for share in shares.values())
    assert shares["applause"] < shares["cow"] + 0.1 < shares["typing"]
