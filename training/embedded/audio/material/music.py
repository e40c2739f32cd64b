"""Tunes and single strokes of instruments, rendered by FluidSynth from the General MIDI sound font FluidR3 (MIT)."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np

from training.embedded.audio.material.recordings import Recording
from training.embedded.audio.render.dsp import RATE, decode
from training.embedded.audio.world.scene import Tempo
from training.embedded.common.packages import FetchError, Package, fetch

FONT = Package("deb", "fluid-soundfont-gm", "3.1-5.3", "MIT")
FONT_FILE = "usr/share/sounds/sf2/FluidR3_GM.sf2"
FONT_AUTHOR = "Frank Wen (FluidR3 GM)"
TUNES = 8
"""Tunes a preset plays, half of them slow."""
STROKES = 5
COMMITTED = 3
"""Of each sound, so many rendered recordings go into the pack."""
TUNE_SECONDS = 6.0
SLOT = 10.0
"""Each tune or stroke gets so many seconds of one long MIDI file: its sound may ring on."""
TICKS = 1000
"""MIDI ticks a second (500 a beat at 120 beats a minute)."""
DRUM_CHANNEL = 9
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


@dataclass(frozen=True)
class Instrument:
    """One sound: its General MIDI programs (0-based), the range of its tunes, and whether it plays chords."""

    sound: str
    programs: tuple[int, ...]
    low: int
    high: int
    chords: bool = False


INSTRUMENTS = (
    Instrument("piano", (0, 1), 45, 84, True),
    Instrument("organ", (16, 19), 48, 79, True),
    Instrument("guitar", (24, 25), 43, 76, True),
    Instrument("electric_guitar", (27, 29), 43, 76),
    Instrument("bass", (32, 33), 28, 48),
    Instrument("violin", (40, 110), 55, 88),
    Instrument("cello", (42,), 36, 67),
    Instrument("harp", (46,), 45, 88, True),
    Instrument("trumpet", (56, 59), 55, 81),
    Instrument("trombone", (57,), 40, 67),
    Instrument("saxophone", (65, 66), 46, 77),
    Instrument("clarinet", (71,), 50, 84),
    Instrument("flute", (73, 74), 62, 91),
    Instrument("harmonica", (22,), 60, 86),
    Instrument("accordion", (21, 23), 53, 84, True),
    Instrument("bagpipes", (109,), 58, 75),
    Instrument("banjo", (105,), 50, 79),
    Instrument("sitar", (104,), 48, 74),
    Instrument("xylophone", (13, 12), 65, 96),
    Instrument("music_box", (10,), 70, 98, True),
    Instrument("choir", (52, 53), 50, 76, True),
)
# Drum kit notes: rhythms (slow or fast) and single strokes.
RHYTHMS = {"drums": (36, 38, 42, 42, 46), "bongos": (60, 61, 60, 61)}
STROKE_NOTES = {
    "tambourine": (54,),
    "triangle": (81,),
    "castanets": (85,),
    "maracas": (70,),
    "cymbal": (49, 57, 55),
    "clap": (39,),
}
# Strokes of the sound effects among the programs, and of bells: program and the range of notes.
EFFECTS = {
    "songbird": (123, 66, 84),
    "phone": (124, 60, 72),
    "helicopter": (125, 55, 67),
    "applause": (126, 55, 67),
    "gunshot": (127, 55, 67),
    "sea": (122, 55, 67),
    "bell": (14, 48, 69),
}

Note = tuple[float, float, int, int]
"""Start and length in seconds, key, velocity."""


def tune(instrument: Instrument, tempo: Tempo, rng: random.Random) -> list[Note]:
    """A random walk on a scale, about ``TUNE_SECONDS`` long."""
    beat = rng.uniform(0.55, 0.9) if tempo == "slow" else rng.uniform(0.13, 0.2)
    lowest = rng.randint(instrument.low, max(instrument.low, instrument.high - 17))
    ladder = [lowest + 12 * octave + step for octave in range(3) for step in rng.choice(_SCALES)]
    ladder = sorted({key for key in ladder if key <= instrument.high})
    place, now, notes = rng.randrange(len(ladder)), 0.0, []
    while now < TUNE_SECONDS:
        length = beat * rng.choice((1, 1, 1, 2))
        keys = [ladder[place]]
        if instrument.chords and rng.random() < 0.35:
            keys += [ladder[place + step] for step in (2, 4) if place + step < len(ladder)]
        notes += [(now, length * 0.95, key, rng.randint(75, 115)) for key in keys]
        now += length
        place = min(max(place + rng.choice((-3, -2, -1, -1, 1, 1, 2, 3)), 0), len(ladder) - 1)
    return notes


def rhythm(keys: tuple[int, ...], tempo: Tempo, rng: random.Random) -> list[Note]:
    """A two-bar pattern of drum strokes, repeated for about ``TUNE_SECONDS``."""
    step = rng.uniform(0.3, 0.42) if tempo == "slow" else rng.uniform(0.1, 0.15)
    pattern = [[key for key in keys if rng.random() < 0.38] for _ in range(16)]
    pattern[0] = [keys[0], *pattern[0]]
    count = int(TUNE_SECONDS / step)
    return [
        (index * step, 0.1, key, rng.randint(80, 120)) for index in range(count) for key in set(pattern[index % 16])
    ]


def midi(parts: list[list[Note]], program: int | None) -> mido.MidiFile:
    """A song of each part in its own slot of ``SLOT`` seconds; ``program`` None is the drum kit."""
    channel = DRUM_CHANNEL if program is None else 0
    events = [] if program is None else [(0, mido.Message("program_change", channel=channel, program=program))]
    for slot, notes in enumerate(parts):
        for start, length, key, velocity in notes:
            begin = slot * SLOT + start
            on = mido.Message("note_on", channel=channel, note=key, velocity=velocity)
            off = mido.Message("note_off", channel=channel, note=key, velocity=0)
            events += [(round(begin * TICKS), on), (round((begin + length) * TICKS), off)]
    events.append((round(len(parts) * SLOT * TICKS), mido.MetaMessage("end_of_track")))
    song, now = mido.MidiFile(type=0, ticks_per_beat=TICKS // 2), 0
    track = song.add_track()
    # A key that ends and begins at the same tick must end first.
    for at, event in sorted(events, key=lambda one: (one[0], one[1].type == "note_on")):
        track.append(event.copy(time=at - now))
        now = at
    return song


def play(parts: list[list[Note]], program: int | None) -> list[np.ndarray]:
    """The parts rendered by FluidSynth: one waveform each, at ``RATE``.

    Raises:
        FetchError: FluidSynth is not installed or fails.
    """
    font = fetch(FONT) / FONT_FILE
    with tempfile.TemporaryDirectory() as folder:
        song, wave = Path(folder, "parts.mid"), Path(folder, "parts.wav")
        midi(parts, program).save(song)
        command = ["fluidsynth", "-ni", "-q", "-g", "0.5", "-r", "44100", "-F", str(wave), "-T", "wav", font, song]
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        except FileNotFoundError as error:
            raise FetchError("FluidSynth is not installed (Debian: apt-get install fluidsynth)") from error
        if done.returncode or not wave.is_file():
            raise FetchError(f"FluidSynth failed: {done.stderr.strip()[-300:]}")
        samples = decode(wave.read_bytes())
    size = round(SLOT * RATE)
    samples = np.pad(samples, (0, max(0, size * len(parts) - len(samples))))
    return [samples[index * size : (index + 1) * size] for index in range(len(parts))]


def rendered() -> Iterator[tuple[Recording, np.ndarray]]:
    """Every instrument's tunes and every percussion's strokes: always the same."""
    counts: dict[str, int] = {}

    def named(sound: str, tempo: Tempo | None) -> Recording:
        number = counts[sound] = counts.get(sound, 0) + 1
        return Recording(
            f"{sound}_font_{number:02d}",
            sound,
            FONT.name,
            "",
            FONT.licence,
            FONT_AUTHOR,
            number <= COMMITTED,
            "train",
            tempo,
        )

    tempi: list[Tempo] = ["slow", "fast"] * (TUNES // 2)
    for instrument in INSTRUMENTS:
        for program in instrument.programs:
            rng = random.Random(f"{instrument.sound}/{program}")
            waves = play([tune(instrument, tempo, rng) for tempo in tempi], program)
            for tempo, wave in zip(tempi, waves, strict=True):
                yield named(instrument.sound, tempo), wave
    for sound, keys in RHYTHMS.items():
        rng = random.Random(sound)
        for tempo, wave in zip(tempi, play([rhythm(keys, tempo, rng) for tempo in tempi], None), strict=True):
            yield named(sound, tempo), wave
    for sound, keys in STROKE_NOTES.items():
        rng = random.Random(sound)
        strokes = [[(0.0, 1.0, rng.choice(keys), rng.randint(70, 127))] for _ in range(STROKES)]
        for wave in play(strokes, None):
            yield named(sound, None), wave
    for sound, (program, low, high) in EFFECTS.items():
        rng = random.Random(sound)
        length = {"songbird": 1.5, "gunshot": 2.0, "bell": 3.0, "phone": 2.5}.get(sound, 7.0)
        strokes = [[(0.0, length, rng.randint(low, high), rng.randint(90, 120))] for _ in range(STROKES)]
        for wave in play(strokes, program):
            yield named(sound, None), wave
