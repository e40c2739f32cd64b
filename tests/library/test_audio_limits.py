"""Sounds at, below and above each limit: length, rate, memory, silence, what may be missing."""

import av
import numpy as np
import pytest
import soundfile

from lora_mcl import audio
from lora_mcl.audio import _mix, _Mono, load_audio, load_window
from lora_mcl.audio_readers import ffmpeg_blocks, header_seconds, read_blocks, stated_seconds
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
        frame = av.AudioFrame.from_ndarray(tone(440, 0.5, 48_000)[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    assert header_seconds(tmp_path / "live.webm") == 0
    assert stated_seconds(tmp_path / "live.webm") == pytest.approx(0.5, abs=0.05)
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


def test_ten_minutes_fit_into_memory_at_96_khz():
    """Zeros of stride 0: no memory is used here."""

    def zeros(count: int) -> np.ndarray:
        return np.broadcast_to(np.float32(0), count)

    limit = 600 * 96_000 + 24_000
    for rate in (96_000, 192_000):
        _Mono().append(rate, zeros(limit), "a.wav")
        with pytest.raises(MediaError, match="a.wav is longer than"):
            _Mono().append(rate, zeros(limit + 1), "a.wav")
    joined = _Mono()
    joined.append(96_000, zeros(limit - 100), "a.wav")
    joined.append(192_000, zeros(100), "a.wav")
    with pytest.raises(MediaError, match=r"a.wav is longer than 5 minutes at 192000 Hz"):
        joined.append(192_000, zeros(1), "a.wav")


def test_a_sound_without_a_block_has_no_samples():
    samples = _mix(lambda: [], "a.wav").resampled(RATE)
    assert samples.shape == (0,) and samples.dtype == np.float32


def test_the_last_start_is_inclusive():
    sound = AudioClip(tone(440, 3.0), RATE)
    assert read_window(sound, 3.0 - 0.2)[1].end == 3
    with pytest.raises(OptionsError, match=r"from 0 to 2\.8"):
        read_window(sound, 2.801)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_which_channels_are_opposite_does_not_depend_on_loudness(scale):
    """Squares of single precision end at 1e-38 and at 1e38."""
    sound = (tone(440, 0.5) * scale).astype(np.float32)
    kept = load_audio(AudioClip(np.stack([sound, -0.95 * sound], axis=1), RATE), RATE)
    assert np.array_equal(kept, sound)
    mixed = load_audio(AudioClip(np.stack([sound, 0 * sound], axis=1), RATE), RATE)
    np.testing.assert_allclose(mixed, sound / 2, rtol=1e-6)


def test_blocks_are_small_and_of_single_precision(tmp_path):
    """What is read at once does not grow with the file."""
    soundfile.write(tmp_path / "a.wav", np.zeros((200_000, 2)), RATE, subtype="DOUBLE")
    for rate, block in read_blocks(tmp_path / "a.wav"):
        assert rate == RATE and block.shape[1] == 2 and len(block) <= 65_536 and block.dtype == np.float32


@pytest.fixture
def half_read(tmp_path, monkeypatch):
    """A WAV of 4.75 s, of which ``stated`` seconds are claimed and FFmpeg reads ``more`` seconds more."""
    sound = tone(440, 4.75)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    tried = []

    def load(stated: float, more: float):
        def blocks(path):
            tried.append(path.name)
            yield RATE, np.concatenate([sound, np.zeros(round(more * RATE), np.float32)])[:, None]

        tried.clear()
        monkeypatch.setattr(audio, "stated_seconds", lambda path: stated)
        monkeypatch.setattr(audio, "ffmpeg_blocks", blocks)
        samples, window = load_window(tmp_path / "a.wav", sampling_rate=RATE, max_seconds=30)
        return len(samples) / RATE, bool(window.notices), bool(tried)

    return load


def test_readers_may_differ_by_a_quarter_of_a_second(half_read):
    """At each limit and just above it: seconds that are kept, whether there is a notice, whether FFmpeg was tried."""
    assert half_read(5.0, 1.0) == (4.75, False, False)
    assert half_read(5.001, 0.25) == (4.75, True, True)
    assert half_read(5.001, 0.2501) == (pytest.approx(5.0, abs=1e-3), False, True)
    # A notice only where a twentieth is missing, too.
    assert half_read(6.0, 0.5) == (5.25, True, True)
    assert half_read(6.0, 0.95) == (5.7, False, True)


def test_a_film_gives_its_first_sound(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        film = file.add_stream("mpeg4", rate=10)
        film.width = film.height = 32
        tracks = [file.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for _ in range(5):
            file.mux(film.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        file.mux(film.encode(None))
        for track, level in zip(tracks, (0.5, -0.25), strict=True):
            values = np.full((1, RATE // 2), level * 2**15, np.int16)
            frame = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
            frame.sample_rate = RATE
            file.mux(track.encode(frame))
            file.mux(track.encode(None))
    blocks = [block for _, block in ffmpeg_blocks(tmp_path / "a.mkv")]
    assert sum(map(len, blocks)) == RATE // 2 and {block.shape[1] for block in blocks} == {1}
    assert all(np.array_equal(block, np.full_like(block, 0.5)) for block in blocks)
    assert stated_seconds(tmp_path / "a.mkv") == pytest.approx(0.5, abs=0.01)


def test_a_stream_without_a_length_has_that_of_its_packets(tmp_path):
    """A FLAC that was piped: the 36 bits of its number of samples are 0."""
    content = bytearray(encoded(tone(440, 0.5), RATE, "FLAC"))
    content[8 + 13] &= 0xF0
    content[8 + 14 : 8 + 18] = bytes(4)
    (tmp_path / "piped.flac").write_bytes(content)
    assert soundfile.info(tmp_path / "piped.flac").duration > 1e9
    assert stated_seconds(tmp_path / "piped.flac") == pytest.approx(0.5, abs=0.3)
    samples, window = load_window(tmp_path / "piped.flac", sampling_rate=RATE, max_seconds=10)
    assert len(samples) == RATE // 2 and window.notices == ()


def test_samples_are_of_single_precision_whatever_the_clips_are():
    sound = tone(440, 0.5).astype(np.float64)
    for samples in (sound, np.stack([sound, sound], axis=1), np.stack([sound, -sound], axis=1)):
        assert load_audio(AudioClip(samples, RATE), RATE).dtype == np.float32
