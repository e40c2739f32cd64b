"""The command line: a table, one JSON object, and messages instead of tracebacks."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape

import pytest
import soundfile

from lora_mcl.captioner import Captioner
from lora_mcl.cli import main
from tests.support.paths import ROOT
from tests.support.tiny_audio import SAMPLING_RATE, chirp

IDS = ["hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam"]


@pytest.fixture
def run(tiny_bundle, picture, capsys):
    """Run ``caption`` on the tiny bundle; returns status, standard output, standard error."""

    def caption(*arguments, file=picture, model=tiny_bundle):
        capsys.readouterr()
        try:
            files = file if isinstance(file, list) else [file]
            status = main(["caption", *map(str, files), "--model", str(model), *arguments])
        except SystemExit as leaving:
            status = leaving.code
        return status, *capsys.readouterr()

    return caption


def test_json(run):
    status, output, _ = run("--json")
    assert status == 0
    table = json.loads(output)
    assert set(table) == {"media", "model", "seconds", "columns"}
    assert (table["media"], table["model"]) == ("picture.png", "bundle")
    assert [column["id"] for column in table["columns"]] == IDS
    for column in table["columns"]:
        assert set(column) == {"id", "method", "label", "seconds", "captions"}
        assert column["captions"]
        for caption in column["captions"]:
            ranked = {"score"} if column["method"] in ("beam", "diverse-beam") else set()
            assert set(caption) == {"text", "log_prob", "mean_log_prob", "tokens"} | ranked


def test_table(run):
    status, output, _ = run()
    assert status == 0
    title, empty, header, *lines = output.splitlines()
    assert title.startswith("picture.png captioned by bundle in ") and not empty
    assert header.split() == ["column", "seconds", "tokens", "log", "p/token", "score", "caption"]
    assert len(lines) == 3 + 4 + 4
    assert lines[0].startswith("Hypothesis 0") and lines[3].startswith("Beam search")
    assert lines[4].startswith(" ")


@pytest.mark.parametrize(
    ("arguments", "captions"),
    [
        ((), 4),
        (("--beams", "2"), 2),
        (("--beams", "5"), 5),
        (("--beams", "6", "--groups", "3", "--diversity-penalty", "1.5"), 6),
    ],
)
def test_options(run, arguments, captions):
    _, output, _ = run("--json", "--max-new-tokens", "4", *arguments)
    columns = json.loads(output)["columns"]
    assert [len(column["captions"]) for column in columns] == [1, 1, 1, captions, captions]
    assert max(caption["tokens"] for column in columns for caption in column["captions"]) <= 4


def test_the_searches_options(run, monkeypatch):
    asked = []
    compare = Captioner.compare

    def listening(self, media, options, **others):
        asked.append(options)
        return compare(self, media, options, **others)

    monkeypatch.setattr(Captioner, "compare", listening)
    changes = {
        "hypothesis_beams": 3,
        "min_new_tokens": 5,
        "repetition_penalty": 1.5,
        "no_repeat_ngram_size": 3,
        "length_penalty": -0.5,
    }
    run()
    status, *_ = run(*(f"--{name.replace('_', '-')}={value}" for name, value in changes.items()))
    assert status == 0 and asked[1] == replace(asked[0], **changes)


def test_a_sampling_column(run):
    def drawn(*arguments):
        _, output, _ = run("--json", "--max-new-tokens", "8", "--samples", "4", *arguments)
        *others, sampling = json.loads(output)["columns"]
        assert [column["id"] for column in others] == IDS
        assert (sampling["id"], sampling["method"], len(sampling["captions"])) == ("sampling", "sampling", 4)
        return [caption["text"] for caption in sampling["captions"]]

    first = drawn()
    assert len(set(first)) > 1
    assert drawn("--seed", "0", "--top-p", "0.95") == first != drawn("--seed", "1")
    assert len(set(drawn("--top-k", "1"))) == len(set(drawn("--typical-p", "1e-9"))) == 1
    assert len(set(drawn("--temperature", "1e-6"))) == 1


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ((), {"file": "missing.png"}, "There is no file missing.png"),
        ((), {"file": __file__}, "test_cli.py is neither an image nor a sound"),
        ((), {"model": "nowhere"}, "There is no bundle folder nowhere"),
        (("--beams", "4", "--groups", "3"), {}, "num_beam_groups must divide num_beams"),
        (("--beams", "0"), {}, "num_beams must be a whole number"),
        (("--diversity-penalty", "-1"), {}, "diversity_penalty must be a finite number from 0 to 1000"),
        (("--max-new-tokens", "0"), {}, "max_new_tokens must be a whole number"),
        (("--min-new-tokens", "13"), {}, "min_new_tokens must be at most max_new_tokens: 13 > 12"),
        (("--max-new-tokens", "4000"), {}, "too long for the model, which has 512 positions"),
        (("--beams", "many"), {}, "invalid int value"),
        (("--samples", "-1"), {}, "num_samples must be a whole number from 0"),
        (("--samples", "2", "--temperature", "0"), {}, "temperature must be above 0"),
        (("--top-p", "0.5"), {}, "--top-p says how samples are drawn: ask for some with --samples"),
        (("--acceleration", "magic"), {}, "invalid choice: 'magic'"),
    ],
)
def test_a_users_error_is_a_message_and_status_2(run, arguments, given, message):
    status, output, errors = run(*arguments, **given)
    assert status == 2
    assert output == ""
    assert message in errors and "Traceback" not in errors


def test_as_a_program(tiny_bundle):
    done = subprocess.run(
        [sys.executable, "-m", "lora_mcl", "caption", "missing.png", "--model", str(tiny_bundle)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "lora_mcl: There is no file missing.png."


@pytest.fixture
def long_clip(tmp_path):
    """2.5 s of sound; the tiny model takes 1 s."""
    path = tmp_path / "long.wav"
    soundfile.write(path, chirp(2.5), SAMPLING_RATE)
    return path


def test_a_sound(run, clip, tiny_audio_bundle):
    status, output, errors = run("--json", file=clip, model=tiny_audio_bundle)
    assert status == 0 and errors == ""
    table = json.loads(output)
    assert [column["id"] for column in table["columns"]] == IDS and table["media"] == "clip.wav"
    assert table["window"]["end"] == table["window"]["duration"] == pytest.approx(0.8, abs=0.001)


def test_the_part_of_a_sound(run, long_clip, tiny_audio_bundle):
    status, output, errors = run("--json", file=long_clip, model=tiny_audio_bundle)
    assert status == 0
    assert errors.splitlines() == [
        "lora_mcl: The model takes second 0.0 to 1.0 of this sound's 2.5. Choose another part with --start."
    ]
    status, later, errors = run("--json", "--start", "1.5", file=long_clip, model=tiny_audio_bundle)
    assert json.loads(later)["window"] == {"start": 1.5, "end": 2.5, "duration": 2.5}
    assert "second 1.5 to 2.5" in errors
    assert json.loads(later)["columns"][0]["captions"] != json.loads(output)["columns"][0]["captions"]


def test_how_the_base_is_loaded(run, clip, tiny_audio_bundle):
    whole = ("--device", "cpu", "--dtype", "bfloat16", "--json")
    status, output, _ = run(*whole, file=clip, model=tiny_audio_bundle)
    assert status == 0 and json.loads(output)["columns"][0]["captions"][0]["text"]
    for arguments, message in (
        (("--device", "cpu", "--device-map", "auto"), "either device or device_map"),
        (("--dtype", "int4"), "invalid choice"),
        (("--start", "3"), "start must be a number of seconds from 0 to 0.6"),
    ):
        status, _, errors = run(*arguments, file=clip, model=tiny_audio_bundle)
        assert status == 2 and message in errors


def test_a_file_of_the_other_kind(run, clip, picture, tiny_audio_bundle):
    status, _, errors = run(file=clip)
    assert status == 2 and "clip.wav is an audio file; bundle takes image files" in errors
    status, _, errors = run(file=picture, model=tiny_audio_bundle)
    assert status == 2 and "picture.png is an image file; audio-bundle takes audio files" in errors


def test_a_sound_with_no_model_named(clip, capsys, monkeypatch, tiny_audio_bundle, tmp_path):
    monkeypatch.setattr("lora_mcl.cli.loading.EMBEDDED_AUDIO_BUNDLE", tmp_path / "nothing")
    assert main(["caption", str(clip)]) == 2
    assert "Name a bundle for audio files with --model" in capsys.readouterr().err
    monkeypatch.setattr("lora_mcl.cli.loading.EMBEDDED_AUDIO_BUNDLE", tiny_audio_bundle)
    assert main(["caption", str(clip)]) == 0
    assert capsys.readouterr().out.startswith("clip.wav captioned by audio-bundle in ")


@pytest.fixture
def photos(picture, tmp_path):
    """A folder with two pictures, one of them deeper, a broken one, and what is no picture."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(picture, folder / "b.png")
    shutil.copy(picture, folder / "more" / "a.png")
    (folder / "broken.png").write_bytes(picture.read_bytes()[:60])
    (folder / "notes.txt").write_text("Not a picture.")
    (folder / ".hidden.png").write_bytes(picture.read_bytes())
    return folder


