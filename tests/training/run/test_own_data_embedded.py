"""The configurations for one's own files, on the embedded models: a few steps, and the bundle answers."""

import re
import shutil

import pytest

from lora_mcl.bundle import load_bundle
from lora_mcl.cli import main as lora_mcl
from tests.support.paths import ROOT
from training.train import main as train

CAPTIONS = "A red apple on a table.\nUne pomme rouge sur une table.\n"
FEW = ["training.steps=2", "training.batch_size=2", "training.evaluate_every=2", "training.log_every=1"]


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "ending", "plural"), [("image", "jpg", "images"), ("audio", "flac", "sounds")])
def test_a_few_steps(tmp_path, monkeypatch, capsys, modality, ending, plural):
    media = sorted((ROOT / "assets" / "examples" / modality).glob(f"*.{ending}"))[:4]
    (tmp_path / "mine").mkdir()
    for file in media:
        shutil.copy(file, tmp_path / "mine")
        (tmp_path / "mine" / f"{file.stem}.txt").write_text(CAPTIONS)
    monkeypatch.chdir(ROOT)  # the base is named from there
    output = tmp_path / "run"
    words = [f"training/configs/own-{plural}.yaml", f"data.path={tmp_path / 'mine'}", f"output={output}", *FEW]
    assert train([*words, "data.workers=0", "data.validation_share=0.25"]) == 0
    log = capsys.readouterr().out
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", log)]
    assert len(losses) == 2 and all(0 < loss < 15 for loss in losses)
    assert len(load_bundle(output / "bundle").hypotheses) == 3
    assert lora_mcl(["caption", str(media[0]), "--model", str(output / "bundle")]) in (0, None)
    output = capsys.readouterr().out
    assert all(f"Hypothesis {k}" in output for k in (1, 2, 3))
