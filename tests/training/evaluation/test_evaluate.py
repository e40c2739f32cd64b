"""The evaluation program on tiny bundles and generated media, from the command line to its tables."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, load_bundle, save_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding import BeamSearch, DiverseBeamSearch, Greedy
from lora_mcl.errors import LoraMclError
from lora_mcl.models import LANGUAGE_MODELS
from lora_mcl.models.labels import ChatLabels
from lora_mcl.trainer.batch import PromptBatch, caption_nll
from tests.support.captioned_files import picture_folder, sound_folder
from training import evaluate as program
from training.data import DataOptions, load_examples
from training.evaluation.captioning import group_by_media
from training.evaluation.description import describe
from training.evaluation.options import EvaluationOptions
from training.evaluation.systems import AUGMENTATION, HYPOTHESES, systems_of

SHORT = ["--max-new-tokens", "4", "--batch", "2"]


@pytest.fixture(autouse=True)
def without_java(monkeypatch):
    """METEOR starts slowly; what it gives is tested with the metrics."""
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return picture_folder(tmp_path_factory.mktemp("data") / "pictures", 3)


def run(bundle, data, out, *more):
    return program.main(["--model", str(bundle), "--data", str(data), "--out", str(out), *SHORT, *more])


def lines_of(out):
    return [json.loads(line) for line in (out / "captions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def evaluated(tiny_bundle, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "pictures"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.which", lambda name: None)
        assert run(tiny_bundle, pictures, out, "--beams", "2") == 0
    return out


def test_results_of_all_systems(evaluated):
    results = json.loads((evaluated / "results.json").read_text())
    assert results["media"] == 3 and results["tokens"] == "words"
    assert list(results["systems"]) == [
        HYPOTHESES,
        "beam search",
        "diverse beam search 0.5",
        "diverse beam search 0.8",
        "diverse beam search 1.0",
        "ancestral sampling",
        "nucleus sampling .95",
        "top-k sampling 50",
        "typical sampling .95",
        AUGMENTATION,
    ]
    for name, system in results["systems"].items():
        assert system["captions"] == 3
        assert system["rows"] == (3 if "sampling" in name else 6)
        assert system["quality"]["cider_d"]["best"] >= system["quality"]["cider_d"]["mean"]
        assert system["quality"]["meteor"].startswith("unavailable: METEOR is a Java program")
        assert system["diversity"]["vocabulary"] > 0
        assert system["forwards"] > 0 and system["seconds"] > 0 and system["cpu_seconds"] > 0
    likelihood = results["likelihood"]
    assert set(likelihood) == {"hypotheses", "baseline"}
    assert likelihood["hypotheses"]["best"] <= likelihood["hypotheses"]["mixture"] <= likelihood["hypotheses"]["mean"]
    assert likelihood["baseline"]["best"] == likelihood["baseline"]["mixture"]
    assert sum(one["wins"] for one in results["specialisation"]["hypotheses"]) == pytest.approx(1, abs=1e-3)


def test_table_marks_what_is_unavailable(evaluated):
    table = (evaluated / "results.md").read_text(encoding="utf-8")
    head = next(line for line in table.splitlines() if line.startswith("| system"))
    row = next(line for line in table.splitlines() if line.startswith("| hypotheses | "))
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert cells["METEOR"] == cells["SPIDEr"] == "–"
    assert "- METEOR: unavailable: METEOR is a Java program" in table
    assert "not on Penn Treebank tokens" in table
    best = json.loads((evaluated / "results.json").read_text())["systems"][HYPOTHESES]["quality"]["cider_d"]["best"]
    assert cells["CIDEr-D"].startswith(f"{best:.3f} (")


def test_likelihood_is_that_of_each_reference_alone(evaluated, tiny_bundle, pictures):
    """Batches, padding and shared prompts change nothing."""
    bundle = load_bundle(tiny_bundle)
    model = LANGUAGE_MODELS["image"].load(bundle.base_location())
    stack = AdapterStack.from_peft(model.model, bundle.adapter_folders())
    labels = ChatLabels(model, bundle.prompt)
    evaluator = program.load_evaluator(str(tiny_bundle), EvaluationOptions(), "cpu")
    media = {one.name: one for one in group_by_media(load_examples(DataOptions("folder", str(pictures))))}
    for line in lines_of(evaluated):
        content = evaluator.read(media[line["media"]])
        prompt = model.encode(content, bundle.prompt)
        for r, reference in enumerate(line["references"]):
            caption = torch.tensor([labels.caption_ids(reference)])
            assert caption.shape[1] == line["tokens"][r]
            for a, name in enumerate(["hypothesis-0", "hypothesis-1", "hypothesis-2", "baseline"]):
                with torch.no_grad(), stack.rows([stack.index(name)]):
                    alone = caption_nll(model.model, PromptBatch(prompt.inputs_embeds, prompt.attention_mask), caption)
                assert line["nll"][a][r] == pytest.approx(float(alone), abs=2e-4)


def test_hypotheses_give_the_captions_of_the_app(evaluated, tiny_captioner):
    """With its options: two beams each, four tokens."""
    options = tiny_captioner.defaults.with_changes({"hypothesis_beams": 2, "max_new_tokens": 4})
    line = lines_of(evaluated)[0]
    *_, final = tiny_captioner.compare(line["media"], options)
    assert line["captions"][HYPOTHESES] == list(final.captions("hypothesis"))


def test_it_goes_on_where_it_was_cut(evaluated, tiny_bundle, pictures, tmp_path, monkeypatch):
    out = tmp_path / "cut"
    out.mkdir()
    whole = (evaluated / "captions.jsonl").read_text(encoding="utf-8")
    first = whole.splitlines(keepends=True)[0]
    (out / "captions.jsonl").write_text(first + first[:40], encoding="utf-8")
    (out / "settings.json").write_text((evaluated / "settings.json").read_text())
    asked = []
    read = program.Evaluator.read
    monkeypatch.setattr(program.Evaluator, "read", lambda self, medium: asked.append(medium) or read(self, medium))
    assert run(tiny_bundle, pictures, out, "--beams", "2") == 0
    assert len(asked) == 2
    without_seconds = [{key: value for key, value in line.items() if key != "cost"} for line in lines_of(out)]
    before = [{key: value for key, value in line.items() if key != "cost"} for line in lines_of(evaluated)]
    assert [one["media"] for one in without_seconds] == [one["media"] for one in before]
    assert [one["captions"] for one in without_seconds] == [one["captions"] for one in before]


def test_sounds_with_adapters_on_the_tower(tiny_audio_base, tmp_path):
    """As in the paper's audio runs; every hypothesis then hears the clip through its own tower."""
    model = LANGUAGE_MODELS["audio"].load(tiny_audio_base).model
    names = ["hypothesis-0", "hypothesis-1", "baseline"]
    stack = AdapterStack.attach(
        model,
        [AdapterSpec(name, 2, 16.0, target_modules=["q_proj", "k_proj"]) for name in names],
        generator=torch.Generator().manual_seed(0),
    )
    for name in names:
        for _, b in stack.tensors(name).values():
            b.data.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name) + names.index(name)))
        stack.save(name, tmp_path / "bundle" / name)
    refs = [AdapterRef(name, name) for name in names]
    save_bundle(
        Bundle(
            tmp_path / "bundle",
            "bundle",
            BaseRef.of(tiny_audio_base, tmp_path / "bundle"),
            "Describe.",
            tuple(refs[:2]),
            refs[2],
            modality="audio",
        )
    )
    assert run(tmp_path / "bundle", sound_folder(tmp_path / "sounds", 2), tmp_path / "out") == 0
    captioner = Captioner.load(tmp_path / "bundle", device="cpu")
    options = captioner.defaults.with_changes({"max_new_tokens": 4, "num_beams": 2, "num_beam_groups": 2})
    for line in lines_of(tmp_path / "out"):
        *_, final = captioner.compare(line["media"], options)
        assert line["captions"][HYPOTHESES] == list(final.captions("hypothesis"))
        assert line["captions"]["beam search"] == list(final.captions("beam"))
        assert line["captions"][AUGMENTATION][0] is not None and len(line["captions"][AUGMENTATION]) == 2
        assert all(math.isfinite(value) for of_adapter in line["nll"] for value in of_adapter)


