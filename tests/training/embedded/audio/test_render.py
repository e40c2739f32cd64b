"""Mixing scenes: effects by measurement, levels, order and time of events, determinism."""

import random
from dataclasses import replace

import numpy as np
import pytest

from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import PACK_DIR
from training.embedded.audio.render import render as mixing
from training.embedded.audio.render.clips import AUDIBLE, SEEDS, audible, clip_seconds, draw, layered, material_split
from training.embedded.audio.render.dsp import (
    RATE,
    envelope,
    faded,
    loudness,
    normalised,
    occurrences,
    trimmed,
)
from training.embedded.audio.render.effects import band_limited, coloured, pitched, reverberated
from training.embedded.audio.render.render import Augmentation, Clip, looped, render
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Event, Scene

LEXICON = load_lexicon()
TRAIN = Material("train", PACK_DIR)


def tone(frequency: float, seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def peak_frequency(wave: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return spectrum.argmax() * RATE / len(wave)


def energy(wave: np.ndarray) -> float:
    return float((wave.astype(np.float64) ** 2).sum())


# Waves and effects.


def test_silence_around_a_sound_is_trimmed():
    wave = np.concatenate([silence(0.5), tone(440, 0.3), silence(0.7)])
    assert abs(len(trimmed(wave)) / RATE - 0.3) < 0.03


def test_barks_are_split():
    wave = np.concatenate([tone(400, 0.2), silence(0.4), tone(500, 0.15), silence(0.1), tone(500, 0.1), silence(0.5)])
    pieces = occurrences(wave)
    assert len(pieces) == 2, "a pause of 0.1 s does not split"
    assert [round(peak_frequency(piece) / 100) for piece in pieces] == [4, 5]
    assert len(occurrences(tone(400, 1.0))) == 1


def test_fades_are_smooth_and_only_at_the_ends():
    wave = faded(np.ones(RATE, np.float32), 0.1, 0.2)
    assert wave[0] < 0.001 and wave[-1] < 0.001 and np.all(wave[1600:-3200] == 1)
    assert np.all(np.diff(wave[:1600]) >= 0) and np.all(np.diff(wave[-3200:]) <= 0)


def test_level_ignores_the_silence_around():
    assert loudness(tone(440, 1.0)) == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    half = np.concatenate([tone(440, 1.0), silence(1.0)])
    assert loudness(half) == pytest.approx(loudness(tone(440, 1.0)), abs=0.1)
    assert np.abs(normalised(tone(440, 0.1) + 0.2)).max() == pytest.approx(0.9) and envelope(half).max() == 0


@pytest.mark.parametrize("semitones", [-2, -0.5, 0, 2])
def test_pitch_moves_by_semitones(semitones):
    moved = pitched(tone(440, 1.0), semitones)
    assert peak_frequency(moved) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)


def test_band_limits():
    both = tone(200, 1.0) + tone(5000, 1.0)
    low, high = band_limited(both, 0, 1000), band_limited(both, 1000)
    for kept, wave in ((200, low), (5000, high)):
        assert peak_frequency(wave) == pytest.approx(kept, rel=0.01) and energy(wave) < 0.55 * energy(both)
    assert np.array_equal(band_limited(both), both)


def test_reverberation_keeps_energy_and_length_and_rings_on():
    noise = np.random.default_rng(1).standard_normal(round(0.2 * RATE)).astype(np.float32)
    wave = np.concatenate([noise, silence(1.0)])
    wet = reverberated(wave, 0.8, 0.4, np.random.default_rng(0))
    assert len(wet) == len(wave) and energy(wet) == pytest.approx(energy(wave), rel=0.35)
    assert energy(wet[round(0.25 * RATE) : round(0.5 * RATE)]) > 0.01 * energy(wet)
    assert np.array_equal(reverberated(wave, 0.8, 0.0, np.random.default_rng(0)), wave)


def test_a_colour_changes_the_balance_of_frequencies_alone():
    wave = tone(200, 1.0) + tone(3000, 1.0)
    ratios = []
    for seed in range(60):
        made = coloured(wave, 6.0, np.random.default_rng(seed))
        assert len(made) == len(wave) and made.dtype == np.float32
        spectrum = np.abs(np.fft.rfft(made))
        assert set(np.argsort(spectrum)[-2:]) == {200, 3000}, "no new frequencies"
        ratios.append(20 * np.log10(spectrum[200] / spectrum[3000]))
    assert abs(np.mean(ratios)) < 3 and 4 < np.std(ratios) < 10
    assert np.array_equal(coloured(wave, 0.0, np.random.default_rng(0)), wave)


def test_layers_are_two_recordings_as_long_as_the_first():
    first, second = tone(400, 2.0, 0.3), tone(1500, 0.7, 0.02)
    made = layered(first, second, random.Random(0))
    spectrum = np.abs(np.fft.rfft(made))
    assert len(made) == len(first) and peak_frequency(made) == pytest.approx(400, rel=0.01)
    below = 20 * np.log10(spectrum[800] / spectrum[2900:3100].max())
    assert -1 < below < 12, "the second is brought to the first one's level, less at most 8 dB"


def test_loops_have_no_gaps():
    rng = np.random.default_rng(1)
    noise = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    out = looped(noise, 4 * RATE, 0.2)
    assert len(out) == 4 * RATE
    middle = envelope(out)[30:-30]
    assert middle.min() > -12


# Scenes.


def simple(scene: Scene, seed: int = 0, seconds: float = 10.0):
    """The scene with plain tones for recordings: an event's pitch identifies it."""
    pitches = {event.sound: 300 * 2**index for index, event in enumerate(scene.events)}

    def choose(event: Event, _rng):
        return tone(pitches[event.sound], 1.0 if LEXICON.sounds[event.sound].shape == "short" else 6.0)

    rng = np.random.default_rng(0)

    def choose_bed(_bed, _rng):
        return (0.1 * rng.standard_normal(3 * RATE)).astype(np.float32)

    return render(scene, LEXICON, choose, choose_bed, random.Random(seed), seconds), pitches


def test_every_event_occurs_in_its_span():
    scene = Scene(None, (Event("dog", 2), Event("bell", 3), Event("saw")))
    for seed in range(12):
        clip, _ = simple(scene, seed)
        assert len(clip.samples) == 10 * RATE and np.abs(clip.samples).max() <= 0.99
        assert [len(spans) for spans in clip.spans] == [2, 3, 1]
        level = envelope(clip.samples)
        for spans in clip.spans:
            for start, end in spans:
                assert level[int(start * 100) + 2 : int(end * 100) - 2].max() > -20, (seed, start, end)


def test_a_sequence_never_overlaps_and_togetherness_does():
    events = (Event("dog"), Event("saw"), Event("bell", 2))
    for seed in range(12):
        clip, _ = simple(Scene(None, events), seed)
        ends = [spans[-1][1] for spans in clip.spans]
        starts = [spans[0][0] for spans in clip.spans]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False)), seed
        clip, _ = simple(Scene(None, events, "together"), seed)
        ends = [spans[-1][1] for spans in clip.spans]
        starts = [spans[0][0] for spans in clip.spans]
        assert starts == sorted(starts), "events are named in the order of their onset"
        assert all(start < end for end, start in zip(ends, starts[1:], strict=False)), seed