def test_a_folder_as_json_lines(run, photos, tmp_path):
    out = tmp_path / "captions.jsonl"
    status, output, errors = run("--out", str(out), file=photos)
    assert status == 1 and output == ""
    first, second = map(json.loads, out.read_text().splitlines())
    assert (first["file"], second["file"]) == (str(photos / "b.png"), str(photos / "more" / "a.png"))
    assert [column["id"] for column in first["columns"]] == IDS
    assert first["columns"][0]["captions"] == second["columns"][0]["captions"]  # the same picture
    assert "[1/3]" in errors and "[3/3]" in errors
    assert "broken.png is damaged" in errors and "1 of 3 files were left out" in errors
    assert "1 files in" in errors and "neither images nor sounds" in errors


def test_many_files_as_csv(run, picture, tmp_path):
    out = tmp_path / "captions.csv"
    status, _, _ = run("--out", str(out), file=[picture, picture])
    assert status == 0
    rows = list(csv.DictReader(out.open(newline="")))
    assert len(rows) == 2 * (3 + 4 + 4)
    assert [row["column"] for row in rows[:4]] == [*IDS[:3], "beam"]
    assert [row["rank"] for row in rows[3:7]] == ["1", "2", "3", "4"]
    assert rows[0]["score"] == "" and float(rows[3]["score"]) > float(rows[4]["score"])
    assert rows[0]["caption"] == rows[11]["caption"]