def test_systems_have_equal_budgets(tiny_bundle):
    """Two beams for each of three hypotheses: six beams for the single adapter, of which it gives three captions."""
    bundle = load_bundle(tiny_bundle)
    model = LANGUAGE_MODELS["image"].load(bundle.base_location())
    stack = AdapterStack.from_peft(model.model, bundle.adapter_folders())
    systems = {system.name: system for system in systems_of(bundle, stack, 3, 2, seed=0)}
    assert systems[HYPOTHESES].strategy == BeamSearch(2, 1)
    assert systems["beam search"].strategy == BeamSearch(6, 3)
    assert systems["diverse beam search 0.8"].strategy == DiverseBeamSearch(6, 3, 0.8, 3)
    assert {system.rows for name, system in systems.items() if "sampling" not in name} == {6}
    greedy = {system.name: system for system in systems_of(bundle, stack, 3, 1, seed=0)}
    assert greedy[HYPOTHESES].strategy == Greedy()
    assert greedy["beam search"].adapters == (stack.index("baseline"),)


def test_bad_input_is_one_sentence(tiny_bundle, pictures, tmp_path, capsys, evaluated):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    shutil.copytree(tiny_bundle.parent, tmp_path / "tiny")
    one_hypothesis = tmp_path / "tiny" / tiny_bundle.name
    table = json.loads((one_hypothesis / "bundle.json").read_text())
    (one_hypothesis / "bundle.json").write_text(json.dumps(table | {"hypotheses": table["hypotheses"][:1]}))
    cases = [
        ((tmp_path / "no-bundle", pictures), "There is no bundle folder"),
        ((tiny_bundle, tmp_path / "nowhere"), "There are no data"),
        ((tiny_bundle, tmp_path / "notes.txt"), "is no table of captions"),
        ((tiny_bundle, tmp_path / "empty"), "empty"),
        ((tiny_bundle, "clotho"), "clotho holds audio data, and the bundle is for image data"),
        ((tiny_bundle, "textcaps"), "data/textcaps"),
        ((tiny_bundle, pictures, "--beams", "0"), "beams must be"),
        ((one_hypothesis, pictures, "--label"), "--label describes the hypotheses of a bundle in a folder"),
        ((tiny_bundle, pictures, "--captions", "5"), "--captions is for a bundle of one hypothesis"),
    ]
    for arguments, message in cases:
        bundle, data, *more = arguments
        assert run(bundle, data, tmp_path / "out", *more) == 2
        output = capsys.readouterr().err.strip()
        assert message in output and output.startswith("evaluate: ") and "\n" not in output
    assert run(tiny_bundle, pictures, evaluated, "--beams", "1") == 2
    assert "beams was 2 and is 1" in capsys.readouterr().err