def test_loudness_is_in_the_mix(monkeypatch):
    monkeypatch.setattr(mixing, "EVENT_LEVEL", -30.0)
    levels = []
    for loud in ("soft", "normal", "loud"):
        clips = [simple(Scene(None, (Event("saw", 1, loud),)), seed)[0] for seed in range(8)]
        levels.append(np.mean([loudness(clip.samples) for clip in clips]))
    assert levels[0] + 5 < levels[1] < levels[2] - 3


def test_a_bed_lies_below_an_event():
    for seed in range(5):
        clip, _ = simple(Scene("rain", (Event("saw"),)), seed)
        (start, end) = clip.spans[0][0]
        inside = clip.samples[int(start * RATE) + 800 : int(end * RATE) - 800]
        outside = np.concatenate([clip.samples[: int(start * RATE)], clip.samples[int(end * RATE) :]])
        if len(outside) > RATE:
            assert loudness(inside) > loudness(outside) + 4
            assert loudness(outside) > -70


def test_a_background_has_no_gap_wherever_it_starts():
    for seed in range(10):
        clip, _ = simple(Scene("rain", ()), seed)
        level = envelope(clip.samples)
        assert np.lib.stride_tricks.sliding_window_view(level, 5).max(1).min() > -9, seed


def test_each_event_is_measured_against_all_the_rest():
    loud, soft = Event("saw", loudness="loud"), Event("engine", loudness="soft")
    clip, _ = simple(Scene(None, (loud, soft), "together"))
    assert clip.above[0] > 5 > -5 > clip.above[1]
    alone, _ = simple(Scene("rain", (Event("saw"),)))
    assert 5 < alone.above[0] < 25, "a background lies 9 to 18 dB below an event"


