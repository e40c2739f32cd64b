"""Which sounds are accepted, pitch after resampling, the window that is read, and error messages."""

import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile

from lora_mcl import audio_readers
from lora_mcl.audio import _mix, load_audio, load_window, mel_frequencies
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.images import input_name, modality_of
from lora_mcl.types import AudioClip
from tests.support.encoded_sounds import encode, encoded, pitch, rising
from tests.support.odd_sounds import (
    RATE,
    damaged,
    endless,
    film_without_sound,
    hum,
    no_samples,
    not_numbers,
    nothing,
    odd_rate,
    picture,
    playlist,
    short,
    silence,
    text,
)
from tests.support.tiny_audio import tone


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("hertz", [110.0, 440.0, 3_000.0])
def test_a_tone_keeps_pitch_length_and_strength(tmp_path, rate, hertz):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(hertz, 1.0, rate), rate, subtype="FLOAT")
    samples = load_audio(path, RATE)
    assert samples.dtype == np.float32 and abs(len(samples) - RATE) <= 1
    middle = samples[RATE // 4 : -RATE // 4]
    assert pitch(middle) == pytest.approx(hertz, abs=0.3)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.01)


def test_what_is_too_high_for_the_new_rate_does_not_fold_back():
    """10 kHz is above half of 16 kHz: without a filter it would sound as 6 kHz."""
    clip = AudioClip(tone(300, 1.0, 44_100) + tone(10_000, 1.0, 44_100), 44_100)
    samples = load_audio(clip, RATE)[2_000:-2_000]
    assert pitch(samples) == pytest.approx(300, abs=0.3)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum[len(spectrum) // 2 :].max() < 1e-4 * spectrum.max()


def test_blocks_are_joined_without_a_seam(tmp_path):
    """A file of many blocks gives what one resampling of the whole would."""
    path = tmp_path / "long.wav"
    samples = tone(440, 8.0, 44_100)
    assert len(samples) > 5 * audio_readers._BLOCK
    soundfile.write(path, samples, 44_100, subtype="FLOAT")
    whole = load_audio(AudioClip(samples, 44_100), RATE)
    assert np.abs(load_audio(path, RATE) - whole).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *((f"{subtype}.wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
        *((f"{subtype}.wav", subtype) for subtype in ("ULAW", "IMA_ADPCM")),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("b.ogg", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
        ("a.aiff", "PCM_16"),
        ("a.caf", "ALAC_16"),
        ("no-ending", "PCM_16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_libsndfile_reads(tmp_path, name, subtype, channels):
    path = tmp_path / name
    rate = 48_000 if subtype == "OPUS" else 44_100
    samples = np.stack([tone(440, 0.6, rate)] * channels, axis=1)
    form = {"flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF", "caf": "CAF"}.get(name.split(".")[-1], "WAV")
    soundfile.write(path, samples, rate, subtype=subtype, format=form)
    samples = load_audio(path, RATE)
    # Lossy formats add up to a few hundredths of a second of silence.
    assert 0.6 * RATE - 1 <= len(samples) <= 0.75 * RATE
    assert pitch(samples[3_000:8_000]) == pytest.approx(440, abs=1.0)
    assert modality_of(path) == "audio"


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.aac", "aac"),
        ("a.webm", "libopus"),
        ("a.mp4", "aac"),
        ("a.wma", "wmav2"),
        ("a.mka", "pcm_s16le"),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_what_ffmpeg_reads(tmp_path, name, codec, layout):
    if codec == "wmav2" and layout == "5.1":
        layout = "stereo"
    path = tmp_path / name
    encode(path, tone(440, 0.6, 48_000), 48_000, codec, layout)
    samples = load_audio(path, RATE)
    assert 0.5 * RATE <= len(samples) <= 0.75 * RATE
    assert pitch(samples[2_000:7_000]) == pytest.approx(440, abs=1.0)
    assert modality_of(path) == "audio"


def test_channels_are_mixed():
    low, high = tone(200, 0.5, RATE), tone(1_000, 0.5, RATE)
    mixed = load_audio(AudioClip(np.stack([low, high], axis=1), RATE), RATE)
    assert np.abs(mixed - (low + high) / 2).max() < 1e-6


def test_at_the_models_rate_nothing_is_changed():
    samples = tone(440, 0.5)
    assert np.array_equal(load_audio(AudioClip(samples, RATE), RATE), samples)


def read_window(media, start=0.0, seconds=1.0):
    return load_window(media, start, sampling_rate=RATE, max_seconds=seconds)


@pytest.mark.parametrize("start", [0, 2.0, 3.0])
def test_a_long_clip_is_read_from_start(start):
    samples, window = read_window(rising(4), start)
    assert len(samples) == RATE
    assert (window.start, window.end, window.duration) == (start, start + 1, 4)
    assert window.cut and f"second {start:.1f} to {start + 1:.1f} of this sound's 4.0" in window.notice
    assert pitch(samples) == pytest.approx(100 * (start + 1), abs=0.5)


def test_a_clip_that_fits_is_read_whole():
    samples, window = read_window(rising(1))
    assert len(samples) == RATE and not window.cut and window.notice == ""


def test_the_end_of_a_clip_may_be_shorter_than_the_window():
    samples, window = read_window(rising(3), 2.5)
    assert len(samples) == RATE // 2 and window.end == 3 and window.cut


@pytest.mark.parametrize(
    ("silence", "sound", "start"),
    [
        (0, 3, 0.0),
        (1.55, 3, 1.5),  # in steps of 0.1 s, from before the sound
        (3.0, 0.4, 2.4),  # a full window, not the 0.4 s that are left
        (0.5, 0.4, 0.0),  # all of it fits
        (0.6, 0.43, 0.0),  # longer than the window, by less than a step
        (0.35, 0.75, 0.1),  # by one step
    ],
)
@pytest.mark.parametrize("offset", [0, 0.1])
def test_a_long_clip_begins_at_its_first_sound(silence, sound, start, offset):
    samples = np.concatenate([np.zeros(round(silence * RATE)), tone(440, sound)]).astype(np.float32) * 0.8 + offset
    _, window = read_window(AudioClip(samples.astype(np.float32), RATE), None)
    assert window.start == start
    assert window.cut == (silence + sound > 1.05)


@pytest.mark.parametrize("start", [-1, 2.9, 30, float("nan"), "2", True])
def test_a_start_that_is_not_in_the_clip(start):
    with pytest.raises(OptionsError, match="start must be a number of seconds from 0 to 2.8"):
        read_window(rising(3), start)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (text, "not a sound this program can read"),
        (picture, "not a sound this program can read"),
        (playlist, "not a sound this program can read"),
        (nothing, "is empty"),
        (no_samples, "holds no sound"),
        (film_without_sound, "has no sound in it"),
        (short, r"too short \(0.19 s\): at least 0.2 s"),
        (endless, "longer than 10 minutes: cut out the part"),
        (odd_rate, "sampling rate of 100 Hz"),
        (not_numbers, "damaged .*no numbers"),
        (silence, "is silent: choose another sound"),
        (hum, "is silent"),
        (damaged, "damaged or cut off"),
    ],
)
def test_refused_files(tmp_path, make, message):
    path = tmp_path / "upload.bin"
    make(path)
    with pytest.raises(MediaError, match=message) as caught:
        read_window(path)
    assert "upload.bin" in str(caught.value) and str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.wav", "no file"),
        (".", "is a folder: give a file"),
        ("https://host/a.wav", "^https://host/a.wav is an address"),
    ],
)
def test_no_such_file(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match=message):
        load_audio(path, RATE)


def test_a_silent_part_of_a_long_clip_is_named():
    clip = AudioClip(np.concatenate([tone(440, 1.0), np.zeros(2 * RATE, np.float32)]), RATE)
    read_window(clip)
    with pytest.raises(MediaError, match="The clip is silent from second 1.5 to 2.5: .*another part"):
        read_window(clip, 1.5)


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.int16), np.zeros((1, 2, 3), np.float32)])
def test_a_clip_in_memory_has_floats(samples):
    with pytest.raises(MediaError, match="floats"):
        AudioClip(samples, RATE)


