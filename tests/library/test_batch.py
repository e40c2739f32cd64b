"""Many files in one pass: what each would get alone, also where others fail."""

import shutil
from dataclasses import dataclass

import pytest

from lora_mcl.batch import BatchCaptioner, BatchFile, caption_batch, media_in
from lora_mcl.errors import MediaError
from lora_mcl.phrases import Phrase
from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import HYPOTHESES, FakeAudioCaptioner, FakeCaptioner


@pytest.fixture
def files(picture, clip, tmp_path):
    """A picture, a broken one, a sound, a text, a picture, and one that was refused before."""
    broken, text = tmp_path / "broken.png", tmp_path / "notes.txt"
    broken.write_bytes(picture.read_bytes()[:60])
    text.write_text("Not a picture.")
    shutil.copy(picture, tmp_path / "again.png")
    paths = [picture, broken, clip, text, tmp_path / "again.png"]
    return [*(BatchFile(path.name, path) for path in paths), BatchFile("locked.png", tmp_path, "It is locked.")]


def captioners(image=None, audio=None):
    options = CompareOptions(max_new_tokens=5)
    return {
        "image": BatchCaptioner(image or FakeCaptioner(), options),
        "audio": BatchCaptioner(audio or FakeAudioCaptioner(), options),
    }


@pytest.mark.parametrize("at_once", [1, 2, 10])
def test_every_file_has_its_captions_or_its_message(files, at_once):
    found = dict(caption_batch(files, captioners(), at_once=at_once))
    assert sorted(found) == [0, 1, 2, 3, 4, 5]
    assert [found[index].name for index in range(6)] == [file.name for file in files]
    first_words = [" ".join(sentence.split()[:5]) for _, _, sentence in HYPOTHESES]
    for index in (0, 2, 4):
        assert list(found[index].comparison.captions("hypothesis")) == first_words
        assert found[index].options.max_new_tokens == 5 and not found[index].error
    assert "broken.png is damaged" in found[1].error and "neither an image nor a sound" in found[3].error
    assert found[5].error == "It is locked."


@dataclass
class CountingCaptioner(FakeCaptioner):
    """A fake captioner that counts its comparisons in work: now, and the most there were."""

    in_work: int = 0
    most: int = 0

    def compare(self, *args, **kwargs):
        self.in_work += 1
        self.most = max(self.most, self.in_work)
        try:
            yield from super().compare(*args, **kwargs)
        finally:
            self.in_work -= 1


@pytest.mark.parametrize(("given", "expected"), [({}, 4), ({"at_once": 2}, 2), ({"at_once": 10}, 6)])
def test_so_many_files_are_in_work(picture, given, expected):
    captioner = CountingCaptioner()
    found = dict(caption_batch([BatchFile("a.png", picture)] * 6, captioners(captioner), **given))
    assert len(found) == 6 and (captioner.most, captioner.in_work) == (expected, 0)


def test_messages_stay_phrases_that_a_page_can_translate(files):
    """Also those of text alone, and of errors of several values."""

    class Failing(FakeCaptioner):
        def compare(self, *args, **kwargs):
            raise MediaError("It broke", 5)

    found = dict(caption_batch(files[:4], {"image": captioners()["image"]}))
    for index in (1, 2, 3):
        assert isinstance(found[index].error, Phrase) and found[index].error.template
    assert dict(caption_batch(files[:1], captioners(Failing())))[0].error == "('It broke', 5)"


def test_the_media_of_a_folder(picture, clip, tmp_path):
    assert media_in(tmp_path) == ([], 0)
    for name in ("b/a.png", "a.png", ".hidden.png", ".git/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(picture, tmp_path / name)
    shutil.copy(clip, tmp_path / "c")
    assert media_in(tmp_path) == ([tmp_path / "a.png", tmp_path / "b" / "a.png", tmp_path / "c"], 0)
    for name in ("a.txt", "b/empty.png"):
        (tmp_path / name).write_bytes(b"")
    assert media_in(tmp_path)[1] == 2


def test_without_a_model_for_sounds(files):
    found = dict(caption_batch(files[:3], {"image": captioners()["image"]}))
    assert found[2].error == "This is a file of sounds, and there is only a model for pictures here."
    assert found[0].comparison.done


def test_a_failure_of_the_model_is_that_files_alone(files, caplog):
    image = FakeCaptioner(failure=RuntimeError("a secret caption"))
    found = dict(caption_batch(files[:3], captioners(image)))
    assert found[0].error == "Something went wrong with this file. Please try it alone."
    assert found[2].comparison.done
    (logged,) = [record.getMessage() for record in caplog.records if record.name == "lora_mcl.batch"]
    assert "RuntimeError at fake_captioner.py:" in logged and "secret" not in caplog.text


def test_stop_keeps_what_is_finished_and_frees_the_rest(picture):
    captioner, taken = FakeCaptioner(), []
    batch = caption_batch(
        [BatchFile(f"{n}.png", picture) for n in range(6)],
        captioners(captioner),
        at_once=2,
        should_stop=lambda: len(taken) >= 3,
    )
    for pair in batch:
        taken.append(pair)
    # The fourth had its last word already.
    assert [entry.comparison.done for _, entry in taken] == [True] * 4
    assert captioner.closed == 4
    batch = caption_batch([BatchFile("a.png", picture)], captioners(captioner), should_stop=lambda: True)
    assert list(batch) == []


def test_closing_it_early_ends_the_work(picture):
    captioner = FakeCaptioner()
    batch = caption_batch([BatchFile(f"{n}.png", picture) for n in range(3)], captioners(captioner), at_once=3)
    next(batch)
    batch.close()
    steps = captioner.steps
    assert captioner.closed == 3 and captioner.steps == steps


def test_together_each_gets_what_it_gets_alone(tiny_captioner, picture, tmp_path):
    from PIL import Image

    other = tmp_path / "other.png"
    Image.linear_gradient("L").resize((64, 40)).convert("RGB").save(other)
    options = tiny_captioner.defaults
    paths = [picture, other, picture]
    together = dict(
        caption_batch(
            [BatchFile(path.name, path) for path in paths],
            {"image": BatchCaptioner(tiny_captioner, options)},
            at_once=3,
        )
    )
    for index, path in enumerate(paths):
        *_, alone = tiny_captioner.compare(path, options)
        for mine, its in zip(together[index].comparison.columns, alone.columns, strict=True):
            assert [c.text for c in mine.captions] == [c.text for c in its.captions]
            assert [c.log_prob for c in mine.captions] == pytest.approx([c.log_prob for c in its.captions], abs=1e-3)