def test_a_bundle_trained_again_in_its_folder_is_another_one(evaluated, tiny_bundle, pictures, tmp_path, capsys):
    shutil.copytree(tiny_bundle.parent, tmp_path / "tiny")
    bundle, out = tmp_path / "tiny" / tiny_bundle.name, tmp_path / "out"
    shutil.copytree(evaluated, out)
    settings = json.loads((out / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps(settings | {"model": str(bundle)}))
    weights = bundle / load_bundle(bundle).hypotheses[1].path / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    assert run(bundle, pictures, out, "--beams", "2") == 2
    assert "holds an evaluation with other settings (adapters was '" in capsys.readouterr().err


def test_media_that_cannot_be_read_are_left_out(tiny_bundle, tmp_path, caplog):
    folder = picture_folder(tmp_path / "some", 2)
    (folder / "000.png").write_bytes(b"no picture")
    assert run(tiny_bundle, folder, tmp_path / "out") == 0
    assert [line["media"] for line in lines_of(tmp_path / "out")] == [str(folder / "001.png")]
    assert "000.png is left out" in caplog.text


def test_nothing_but_broken_media(tiny_bundle, tmp_path, capsys):
    folder = picture_folder(tmp_path / "some", 1)
    (folder / "000.png").write_bytes(b"no picture")
    assert run(tiny_bundle, folder, tmp_path / "out") == 2
    assert "none of the media can be decoded" in capsys.readouterr().err


def test_interruption_prints_how_to_go_on(tiny_bundle, pictures, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "caption_batch", stop)
    assert run(tiny_bundle, pictures, tmp_path / "out") == 130
    assert "goes on after the last medium" in capsys.readouterr().err


def test_errors_are_for_users():
    with pytest.raises(LoraMclError, match="seed"):
        EvaluationOptions(seed=-1)


def test_hypotheses_are_labelled_by_what_distinguishes_them(evaluated, tiny_bundle, pictures, tmp_path):
    """With the lines of an earlier evaluation nothing is captioned again."""
    shutil.copytree(tiny_bundle.parent, tmp_path / "tiny")
    bundle, out = tmp_path / "tiny" / tiny_bundle.name, tmp_path / "out"
    shutil.copytree(evaluated, out)
    settings = json.loads((out / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps(settings | {"model": str(bundle)}))
    assert run(bundle, pictures, out, "--beams", "2", "--label") == 0
    results = json.loads((out / "results.json").read_text())
    labels = [ref.label for ref in load_bundle(bundle).hypotheses]
    assert labels == [label for label, _ in describe(results["specialisation"]["hypotheses"])]
    assert len(set(labels)) == 3 and labels != [ref.label for ref in load_bundle(tiny_bundle).hypotheses]