def test_files_are_recognised_by_content(tmp_path):
    picture(tmp_path / "wrong-ending.wav")
    assert modality_of(tmp_path / "wrong-ending.wav") == "image"
    for make, message in ((text, "neither an image nor a sound"), (nothing, "is empty")):
        make(tmp_path / "file")
        with pytest.raises(MediaError, match=message):
            modality_of(tmp_path / "file")
    with pytest.raises(MediaError, match="no file"):
        modality_of(tmp_path / "missing")


def test_names():
    assert input_name(AudioClip(tone(440, 0.5), RATE)) == "audio"
    assert input_name("folder/clip.wav") == "clip.wav"


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_librosa_reads_the_same(tmp_path, form, rate):
    path = tmp_path / "sound"
    soundfile.write(path, np.stack([tone(440, 1.3, rate), tone(700, 1.3, rate)], axis=1), rate, format=form)
    expected, _ = librosa.load(path, sr=RATE, mono=True, res_type="soxr_hq")
    samples = load_audio(path, RATE)
    # librosa rounds the length up, and fills it with a zero.
    assert len(expected) - len(samples) in (0, 1)
    np.testing.assert_allclose(samples, expected[: len(samples)], atol=1e-6)


@pytest.mark.parametrize("form", ["MP3", "OGG"])
def test_joined_files_are_read_to_their_end(tmp_path, form):
    """libsndfile stops where the first one ends."""
    path = tmp_path / "joined"
    path.write_bytes(encoded(tone(300, 2.0), RATE, form) + encoded(tone(900, 2.0), RATE, form))
    assert soundfile.info(path).duration < 2.5
    samples, window = load_window(path, sampling_rate=RATE, max_seconds=10)
    assert window.duration == pytest.approx(4.0, abs=0.2) and not window.notices
    assert pitch(samples[: 2 * RATE][8_000:24_000]) == pytest.approx(300, abs=1)
    assert pitch(samples[-RATE:][:12_000]) == pytest.approx(900, abs=1)


