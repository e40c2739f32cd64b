"""The table of recordings, the archives they come in, and the committed pack."""

import gzip
import hashlib
import random
import re
import struct
from collections import defaultdict

import numpy as np
import pytest
import soundfile

from tests.support.csv_tables import read_rows
from training.embedded.audio.material import music, sounds, tones
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import (
    ATTRIBUTION,
    FREE_LICENCES,
    INDEX,
    PACK_DIR,
    SOUNDS_CSV,
    Recording,
    SoundError,
    index_row,
    load_sounds,
    read_index,
    write_index,
)
from training.embedded.audio.material.speech import median_pitch
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.common.archives import read_member

LEXICON = load_lexicon()


def test_no_package_is_on_both_sides_for_any_sound():
    sides = defaultdict(set)
    for recording in load_sounds():
        sides[recording.sound, recording.package].add(recording.split)
    assert all(len(side) == 1 for side in sides.values())
    held_out = {sound for (sound, _), side in sides.items() if side == {"test"}}
    assert len(held_out) >= 90


def test_recordings_that_two_packages_share_are_on_one_side():
    """Found by cross-correlation: the same neigh, and the same falling tree."""
    by_path = {recording.path.rsplit("/", 1)[-1]: recording for recording in load_sounds()}
    assert by_path["Horse.wav"].split == by_path["horse_00.ogg"].split == "train"
    assert by_path["opensfx.cat#54"].split == by_path["tree_falling_00.ogg"].split == "train"


def test_only_free_licences_are_committed():
    assert all(recording.licence in FREE_LICENCES for recording in load_sounds() if recording.commit)
    with pytest.raises(SoundError, match="GPL-2.0-only may not be committed"):
        Recording("x_01", "dog", "scratch", "a.wav", "GPL-2.0-only", "somebody", True, "train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dog_01,dog,scratch,a.wav,CC0-1.0,me,y,train\ndog_01,dog,scratch,b.wav,CC0-1.0,me,y,train", "there twice"),
        ("a_1,unicorn,scratch,a.wav,CC0-1.0,me,y,train", "unknown sound 'unicorn'"),
        ("a_1,dog,nowhere,a.wav,CC0-1.0,me,y,train", "unknown package 'nowhere'"),
        ("a_1,dog,scratch,a.wav,CC0-1.0,me,y,train\na_2,dog,scratch,b.wav,CC0-1.0,me,y,test", "both sides"),
        ("a_1,dog,scratch,a.wav,CC0-1.0,me,yes,train", "line 2: wrong columns"),
        ("a_1,dog,scratch,a.wav,CC0-1.0,,y,train", "line 2: .*empty"),
        ("a_1,dog,scratch,a.wav,CC0-1.0,me,y,dev", "unknown split"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, line, message):
    path = tmp_path / "sounds.csv"
    path.write_text(SOUNDS_CSV.read_text(encoding="utf-8").splitlines()[0] + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(SoundError, match=message):
        load_sounds(path)


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ((), r"FluidSynth and eSpeak NG: please install \(Debian: apt-get install fluidsynth espeak-ng\)"),
        (("fluidsynth",), r"eSpeak NG: please install \(Debian: apt-get install espeak-ng\)"),
    ],
)
def test_what_renders_is_missed_before_anything_is_fetched(tmp_path, monkeypatch, capsys, installed, message):
    for command in installed:
        (tmp_path / command).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["sounds"])
    monkeypatch.setattr(sounds, "fetch", lambda package: pytest.fail(f"{package} was fetched"))
    with pytest.raises(SystemExit):
        sounds.main()
    assert re.search(rf"sounds are rendered by {message}", " ".join(capsys.readouterr().err.split()))


# The committed pack.


def test_the_pack_is_credited_file_by_file():
    rows = read_rows(PACK_DIR / ATTRIBUTION)
    files = {str(path.relative_to(PACK_DIR)) for path in PACK_DIR.rglob("*.ogg")}
    assert {row["file"] for row in rows} == files
    assert all(row["author"] and row["licence"] in FREE_LICENCES for row in rows)
    for row in rows:
        assert hashlib.sha256((PACK_DIR / row["file"]).read_bytes()).hexdigest() == row["sha256"], row["file"]
    assert len({row["sound"] for row in rows}) >= 60
    assert sum((PACK_DIR / file).stat().st_size for file in files) <= 20 * 2**20
    recorded = {recording.id: recording for recording in load_sounds()}
    for recording in read_index(PACK_DIR / ATTRIBUTION):
        assert recorded.get(recording.id, recording) == recording, "the pack and the table disagree: run --pack"


def test_the_pack_is_sound():
    for path in sorted(PACK_DIR.rglob("*.ogg"))[::8]:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == RATE and wave.shape[1] == 1 and 0.02 < len(wave) / RATE <= 10.01, path
        assert 0.4 < np.abs(wave).max() <= 1.1, path


def test_packing_again_rewrites_only_what_sounds_different(tmp_path):
    kept, changed = [one for one in load_sounds() if one.commit][:2]
    source, out = tmp_path / "built", tmp_path / "pack"

    def write(recording: Recording, hertz: float) -> None:
        path = source / recording.sound / f"{recording.id}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE // 2) / RATE), RATE)

    def packed() -> dict[str, bytes]:
        sounds.pack(source, out)
        return {path.stem: path.read_bytes() for path in out.rglob("*.ogg")}

    write(kept, 440), write(changed, 440)
    write_index(source / INDEX, map(index_row, (kept, changed)))
    before = packed()
    assert packed() == before
    write(changed, 880)
    after = packed()
    assert after[kept.id] == before[kept.id] and after[changed.id] != before[changed.id]
    digests = {row["id"]: row["sha256"] for row in read_rows(out / ATTRIBUTION)}
    assert digests == {id: hashlib.sha256(file).hexdigest() for id, file in after.items()}


