"""Where results go is checked before anything is computed for them."""

from pathlib import Path

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.output_paths import check_output_file, make_output_folder


def test_folders_are_made_with_those_above_them(tmp_path):
    make_output_folder(tmp_path / "a" / "b", "--out")
    make_output_folder(tmp_path / "a" / "b", "--out")
    check_output_file(tmp_path / "c" / "d" / "report.json", "--report")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/b", "c", "c/d"]


def test_what_is_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OptionsError, match=r"^--out .*/file cannot be written to: File exists$"):
        make_output_folder(tmp_path / "file", "--out")
    with pytest.raises(OptionsError, match=r"^output .*/file/run cannot be written to: Not a directory$"):
        make_output_folder(tmp_path / "file" / "run", "output")
    with pytest.raises(OptionsError, match=r"^--report .* is a folder: give a file$"):
        check_output_file(tmp_path, "--report")


def test_the_folder_itself_is_tried(tmp_path, monkeypatch):
    """It may be there and not be writable, or on a disk that is full."""

    def refused(*, dir):
        assert Path(dir) == tmp_path / "there"
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("lora_mcl.output_paths.tempfile.TemporaryFile", refused)
    with pytest.raises(OptionsError, match=r"there cannot be written to: Read-only file system$"):
        make_output_folder(tmp_path / "there", "--out")
