"""The files of a batch: uploads and archives, also hostile ones."""

import io
import struct
import zipfile

import pytest

import ui.batch_files
from lora_mcl.errors import MediaError
from ui.batch_files import MAX_FILES, batch_files


def upload(folder, name: str, content: bytes) -> dict:
    path = folder / name
    path.write_bytes(content)
    return {"path": str(path), "orig_name": name}


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def refusal(uploads, folder) -> str:
    with pytest.raises(MediaError) as refused, batch_files(uploads, folder):
        pytest.fail("it was taken")
    return str(refused.value)


def test_files_and_what_is_in_archives_in_their_order(tmp_path):
    archive = zipped({"b/two.png": b"2", "b/": b"", "__MACOSX/b/._two.png": b"x", ".DS_Store": b"x", "three.wav": b"3"})
    uploads = [upload(tmp_path, "one.png", b"1"), upload(tmp_path, "more.zip", archive), upload(tmp_path, "four", b"4")]
    with batch_files(uploads, tmp_path) as files:
        assert [file.name for file in files] == ["one.png", "b/two.png", "three.wav", "four"]
        assert [file.file.read_bytes() for file in files] == [b"1", b"2", b"3", b"4"]
        unpacked = files[1].file
        assert not any(file.error for file in files)
    assert not unpacked.exists()


def test_one_upload_alone(tmp_path):
    with batch_files(upload(tmp_path, "one.png", b"1"), tmp_path) as (file,):
        assert file.name == "one.png"


def test_names_lead_nowhere(tmp_path):
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    archive = zipped({"../../evil.png": b"1", "/etc/evil.png": b"2", "a\u202eb.png": b"3"})
    with batch_files([upload(uploads, "a.zip", archive)], uploads) as files:
        assert all(file.file.is_relative_to(uploads) for file in files)
        assert files[2].name == "a\\u202eb.png" and files[2].file.name == "a_b.png"
    assert {path.name for path in tmp_path.rglob("*")} == {"uploads", "a.zip"}


@pytest.mark.parametrize("uploads", [None, [], "", {}, [None], ["/etc/passwd"], [7]])
def test_what_is_no_file(tmp_path, uploads):
    assert "Choose files first" in refusal(uploads, tmp_path)


def test_files_of_the_server(tmp_path):
    assert "was not uploaded" in refusal([{"path": "/etc/passwd"}], tmp_path)


def test_too_many_files(tmp_path):
    one = upload(tmp_path, "one.png", b"1")
    assert refusal([one] * (MAX_FILES + 1), tmp_path).startswith("There are 51 files, and a batch has at most 50")
    many = upload(tmp_path, "many.zip", zipped({f"{n}.png": b"1" for n in range(MAX_FILES)}))
    assert refusal([one, many], tmp_path).startswith("There are 51 files")
    assert refusal([many, one], tmp_path).startswith("There are 51 files")
    listed = upload(tmp_path, "listed.zip", zipped({f"{n}/": b"" for n in range(2001)}))
    assert refusal([listed], tmp_path).startswith("There are 2,001 files")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(ui.batch_files, "MAX_FILE_SIZE", 2 * 2**20)
    monkeypatch.setattr(ui.batch_files, "MAX_UNPACKED", 5 * 2**20)
    large = bytes(3 * 2**20)
    bomb = upload(tmp_path, "bomb.zip", zipped({"large.png": large, "small.png": b"1"}))
    with batch_files([bomb], tmp_path) as files:
        assert [file.error for file in files] == ["This file is too large: at most 2 MB.", ""]
        assert files[0].file.stat().st_size <= 2 * 2**20
    several = upload(tmp_path, "several.zip", zipped({f"{n}.png": large for n in range(3)}))
    assert refusal([several], tmp_path) == "several.zip is too large unpacked: at most 5 MB."


def test_a_size_that_lies_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(ui.batch_files, "MAX_FILE_SIZE", 2**20)
    content = bytearray(zipped({"large.png": bytes(3 * 2**20)}))
    true = struct.pack("<I", 3 * 2**20)
    for _ in range(2):  # in the file's own header and in the list
        place = content.index(true)
        content[place : place + 4] = struct.pack("<I", 5)
    with batch_files([upload(tmp_path, "lies.zip", bytes(content))], tmp_path) as (file,):
        assert file.error and file.file.stat().st_size <= 2**20


def test_encrypted_and_damaged_files_have_their_message(tmp_path):
    content = bytearray(zipped({"a.png": b"1" * 50, "b.png": b"2" * 50}, zipfile.ZIP_STORED))
    content[content.index(b"222")] = ord("3")  # its checksum is wrong now
    locked = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + offset] |= 1
    with batch_files([upload(tmp_path, "bad.zip", bytes(locked))], tmp_path) as files:
        assert [file.error for file in files] == [
            "This file is encrypted: pack it without a password.",
            "This file is damaged in the archive: pack it again and retry.",
        ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and nothing", "bad.zip is a damaged zip archive: pack it again and retry."),
        (zipped({}), "bad.zip holds no files: put pictures or sounds into it."),
        (zipped({"folder/": b""}), "bad.zip holds no files: put pictures or sounds into it."),
        (zipped({"a.png": b"1" * 100})[:-30], "bad.zip is a damaged zip archive: pack it again and retry."),
    ],
    # Named: an archive holds the time at which it was packed, and workers must collect equal tests.
    ids=["no archive", "empty", "only a folder", "cut off"],
)
def test_archives_that_cannot_be_used(tmp_path, content, message):
    assert refusal([upload(tmp_path, "bad.zip", content)], tmp_path) == message