def test_material_keeps_the_split():
    train, test = Material("train", PACK_DIR), Material("test", PACK_DIR)
    assert len(train.events) >= 60 and len(test.events) >= 25 and "rain" in train.backgrounds
    rng, packages = random.Random(0), defaultdict(set)
    for split, material in (("train", train), ("test", test)):
        for sound in material.events[::6]:
            for _ in range(3):
                recording, wave = material.draw(sound, rng)
                assert recording.sound == sound and recording.split == split and len(wave)
                packages[sound, recording.package].add(split)
    assert all(len(splits) == 1 for splits in packages.values())


# What is rendered.


def test_tones_are_always_the_same_with_their_pitches():
    for number, make in enumerate(tones.TONES.values()):
        one, again = (make(np.random.default_rng((number, 3))) for _ in range(2))
        assert np.array_equal(one, again) and np.isfinite(one).all() and 0.1 * RATE <= len(one) <= 12 * RATE
    beep = tones.beep(np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(beep * np.hanning(len(beep))))
    peak = spectrum.argmax() * RATE / len(beep)
    assert 480 < peak < 2250 and spectrum.max() > 20 * np.median(spectrum)


def test_tunes_stay_in_their_range_and_tempo():
    for instrument in music.INSTRUMENTS:
        counts = {}
        for tempo in ("slow", "fast"):
            notes = music.tune(instrument, tempo, random.Random(1))
            assert all(instrument.low <= key <= instrument.high for _, _, key, _ in notes)
            assert max(start for start, *_ in notes) < music.TUNE_SECONDS
            counts[tempo] = len({start for start, *_ in notes})
        assert counts["fast"] > 2 * counts["slow"]


def test_midi_holds_the_notes_in_their_slots():
    song = music.midi([[(0.5, 1.0, 60, 90)], [(0.0, 0.2, 44, 80)]], 40)
    (track,) = song.tracks
    assert (song.type, song.ticks_per_beat) == (0, 500)
    # In ticks of a millisecond: key 60 from 0.5 s to 1.5 s, the next part at 10 s; the end at 20 s.
    assert [(event.type, event.time) for event in track] == [
        ("program_change", 0),
        ("note_on", 500),
        ("note_off", 1000),
        ("note_on", 8500),
        ("note_off", 200),
        ("end_of_track", 9800),
    ]
    assert track[0].program == 40 and (track[1].note, track[1].velocity, track[3].note) == (60, 90, 44)
    (drums,) = music.midi([[(0.0, 0.1, 36, 80), (0.1, 0.1, 36, 80)]], None).tracks
    assert [event.type for event in drums] == ["note_on", "note_off", "note_on", "note_off", "end_of_track"]
    assert all(event.channel == music.DRUM_CHANNEL for event in drums if not event.is_meta)


def test_pitch_of_a_voice():
    time = np.arange(RATE) / RATE
    for frequency in (110, 220):
        voice = sum(np.sin(2 * np.pi * frequency * n * time) / n for n in range(1, 6)).astype(np.float32)
        assert abs(median_pitch(voice) - frequency) < 4
    assert median_pitch(np.zeros(RATE, np.float32)) == 0


# Archives.


def clonk_group(members: dict[str, bytes]) -> bytes:
    """An OpenClonk group, written by its specification."""
    header = bytearray(204)
    header[:24] = b"RedWolf Design GrpFolder"
    header[36:40] = struct.pack("<i", len(members))
    for at in range(0, 202, 3):
        header[at], header[at + 2] = header[at + 2], header[at]
    blob, offset = bytes(byte ^ 237 for byte in header), 0
    for name, data in members.items():
        entry = bytearray(316)
        entry[: len(name)] = name.encode()
        entry[260:280] = struct.pack("<5i", 0, data[:2] == b"\x1e\x8c", len(data), 0, offset)
        blob, offset = blob + bytes(entry), offset + len(data)
    zipped = gzip.compress(blob + b"".join(members.values()))
    return b"\x1e\x8c" + zipped[2:]


def test_openclonk_groups(tmp_path):
    path = tmp_path / "Sound.ocg"
    path.write_bytes(clonk_group({"a.wav": b"first", "Inner.ocg": clonk_group({"b.ogg": b"second"})}))
    assert read_member(path, "a.wav") == b"first" and read_member(path, "Inner.ocg/b.ogg") == b"second"
    for missing in ("c.wav", "Inner.ocg/c.wav"):
        with pytest.raises(FileNotFoundError, match="no member"):
            read_member(path, missing)
    damaged = tmp_path / "Damaged.ocg"
    damaged.write_bytes(b"\x1e\x8c" + gzip.compress(b"x" * 300)[2:])
    with pytest.raises(ValueError, match="not an OpenClonk group"):
        read_member(damaged, "a.wav")


def test_openttd_sound_sets(tmp_path):
    path = tmp_path / "set.cat"
    parts = [(b"One\0", b"RIFFone"), (b"Second\0", b"RIFF two")]
    index, body, at = b"", b"", 8 * len(parts)
    for title, data in parts:
        index += struct.pack("<II", at | (0x80000000 if not index else 0), len(data))
        piece = bytes((len(title),)) + title + data
        body, at = body + piece, at + len(piece)
    path.write_bytes(index + body)
    assert [read_member(path, str(n)) for n in range(2)] == [b"RIFFone", b"RIFF two"]
    with pytest.raises(FileNotFoundError, match="0 to 1"):
        read_member(path, "2")