def test_events_lost_in_the_rest_are_left_out_of_the_scene():
    scene = Scene("rain", (Event("saw"), Event("dog")), "together")
    clip = simple(scene)[0]
    spans, timbres = clip.spans, clip.timbres

    def kept(*above: float) -> tuple[list[str], str]:
        left, of_it = audible(scene, Clip(clip.samples, spans, timbres, above))
        assert len(of_it.spans) == len(of_it.timbres) == len(of_it.above) == len(left.events)
        assert of_it.samples is clip.samples
        return [event.sound for event in left.events], left.layout

    assert kept(AUDIBLE, 9.0) == (["saw", "dog"], "together")
    assert kept(AUDIBLE - 0.1, 9.0) == (["dog"], "sequence")
    assert kept(AUDIBLE - 5, AUDIBLE - 9) == (["saw"], "sequence"), "the loudest stays"
    alone = Scene("rain", ())
    assert audible(alone, Clip(clip.samples, (), (), ()))[0] == alone


def test_augmentation_moves_pitch_and_noise_further():
    def pitches(augmentation: Augmentation | None) -> list[float]:
        found = []
        for seed in range(25):
            choose = lambda _event, _rng: tone(600, 6.0)  # noqa: E731
            scene, rng = Scene(None, (Event("saw"),)), random.Random(seed)
            clip = render(scene, LEXICON, choose, choose, rng, 5.0, augmentation)
            found.append(abs(12 * np.log2(peak_frequency(clip.samples) / 600)))
        return found

    assert max(pitches(None)) < 2.1 < 3 < max(pitches(Augmentation(semitones=4.0))) < 4.1


def test_short_clips_and_backgrounds_alone():
    clip, _ = simple(Scene("rain", ()), seconds=5.0)
    assert len(clip.samples) == 5 * RATE and clip.spans == () and loudness(clip.samples) > -45


@pytest.mark.parametrize("split", SEEDS)
def test_clips_are_always_the_same_and_true_of_their_scene(split):
    material = TRAIN if material_split(split) == "train" else Material("test", PACK_DIR)
    for number in range(4):
        scene, clip = draw(split, number, material)
        again, same = draw(split, number, material)
        assert scene == again and np.array_equal(clip.samples, same.samples) and clip.spans == same.spans
        assert len(clip.samples) == clip_seconds(split) * RATE and np.isfinite(clip.samples).all()
        assert len(clip.spans) == len(scene.events) and all(clip.spans)
        for event in scene.events:
            assert event.tempo is None or LEXICON.sounds[event.sound].kind == "music"
    assert draw(split, 0, material)[0] != draw(split, 1, material)[0]


def test_a_tune_has_the_tempo_of_its_recording():
    tempi = set()
    for number in range(400):
        rng = random.Random(number)
        recording, _ = TRAIN.draw("piano", rng)
        tempi.add(recording.tempo)
    assert tempi == {"slow", "fast"}
    assert replace(Event("piano"), tempo="slow").tempo == "slow"
