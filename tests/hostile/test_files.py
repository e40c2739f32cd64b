"""Pictures and sounds that nobody meant to upload: each gets captions or a message, and the next request works."""

import re

import pytest

from tests.support import hostile_pictures, hostile_sounds
from tests.support.gradio_warnings import GRADIO_WARNINGS

pytestmark = [pytest.mark.usefixtures("quiet"), *GRADIO_WARNINGS]
FILES = {"image": hostile_pictures, "audio": hostile_sounds}


def each(group):
    return [
        pytest.param(modality, name, id=f"{modality}-{name}")
        for modality, files in FILES.items()
        for name in getattr(files, group)
    ]


@pytest.fixture
def upload(page, tmp_path):
    def upload(modality, name, data):
        (tmp_path / name).write_bytes(data)
        return page.ask(modality, tmp_path / name)

    return upload


@pytest.mark.parametrize(("modality", "name"), each("GOOD"))
def test_odd_but_good_files_are_captioned(upload, modality, name):
    answer = upload(modality, name, FILES[modality].GOOD[name]())
    assert answer.captioned, answer.message


@pytest.mark.parametrize(("modality", "name"), each("REFUSED") + each("BOMBS"))
def test_what_cannot_be_captioned_gets_a_message_with_the_reason(upload, modality, name):
    build, message = (FILES[modality].REFUSED | FILES[modality].BOMBS)[name]
    answer = upload(modality, name, build())
    assert not answer.captioned
    assert re.search(message, answer.message) and name in answer.message


@pytest.mark.parametrize(("modality", "name"), each("DAMAGED"))
def test_damaged_files_are_read_or_get_a_message(readers, tmp_path, modality, name):
    file = tmp_path / name
    file.write_bytes(FILES[modality].DAMAGED[name]())
    message = readers[modality](file)
    assert message is None or name in message


@pytest.mark.parametrize(("modality", "name"), each("DAMAGED")[::5])
def test_damaged_files_through_the_page(upload, modality, name):
    answer = upload(modality, name, FILES[modality].DAMAGED[name]())
    assert answer.captioned or name in answer.message


def corrupted(modality, seed):
    files = FILES[modality]
    endings = tuple(files.WRITERS if modality == "image" else files.ENDINGS)
    ending = endings[seed % len(endings)]
    return f"{seed}.{ending}", hostile_pictures.corrupted(files.whole(ending), 1_000 + seed)


@pytest.mark.slow
@pytest.mark.parametrize("modality", FILES)
def test_random_damage(page, tmp_path, modality, readers):
    """1,000 rounds each, the same ones every time; every 50th through the page."""
    refused = 0
    for seed in range(1_000):
        name, data = corrupted(modality, seed)
        file = tmp_path / name
        file.write_bytes(data)
        if seed % 50 == 0:
            page.ask(modality, file)
        refused += readers[modality](file) is not None
        file.unlink()
    page.check_good_requests()
    # Neither is everything refused, nor is damage never noticed.
    assert 100 < refused < 900


NAMES = (
    "line\nbreak.png",
    "carriage\rreturn.png",
    "tab\tbell\x07.png",
    "escape\x1b[31mred.png",
    "left\u202egnp.png",
    "null\ufeffwidth\u200b.png",
    "<img src=x onerror=alert(1)>.png",
    "\"quoted'.png",
    "back\\slash.png",
    "percent%2e%2e%2f.png",
    "..%00.png",
    "émoji😀.png",
    "{0.__class__}.png",
    "%s%n%x.png",
    "-rf.png",
    " .png",
    "$(id).png",
    "a" * 200 + ".png",
)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_text_and_nothing_more(upload, name):
    answer = upload("image", name, b"this is no picture")
    assert not answer.captioned and "is not an image" in answer.message
    # No control character reaches a terminal or a log; the page's own messages are escaped (tests/page).
    assert not re.search(r"[\x00-\x1f\x7f]", answer.message)
    good = upload("image", name, hostile_pictures.whole("png"))
    assert good.captioned and not re.search(r"[\x00-\x1f\x7f]", good.comparison["media"])