def test_text_files_are_captions_to_train_on(run, photos, tmp_path):
    (photos / "broken.png").unlink()
    status, _, _ = run("--out", str(tmp_path / "texts"), file=photos)
    assert status == 0
    assert sorted(path.name for path in (tmp_path / "texts").iterdir()) == ["a.txt", "b.txt"]
    assert len((tmp_path / "texts" / "a.txt").read_text().splitlines()) == 3
    # Again, and with one name twice: nothing is left of before, and nothing is written over.
    shutil.copy(photos / "b.png", photos / "more" / "b.png")
    assert run("--out", str(tmp_path / "texts"), file=photos)[0] == 0
    assert sorted(path.name for path in (tmp_path / "texts").iterdir()) == ["a.txt", "b-2.txt", "b.txt"]


def test_the_report_of_a_folder(run, photos, tmp_path):
    out, report = tmp_path / "captions.jsonl", tmp_path / "report.html"
    status, _, _ = run("--beams", "2", "--out", str(out), "--report", str(report), file=photos)
    text = report.read_text(encoding="utf-8")
    assert status == 1 and len(out.read_text().splitlines()) == 2
    assert text.count("data:image/jpeg;base64,") == 2 and "Captions of 3 files" in text
    assert "Left out: broken.png is damaged" in text and "<dt>num_beams</dt><dd>2</dd>" in text
    for column in json.loads(out.read_text().splitlines()[0])["columns"]:
        assert column["label"] in text
        assert f"log-prob. −{-column['captions'][0]['log_prob']:.1f}" in text


