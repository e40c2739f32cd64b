"""Files of a captioned dataset: parts, tables, mistakes. Its workers are tested in ``test_ray``."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from deploy import caption_dataset
from deploy.dataset_files import SCHEMA, Parts, Run, listed
from lora_mcl.errors import MediaError, OptionsError

RESULT = {"model": None, "columns": [], "error": "It is empty."}


def run_of(*files: str) -> Run:
    return Run("bundle", {"num_beams": 2}, list(files), 2)


def test_parts_are_joined_in_the_order_of_the_files(tmp_path):
    for suffix in (".parquet", ".jsonl"):
        out = tmp_path / f"captions{suffix}"
        parts = Parts(out, run_of("a", "b", "c"))
        assert list(parts.missing()) == [(0, ["a", "b"]), (1, ["c"])]
        parts.add(1, [{"file": "c", **RESULT}])
        again = Parts(out, run_of("a", "b", "c"))
        assert list(again.missing()) == [(0, ["a", "b"])]
        again.add(0, [{"file": name, **RESULT} for name in "ab"])
        assert again.finish() == 3
        assert [file.name for file in tmp_path.iterdir()] == [out.name]
        if suffix == ".parquet":
            table = pyarrow.parquet.read_table(out)
            assert table.schema == SCHEMA and table.column("file").to_pylist() == ["a", "b", "c"]
        else:
            assert [json.loads(line)["file"] for line in out.read_text().splitlines()] == ["a", "b", "c"]
        out.unlink()


def test_parts_of_another_run_are_not_joined(tmp_path):
    out = tmp_path / "captions.jsonl"
    Parts(out, run_of("a", "b"))
    with pytest.raises(OptionsError, match=r"holds parts of another run .*: delete it, or choose another --out"):
        Parts(out, run_of("a", "c"))


def test_tables_name_media_relative_to_themselves(tmp_path):
    table = pa.table({"image": ["x/a.png", "b.png"], "year": [1, 2]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("image,year\nx/a.png,1\nb.png,2\n")
    (tmp_path / "t.jsonl").write_text('{"image": "x/a.png"}\n{"image": "b.png"}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        assert listed(tmp_path / name, "image") == [str(tmp_path / "x/a.png"), str(tmp_path / "b.png")]
    with pytest.raises(OptionsError, match=r"t\.csv has no column file; it has image, year"):
        listed(tmp_path / "t.csv", "file")
    with pytest.raises(OptionsError, match="must hold a path in every row"):
        listed(tmp_path / "t.csv", "year")
    (tmp_path / "bad.jsonl").write_text("{")
    for name, message in (
        ("none.csv", "There is no file"),
        ("a.txt", "is no folder and no table"),
        ("bad.jsonl", "cannot be read as .jsonl"),
    ):
        with pytest.raises(MediaError, match=message):
            listed(tmp_path / name, "image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="no images and no sounds"):
        listed(tmp_path / "empty", "image")


def test_mistakes_end_with_one_line(caption_dataset_of, picture, tmp_path, capsys):
    folder, out = picture.parent, tmp_path / "a.jsonl"
    for arguments, message in (
        ((folder, tmp_path / "a.txt"), "--out must end in .jsonl or .parquet, not 'a.txt'."),
        ((folder, out, "--workers", 0), "--workers must be at least 1, not 0."),
        ((folder, out, "--set", "num_beams", "many"), "--set takes numbers, not 'many'."),
        ((folder, out, "--set", "beams", "3"), "beams is no option"),
    ):
        assert caption_dataset_of(*arguments) == caption_dataset.USER_ERROR
        error = capsys.readouterr().err
        assert error.startswith("deploy.caption_dataset: ") and message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_as_many_workers_as_fit():
    fit = caption_dataset._workers_that_fit
    assert fit({"CPU": 8.0, "GPU": 3.0}, 2.0, 0.0) == 4 and fit({"CPU": 8.0, "GPU": 3.0}, 1.0, 0.5) == 6
    assert fit({"CPU": 1.0}, 2.0, 0.0) == 1 and fit({}, 0.0, 1.0) == 1


def test_without_ray_there_is_one_clear_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(caption_dataset, "find_spec", lambda name: None)
    assert caption_dataset.main([str(tmp_path), "--out", "a.jsonl"]) == caption_dataset.USER_ERROR
    message = "deploy.caption_dataset: Ray is not installed: pip install -r requirements-serve.txt\n"
    assert capsys.readouterr().err == message