def test_the_rate_may_change_in_joined_files(tmp_path):
    path = tmp_path / "joined.mp3"
    stereo = np.stack([tone(900, 2.0, 44_100)] * 2, axis=1)
    path.write_bytes(encoded(tone(300, 2.0), RATE, "MP3") + encoded(stereo, 44_100, "MP3"))
    samples = load_audio(path, RATE)
    assert len(samples) / RATE == pytest.approx(4.0, abs=0.3)
    assert pitch(samples[-RATE:][:12_000]) == pytest.approx(900, abs=1)


def test_a_wav_that_was_never_closed(tmp_path):
    """A recorder that crashed leaves lengths of 0 in the header."""
    content = bytearray(encoded(tone(440, 2.0), RATE, "WAV"))
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = bytes(4)
    path = tmp_path / "unclosed.wav"
    path.write_bytes(content)
    assert len(load_audio(path, RATE)) == 2 * RATE


def test_a_file_that_ends_early_gives_a_notice(tmp_path):
    content = encoded(tone(440, 4.0), RATE, "WAV")
    path = tmp_path / "part.wav"
    path.write_bytes(content[: len(content) // 4])
    _, window = load_window(path, sampling_rate=RATE, max_seconds=10)
    assert window.notices == ("Only 1.0 of the 4.0 s that part.wav states could be read.",)
    path.write_bytes(content)
    assert load_window(path, sampling_rate=RATE, max_seconds=10)[1].notices == ()


def test_opposite_channels_do_not_cancel(tmp_path):
    left = tone(440, 1.0)
    opposite = np.stack([left, -0.98 * left], axis=1)
    assert np.array_equal(load_audio(AudioClip(opposite, RATE), RATE), left)
    soundfile.write(tmp_path / "a.wav", opposite, RATE, subtype="FLOAT")
    assert np.array_equal(load_audio(tmp_path / "a.wav", RATE), left)
    # One channel of eight is quiet in the mix, but nothing is lost.
    one = np.zeros((RATE, 8), np.float32)
    one[:, 3] = left
    np.testing.assert_allclose(load_audio(AudioClip(one, RATE), RATE), left / 8, atol=1e-7)


def test_the_loudest_of_opposite_channels_may_be_any(tmp_path):
    left = tone(440, 1.0)
    for channels in ([-0.9 * left, left], [0.1 * left, -left, 0.91 * left]):
        opposite = np.stack(channels, axis=1)
        loudest = opposite[:, 1]
        assert np.array_equal(load_audio(AudioClip(opposite, RATE), RATE), loudest)


def test_the_number_of_channels_may_change_in_joined_files():
    """The second channel is the loudest of those that cancel; where there is one channel only, it is taken."""
    loud, end = tone(440, 1.0), tone(900, 1.0)
    blocks = [(RATE, np.stack([-0.95 * loud, loud], axis=1)), (RATE, end[:, None])]
    for order in (blocks, blocks[::-1]):
        found = _mix(lambda order=order: order, "joined").resampled(RATE)
        expected = np.concatenate([loud if block.shape[1] == 2 else end for _, block in order])
        assert np.array_equal(found, expected.astype(np.float32))


def test_a_file_that_is_no_sound_states_no_length(tmp_path):
    text(tmp_path / "a.txt")
    film_without_sound(tmp_path / "a.mp4")
    assert audio_readers.stated_seconds(tmp_path / "a.txt") == audio_readers.stated_seconds(tmp_path / "a.mp4") == 0


def test_one_sample_that_is_no_number_is_enough():
    samples = tone(440, 1.0)
    samples[5_000] = np.nan
    with pytest.raises(MediaError, match="samples that are no numbers"):
        load_audio(AudioClip(samples, RATE), RATE)


@pytest.mark.parametrize("rate", [16_000.0, "16000", None, True])
def test_a_rate_is_a_whole_number(rate):
    with pytest.raises(MediaError, match="sampling rate as a whole number"):
        AudioClip(tone(440, 1.0), rate)


def test_mel_bins_have_the_frequencies_of_whispers_filters():
    filters = librosa.filters.mel(sr=RATE, n_fft=400, n_mels=80)  # [80, 201], of equal area
    frequencies = mel_frequencies(80, RATE)
    # Slaney's scale is linear to 1000 Hz, which is 15 mels, and 27 mels are a factor of 6.4 above it.
    step = (15 + 27 * np.log(8) / np.log(6.4)) / 81
    np.testing.assert_allclose(frequencies[:20], np.arange(1, 21) * step * 200 / 3, rtol=1e-9)
    np.testing.assert_allclose(frequencies[-1], 8_000 / 6.4 ** (step / 27), rtol=1e-9)
    assert frequencies.shape == (80,) and 0 < frequencies[0] < frequencies[-1] < 8_000
    peaks = filters.argmax(axis=1) * RATE / 400
    np.testing.assert_allclose(frequencies, peaks, atol=RATE / 400)


def test_a_sound_at_the_models_rate_loads_without_compiling(tmp_path):
    """librosa's resampler imports numba, which costs seconds: not while a page with its examples starts."""
    soundfile.write(tmp_path / "a.wav", tone(440, 1.0), RATE)
    program = (
        "import sys; from lora_mcl.audio import load_audio; "
        f"load_audio({str(tmp_path / 'a.wav')!r}, {RATE}); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_lengths_that_are_no_lengths_cause_no_notice(tmp_path):
    """A recorder that writes into a pipe states the largest length; an MP3 without a header states none."""
    content = bytearray(encoded(tone(440, 1.0), RATE, "WAV"))
    at = content.index(b"data") + 4
    for largest in (0x7FFFFFFF, 0xFFFFFFFF):
        content[4:8] = content[at : at + 4] = largest.to_bytes(4, "little")
        (tmp_path / "piped.wav").write_bytes(content)
        samples, window = load_window(tmp_path / "piped.wav", sampling_rate=RATE, max_seconds=10)
        assert len(samples) == RATE and window.notices == ()
    (tmp_path / "short.mp3").write_bytes(encoded(tone(440, 0.4), RATE, "MP3"))
    assert load_window(tmp_path / "short.mp3", sampling_rate=RATE, max_seconds=10)[1].notices == ()