def test_the_report_of_one_file(run, picture, tmp_path):
    status, output, _ = run("--report", str(tmp_path / "report.html"))
    assert status == 0 and "captioned by bundle in" in output
    assert "Captions of picture.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "start"), [("slide.png", b"\x89PNG"), ("slide.svg", b"<svg")])
def test_a_slide(run, tmp_path, name, start):
    status, output, _ = run("--slide", str(tmp_path / name))
    assert status == 0 and "captioned by bundle in" in output
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_slide_of_a_sound_next_to_its_report(run, clip, tiny_audio_bundle, tmp_path):
    slide, report = tmp_path / "slide.svg", tmp_path / "report.html"
    status, _, _ = run("--slide", str(slide), "--report", str(report), file=clip, model=tiny_audio_bundle)
    assert status == 0 and "data:image/jpeg;base64," in slide.read_text() and "<audio" in report.read_text()


def test_report_slide_and_table_in_french(run, picture, photos, tmp_path):
    report, table = tmp_path / "rapport.html", tmp_path / "legendes.csv"
    status, _, _ = run("--report", str(report), "--out", str(table), "--language", "fr", file=photos)
    text = unescape(report.read_text(encoding="utf-8"))
    assert status == 1 and "Légendes de 3 fichiers" in text and "Laissé de côté\u00a0: broken.png est endommagé" in text
    assert table.read_text(encoding="utf-8").startswith("fichier,colonne,rang,légende,")
    assert run("--slide", str(tmp_path / "slide.svg"), "--language", "fr", file=picture)[0] == 0
    assert "Recherche en faisceau" in (tmp_path / "slide.svg").read_text(encoding="utf-8")


def test_many_files_on_the_screen(run, picture):
    status, output, _ = run("--json", file=[picture, picture])
    assert status == 0 and len(output.splitlines()) == 2
    status, output, _ = run(file=[picture, picture])
    assert status == 0 and output.count("captioned by bundle in") == 2


@pytest.mark.parametrize("order", ["before", "between", "after", "in the middle of"])
def test_files_may_stand_before_and_after_options(picture, tiny_bundle, capsys, order):
    files, model = [str(picture)] * 2, ["--model", str(tiny_bundle)]
    arguments = {
        "before": [*files, *model, "--json"],
        "between": [files[0], *model, files[1], "--json"],
        "after": [*model, "--json", *files],
        "in the middle of": ["--json", files[0], *model, files[1]],
    }
    assert main(["caption", *arguments[order]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["describe"], "invalid choice: 'describe'"),
        (["caption"], "required: FILE"),
        (["caption", "a.png", "--bems", "2"], "unrecognized arguments: --bems 2"),
        (["caption", "a.png", "--json", "--samples", "many"], "argument --samples: invalid int value: 'many'"),
        (["push", "folder"], "required: "),
    ],
)
def test_arguments_that_are_none(capsys, arguments, message):
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["caption", "export", "push", "import-official"])
def test_every_command_has_help(capsys, command):
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as leaving:
            main(arguments)
        assert leaving.value.code == 0 and command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "file", "message"),
    [
        (
            (),
            "https://host/photo.jpg",
            "https://host/photo.jpg is an address, and files are not fetched from the",
        ),
        (("--out", "captions.xml"), "picture.png", "give a file that ends in .jsonl or .csv, or a folder"),
        (("--out", "/proc/no/captions.csv"), "picture.png", "cannot be written: No such file"),
        (("--slide", "slide.pdf"), "picture.png", "--slide slide.pdf: give a file that ends in .png or .svg"),
        (("--slide", "slide.png"), "empty", "--slide shows one comparison: give one file"),
        (("--report", "picture.png"), "picture.png", "--report picture.png: give a file that ends in .html"),
        (("--revision", "v1"), "picture.png", "is a folder; only a Hub id has a revision"),
        ((), "empty", "There are no images and no sounds in empty"),
    ],
)
def test_mistakes_with_files(run, picture, tmp_path, monkeypatch, arguments, file, message):
    monkeypatch.chdir(tmp_path)
    shutil.copy(picture, "picture.png")
    (tmp_path / "empty").mkdir()
    status, output, errors = run(*arguments, file=file)
    assert status == 2 and message in errors and output == ""
