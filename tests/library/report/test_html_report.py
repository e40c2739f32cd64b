"""The HTML report: complete, escaped, self-contained, and of bounded size."""

import base64
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from lora_mcl.errors import OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.report import CaptionedFile, opened_report
from lora_mcl.report.media import picture_uri, sound_uri
from lora_mcl.texts import ENGLISH, FRENCH, Texts
from lora_mcl.types import Window
from tests.support.captioned import captioned, captioned_sound
from tests.support.fake_captioner import BEAM, DIVERSE, HYPOTHESES, FakeCaptioner

ADDRESS = re.compile(r'(?:src|href|action|content)="([^"]*)"|url\(([^)]*)\)')


def written(tmp_path: Path, *entries: CaptionedFile, title: str = "Captions", texts: Texts = ENGLISH) -> str:
    path = tmp_path / "report.html"
    with opened_report(path, title, texts) as report:
        for entry in entries:
            report.add(entry)
    return path.read_text(encoding="utf-8")


def bytes_of(uri: str, kind: str) -> io.BytesIO:
    head, _, content = uri.partition(",")
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(content, validate=True))


def test_every_caption_label_score_and_setting_is_in_it(tmp_path, picture):
    text = unescape(written(tmp_path, captioned(picture, num_beams=2, num_beam_groups=2, diversity_penalty=0.35)))
    for label, description, sentence in HYPOTHESES:
        assert all(f">{part}<" in text for part in (label, description, sentence))
    for sentence in (*BEAM[:2], *DIVERSE[:2]):
        assert f">{sentence}<" in text
    assert BEAM[2] not in text  # two beams
    # -0.7 for each of the six words of the first sentence.
    assert "<span>log-prob. −4.2</span> · <span>−0.70 per token</span> · <span>6 tokens</span>" in text
    for name, value in (("model", "fake"), ("num_beams", 2), ("diversity_penalty", 0.35), ("max_new_tokens", 48)):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "temperature" not in text  # nothing was drawn


def test_a_report_in_french(tmp_path, picture, clip):
    title = Phrase("Captions of {count} files", count=2)
    failed = CaptionedFile("a.png", picture, error=Phrase("{name} is empty: choose another file.", name="a.png"))
    text = unescape(written(tmp_path, captioned(picture), captioned_sound(clip), failed, title=title, texts=FRENCH))
    assert '<html lang="fr">' in text and "<h1>Légendes de 2 fichiers</h1>" in text
    assert "<h3>Recherche en faisceau</h3>" in text and "Hypothèse <span" in text
    # -0.7 for each of the six words of the first sentence.
    assert "<span>log-prob. −4,2</span> · <span>−0,70 par jeton</span> · <span>6 jetons</span>" in text
    assert f'lang="fr">{HYPOTHESES[2][2]}<' in text, "captions stay as they are, each marked by its own language"
    assert "Laissé de côté\u00a0: a.png est vide\u00a0: choisissez un autre fichier." in text
    # Names of the settings are those of the command line.
    assert "<dt>num_beams</dt>" in text and "<dt>columns</dt><dd>toutes</dd>" in text
    body = text.partition("</style>")[2]
    english = [phrase for phrase, french in FRENCH.translations.items() if phrase != french and f">{phrase}<" in body]
    assert not english


def test_settings_of_drawn_captions_and_the_models_source(tmp_path, picture):
    entry = replace(captioned(picture, num_samples=2, seed=7), source="owner/name at v1")
    text = written(tmp_path, entry)
    assert "<dt>model</dt><dd>fake (owner/name at v1)</dd>" in text
    assert "<dt>seed</dt><dd>7</dd>" in text and "<dt>top_k</dt><dd>off</dd>" in text


def test_a_model_is_listed_once_with_its_settings(tmp_path, picture, clip):
    text = written(tmp_path, captioned(picture), captioned_sound(clip), captioned(picture))
    assert text.count("<dt>model</dt>") == 2
    assert "Model and settings: fake<" in text and "Model and settings: fake-audio<" in text
    assert [int(number) for number in re.findall(r'id="file-(\d+)"', text)] == [1, 2, 3]


