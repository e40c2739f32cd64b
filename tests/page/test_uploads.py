"""Files that visitors and clients send: which are used, and the copies that browsers can show."""

import base64
import shutil

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_mcl.audio import load_audio
from lora_mcl.errors import MediaError
from lora_mcl.images import load_image
from tests.support.tiny_audio import chirp
from ui.modality import AUDIO, IMAGE
from ui.uploads import MAX_FILE_SIZE, browser_copy, uploaded_file

RATE = 44_100


def opened(media, folder, modality=IMAGE) -> bytes:
    with uploaded_file(media, modality, folder) as file:
        return file.read_bytes()


def test_only_what_was_uploaded_is_used(tmp_path, picture):
    folder = tmp_path / "uploads"
    inside = folder / "abc" / "photo.png"
    inside.parent.mkdir(parents=True)
    shutil.copy(picture, inside)
    assert opened({"path": str(inside)}, folder) == picture.read_bytes()
    (folder / "link.png").symlink_to(picture)
    for outside in (picture, folder / "link.png", folder / ".." / "uploads2" / "x.png", "relative.png"):
        with pytest.raises(MediaError, match="was not uploaded"):
            opened({"path": str(outside)}, folder)


def test_a_data_url_is_a_file_while_it_is_used(tmp_path, picture):
    content = picture.read_bytes()
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    for media in ({"url": url}, {"path": None, "url": url}, url):
        assert opened(media, tmp_path) == content
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (None, "Choose a picture first"),
        (5, "Choose a picture first"),
        ("photo.png", "Choose a picture first"),
        ({}, "Choose a picture first"),
        ({"path": ""}, "Choose a picture first"),
        ({"path": ["a"]}, "Choose a picture first"),
        ({"url": "https://example.com/a.png"}, "not fetched from here"),
        ({"url": "file:///etc/hostname"}, "not fetched from here"),
        ({"url": "data:image/png,abc"}, "not base64"),
        ({"url": "data:image/png;base64,§§"}, "not base64"),
        ({"url": "data:image/png;base64"}, "not base64"),
        ({"url": "data:image/png;base64," + "A" * (MAX_FILE_SIZE * 4 // 3 + 2000)}, "too large: at most 40 MB"),
    ],
    ids=range(12),
)
def test_what_is_no_upload_gets_a_message(tmp_path, media, message):
    with pytest.raises(MediaError, match=message):
        opened(media, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.avif", "no-extension"])
def test_what_browsers_show_is_shown_as_it_is(tmp_path, picture, name):
    file = tmp_path / name
    with Image.open(picture) as image:
        image.convert("RGB").save(file, None if "." in name else "PNG")
    assert browser_copy(file, IMAGE, tmp_path) == (None, ())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_png_with_megabytes_of_text_is_shown_as_it_is(tmp_path, picture, zipped):
    """Pillow by itself refuses it for its text."""
    texts = PngInfo()
    texts.add_itxt("workflow", "x" * 2**21, zip=zipped)
    file = tmp_path / "generated.png"
    with Image.open(picture) as image:
        image.save(file, pnginfo=texts)
    assert browser_copy(file, IMAGE, tmp_path) == (None, ())


@pytest.mark.parametrize("name", ["scan.tif", "scan.png", "scan"])
def test_other_pictures_are_copied_pixel_by_pixel(tmp_path, name):
    """By content, not by the file's name; here a TIFF, upside down by its orientation."""
    file = tmp_path / name
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(file, "TIFF", exif=exif)
    copy, notices = browser_copy(file, IMAGE, tmp_path)
    assert notices == ()
    assert copy.name == f"{name}.png"
    with Image.open(copy) as image:
        assert image.format == "PNG" and np.array_equal(np.asarray(image), pixels[::-1, ::-1])
    assert np.array_equal(np.asarray(load_image(copy)), np.asarray(load_image(file)))


def test_12_bits_stored_as_16_are_shown_as_the_model_gets_them(tmp_path):
    """A browser would show them nearly black."""
    file = tmp_path / "scan.png"
    values = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (40, 1))
    Image.fromarray(values).save(file)
    copy, notices = browser_copy(file, IMAGE, tmp_path)
    assert [*map(str, notices)] == [
        "scan.png holds values from 0 to 4080 and does not state their range: 0 to 4095 was taken for black to white."
    ]
    with Image.open(copy) as image:
        assert np.array_equal(np.asarray(image)[..., 0], values // 16)
    Image.fromarray(values * 16).save(file)  # all 16 bits: as browsers show it
    assert browser_copy(file, IMAGE, tmp_path) == (None, ())


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
def test_sounds_that_browsers_play_are_played_as_they_are(tmp_path, kind):
    soundfile.write(tmp_path / "sound", chirp(1.0, RATE), RATE, format=kind)
    assert browser_copy(tmp_path / "sound", AUDIO, tmp_path) == (None, ())


def with_ffmpeg(path, codec: str, container: str) -> None:
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(chirp(1.0, 48_000)[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


@pytest.mark.parametrize(
    ("name", "codec", "container"), [("a.m4a", "aac", "ipod"), ("a.webm", "libopus", "webm"), ("a", "aac", "mp4")]
)
def test_other_sounds_are_copied_so_that_the_model_gets_the_same(tmp_path, name, codec, container):
    with_ffmpeg(tmp_path / name, codec, container)
    copy, notices = browser_copy(tmp_path / name, AUDIO, tmp_path)
    assert notices == ()
    assert copy.name == f"{name}.flac" and soundfile.info(copy).samplerate == 48_000
    original, same = (load_audio(file, 16_000) for file in (tmp_path / name, copy))
    assert len(original) == len(same) > 15_000 and np.abs(original - same).max() < 1e-6


def test_a_file_that_cannot_be_read_gets_the_readers_message(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture, no sound")
    with pytest.raises(MediaError, match="notes.txt is not an image"):
        browser_copy(tmp_path / "notes.txt", IMAGE, tmp_path)
    with pytest.raises(MediaError, match="notes.txt is not a sound"):
        browser_copy(tmp_path / "notes.txt", AUDIO, tmp_path)
