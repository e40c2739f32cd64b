"""Sounds at, below and above each limit: length, rate, memory, silence, what may be missing."""

import av
import numpy as np
import pytest
import soundfile

from lora_mcl import audio
from lora_mcl.audio import load_audio, load_window
from lora_mcl.audio_readers import header_seconds, stated_seconds
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.types import AudioClip
from tests.support.encoded_sounds import encode, encoded
from tests.support.odd_sounds import RATE
from tests.support.tiny_audio import tone


def read_window(media, start=0.0, seconds=1.0):
    return load_window(media, start, sampling_rate=RATE, max_seconds=seconds)


def test_the_last_start_of_a_sound_of_little_more_than_the_least_length():
    with pytest.raises(OptionsError, match=r"from 0 to 0\.0, not 1"):
        read_window(AudioClip(tone(440, 0.25), RATE), 1)


def test_silence_ends_where_its_limit_is_reached(monkeypatch):
    monkeypatch.setattr(audio, "SILENCE", 2.0**-13)
    swing = np.tile(np.array([1, -1], np.float32), RATE // 2) * 2.0**-13
    assert len(read_window(AudioClip(swing, RATE))[0]) == RATE
    quiet_then_loud = np.concatenate([0.99 * swing, swing, swing]).astype(np.float32)
    assert read_window(AudioClip(quiet_then_loud, RATE), None)[1].start == 1.0
    with pytest.raises(MediaError, match="is silent"):
        read_window(AudioClip(0.99 * swing, RATE))


@pytest.mark.parametrize(("kept", "noted"), [(0.96, False), (0.94, True)])
def test_a_twentieth_that_is_missing_gives_a_notice(tmp_path, kept, noted):
    content = encoded(tone(440, 20.0, 8_000), 8_000, "WAV")
    (tmp_path / "part.wav").write_bytes(content[: round(len(content) * kept)])
    _, window = load_window(tmp_path / "part.wav", sampling_rate=RATE, max_seconds=30)
    assert bool(window.notices) == noted


def test_limits_are_inclusive():
    least = tone(440, 0.2, 48_000)
    assert len(load_audio(AudioClip(tone(440, 0.2), RATE), RATE)) == 3_200
    assert len(load_audio(AudioClip(np.repeat(least, 16), 768_000), RATE)) == 3_200
    assert len(load_audio(AudioClip(tone(440, 0.2, 4_000), 4_000), RATE)) == 3_200
    for rate in (3_999, 768_001):
        with pytest.raises(MediaError, match=f"sampling rate of {rate} Hz"):
            load_audio(AudioClip(np.repeat(least, 16), rate), RATE)


@pytest.mark.parametrize("rate", [8_000, 11_025])
def test_ten_minutes_are_not_too_long(tmp_path, rate):
    """In many blocks, whose seconds do not add up exactly; lossy formats may add a little at the ends."""
    path = tmp_path / "sound.flac"
    limit = 600 * rate + rate // 4
    for length in (600 * rate - 1, 600 * rate, limit):
        soundfile.write(path, np.zeros(length, np.int16), rate)
        assert len(load_audio(path, rate)) == length
    soundfile.write(path, np.zeros(limit + 1, np.int16), rate)
    with pytest.raises(MediaError, match="sound.flac is longer than 10 minutes"):
        load_audio(path, rate)


@pytest.mark.parametrize("name", ["a.m4a", "a.mp3"])
def test_ten_minutes_are_not_too_long_in_lossy_formats(tmp_path, name):
    encode(tmp_path / name, np.zeros(600 * RATE, np.float32), RATE, {"a.m4a": "aac", "a.mp3": "libmp3lame"}[name])
    assert 0 <= len(load_audio(tmp_path / name, RATE)) - 600 * RATE < RATE // 4


def test_the_length_in_a_header_is_never_that_of_another_file(tmp_path):
    """FFmpeg would open what a playlist names."""
    soundfile.write(tmp_path / "a.wav", tone(440, 1.5), RATE)
    encode(tmp_path / "a.m4a", tone(440, 1.5), RATE, "aac")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\na.m4a\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile a.m4a\n")
    (tmp_path / "nothing.mp3").write_bytes(b"")
    assert header_seconds(tmp_path / "a.wav") == 1.5
    assert header_seconds(tmp_path / "a.m4a") == pytest.approx(1.5, abs=0.1)
    assert [header_seconds(tmp_path / name) for name in ("list.m3u8", "list.ffconcat", "nothing.mp3")] == [0, 0, 0]


def test_a_header_without_a_length_states_none(tmp_path):
    """As browsers write what they record, before they know how long it becomes."""
    with av.open(str(tmp_path / "live.webm"), "w", format="webm", options={"live": "1"}) as file:
        stream = file.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(440, 1.0, 48_000)[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    assert header_seconds(tmp_path / "live.webm") == 0
    assert stated_seconds(tmp_path / "live.webm") == pytest.approx(1, abs=0.05)
    (tmp_path / "live.webm").write_bytes(b"no sound")
    assert header_seconds(tmp_path / "live.webm") == stated_seconds(tmp_path / "live.webm") == 0


@pytest.mark.parametrize("lost", [0, 2, 200])
def test_what_a_cut_off_wav_states_is_its_length_by_its_header(tmp_path, lost):
    """200 samples behind 44 bytes; libsndfile counts what is there."""
    content = encoded(tone(440, 0.05, 4_000), 4_000, "WAV")
    assert len(content) == 444
    (tmp_path / "part.wav").write_bytes(content[: 444 - lost])
    there = (400 - lost) / 2 / 4_000
    assert stated_seconds(tmp_path / "part.wav") == pytest.approx(there * 444 / (444 - lost), rel=1e-6)


@pytest.mark.parametrize(("claimed", "believed"), [(2**31 - 9, True), (2**31 - 8, False), (2**32 - 1, False)])
def test_a_wav_of_two_gigabytes_or_more_is_one_whose_header_was_never_closed(tmp_path, claimed, believed):
    content = encoded(tone(440, 0.5), RATE, "WAV")
    (tmp_path / "stream.wav").write_bytes(content[:4] + claimed.to_bytes(4, "little") + content[8:])
    assert (stated_seconds(tmp_path / "stream.wav") > 1_000) == believed
    assert believed or stated_seconds(tmp_path / "stream.wav") == pytest.approx(0.5)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(("opposite", "cancelled"), [(0.86, False), (0.87, True)])
def test_a_mix_that_has_lost_20_decibels_is_no_mix(channels, opposite, cancelled):
    """x and -a x: their sum has (1 - a)^2 of the energy of x, unrelated ones 1 + a^2; the others are silent."""
    sound = tone(440, 0.5)
    samples = np.zeros((len(sound), channels), np.float32)
    samples[:, -1], samples[:, 0] = sound, -opposite * sound
    expected = sound if cancelled else (1 - opposite) * sound / channels
    np.testing.assert_allclose(load_audio(AudioClip(samples, RATE), RATE), expected, atol=1e-6)


def test_memory_is_bounded_at_high_rates(monkeypatch):
    monkeypatch.setattr(audio, "_MAX_SAMPLES", 96_000)
    load_audio(AudioClip(tone(440, 1.0, 96_000), 96_000), RATE)
    with pytest.raises(MediaError, match="longer than 0.0083 minutes at 192000 Hz: .* save it at 48000 Hz"):
        load_audio(AudioClip(tone(440, 1.0, 192_000), 192_000), RATE)
