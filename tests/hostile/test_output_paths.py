"""Every program that writes results says in one line that it cannot, before it computes anything."""

import pytest

from deploy import caption_dataset, space
from lora_mcl.cli import main as library_main
from tests.support.captioned_files import picture_folder
from tests.support.official_checkpoints import CLASSES, draw, write_grouped
from training import evaluate, score_head


@pytest.fixture
def out(tmp_path):
    """A path below a file."""
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "out"


@pytest.fixture
def checkpoint(tmp_path, tiny_base):
    """A checkpoint of the authors' code on the tiny base."""
    model = CLASSES["image"].from_pretrained(tiny_base)
    write_grouped(tmp_path / "official", "image", draw(model, "image"))
    return tmp_path / "official"


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (evaluate.main, "--model {bundle} --data {media} --out {out}"),
        (score_head.main, "--model {bundle} --data {media} --report {out}/report.json"),
        (library_main, "export {bundle} --merge 0 --out {out}/merged"),
        (library_main, "import-official {checkpoint} --base {base} --modality image --out {out}/bundle"),
        (library_main, "caption {media} --model {bundle} --out {out}"),
        (space.main, "--out {out}/space"),
        (caption_dataset.main, "{media} --bundle {bundle} --out {out}/captions.jsonl"),
    ],
)
def test_the_last_line_says_why(main, words, out, checkpoint, tiny_base, tiny_bundle, tmp_path, capsys):
    media = picture_folder(tmp_path / "pictures", 3)
    paths = {"out": out, "bundle": tiny_bundle, "base": tiny_base, "checkpoint": checkpoint, "media": media}
    capsys.readouterr()
    assert main([word.format(**paths) for word in words.split()]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert str(out) in line and "cannot be written" in line and line.rstrip(".").endswith(("directory", "exists"))