def test_hostile_texts_are_escaped(tmp_path, picture):
    evil = "<script>alert('1')</script>"
    entry = captioned(
        picture, FakeCaptioner(hypotheses=((evil, f'"{evil}', f"a {evil} cat"),)), name=f"{evil}\u202e.png"
    )
    failed = CaptionedFile(evil, picture, error=f"{evil} is damaged.")
    text = written(tmp_path, entry, failed, title=evil)
    assert "<script" not in text and "\u202e" not in text
    # The label, its description, the caption, two names, the message, the picture's alternative, title and heading.
    assert text.count("&lt;script&gt;") == 9


def test_a_name_that_is_no_unicode_can_be_written(tmp_path, picture):
    assert "caf\\udce9.png" in written(tmp_path, captioned(picture, name="caf\udce9.png"))


def test_it_asks_for_nothing_and_runs_nothing(tmp_path, picture, clip):
    text = written(tmp_path, captioned(picture), captioned_sound(clip))
    addresses = {a or b for a, b in ADDRESS.findall(text)} - {"width=device-width, initial-scale=1", "light dark"}
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    assert {address.split(",")[0] for address in addresses} == {
        policy,
        "data:image/jpeg;base64",
        "data:audio/mpeg;base64",
    }
    assert "<script" not in text and "@import" not in text and "http" not in text.replace("http-equiv", "")


def test_pictures_are_scaled_down_and_upright(tmp_path):
    path = tmp_path / "large.jpg"
    large = Image.new("RGB", (3000, 1500), "green")
    exif = large.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    large.save(path, exif=exif)
    with Image.open(bytes_of(picture_uri(path), "image/jpeg")) as small:
        assert small.size == (360, 720) and not small.getexif()


def test_a_small_picture_keeps_its_size(picture):
    with Image.open(bytes_of(picture_uri(picture), "image/jpeg")) as small:
        assert small.size == (48, 40)


@pytest.fixture
def two_tones(tmp_path):
    """4 s: silence for 1 s, a low tone for 1 s, a high tone for 2 s."""
    rate = 16_000
    seconds = np.arange(4 * rate) / rate
    tone = np.where(seconds < 2, np.sin(2 * np.pi * 440 * seconds), np.sin(2 * np.pi * 1760 * seconds))
    path = tmp_path / "tones.wav"
    soundfile.write(path, 0.5 * tone * (seconds >= 1), rate)
    return path


def test_the_part_of_a_sound_that_the_model_got(two_tones):
    samples, rate = soundfile.read(bytes_of(sound_uri(two_tones, Window(2.5, 3.5, 4.0)), "audio/mpeg"))
    assert samples.ndim == 1 and len(samples) / rate == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(1760, abs=5)


def test_a_long_sound_is_bounded(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(100 * 8000), 8000)
    content = bytes_of(sound_uri(path, Window(0.0, 100.0, 100.0)), "audio/mpeg")
    assert soundfile.info(content).duration == pytest.approx(60, abs=0.2)
    assert len(content.getvalue()) < 1_000_000


def test_a_file_that_is_gone_leaves_its_captions(tmp_path, picture):
    entry = captioned(picture)
    text = written(tmp_path, replace(entry, file=tmp_path / "gone.png"))
    assert f"There is no file {tmp_path / 'gone.png'}." in text and HYPOTHESES[0][2] in text and "<img" not in text


def test_what_there_is_is_kept_when_the_work_is_interrupted(tmp_path, picture):
    path = tmp_path / "report.html"
    with pytest.raises(KeyboardInterrupt), opened_report(path, "Captions") as report:
        report.add(captioned(picture))
        raise KeyboardInterrupt
    text = path.read_text(encoding="utf-8")
    assert HYPOTHESES[0][2] in text and text.rstrip().endswith("</html>") and "<dt>model</dt>" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [("report.txt", "give a file that ends in .html"), ("no/report.html", "cannot be written: No such file")],
)
def test_a_path_that_cannot_be_used(tmp_path, name, message):
    with pytest.raises(OptionsError, match=message), opened_report(tmp_path / name, "Captions"):
        pytest.fail("it was opened")


def test_an_entry_has_a_comparison_or_an_error(picture):
    entry = captioned(picture)
    with pytest.raises(ValueError, match="or else an error"):
        replace(entry, error="It is damaged.")
    with pytest.raises(ValueError, match="or else an error"):
        CaptionedFile("a.png", picture)
    with pytest.raises(ValueError, match="in their order"):
        replace(entry, specs=entry.specs[::-1])
