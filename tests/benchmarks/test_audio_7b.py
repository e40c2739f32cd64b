"""The benchmark of Qwen2-Audio-7B's shape runs on a tiny model; the large model's size by its configuration."""

import gc
import json
import math
import weakref
from importlib.util import find_spec

import pytest
import torch
from transformers import Qwen2AudioForConditionalGeneration

from benchmarks import audio_7b
from lora_mcl.models import AudioLanguageModel

COLUMNS = {"hypothesis-0": 1, "hypothesis-1": 1, "hypothesis-2": 1, "beam": 3, "diverse-beam": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a tiny run, and its results."""
    folder = tmp_path_factory.mktemp("audio-7b")
    out = folder / "results" / "audio.json"
    assert audio_7b.main(["--tiny", "--folder", str(folder), "--out", str(out)]) == 0
    return folder, json.loads(out.read_text())


def test_the_results(run):
    _, results = run
    about = {"device", "torch", "transformers", "shape", "parameters", "parameters_per_adapter"}
    measured = {"load_seconds", "loaded_gib", "peak_gib", "first_request", "second_request", "columns"}
    assert set(results) == about | {"device_map", "load_in_4bit", "acceleration"} | measured
    assert (results["device"], results["loaded_gib"], results["peak_gib"]) == ("cpu", None, None)
    assert results["shape"]["text"]["vocab_size"] == 512
    # Rank 8 on 2 layers: four products 64 x 64 and three 64 x 128.
    assert results["parameters_per_adapter"] == 8 * 2 * (4 * (64 + 64) + 3 * (64 + 128))
    assert results["load_seconds"] > 0
    for request in (results["first_request"], results["second_request"]):
        assert 0 < request["first_token_seconds"] < request["total_seconds"]
        assert 0 < request["ms_per_token"] < 1000 * request["total_seconds"]


def test_every_caption_is_as_long_as_asked(run):
    _, results = run
    written = {column["id"]: column["captions"] for column in results["columns"]}
    assert {id: len(captions) for id, captions in written.items()} == COLUMNS
    for caption in (caption for captions in written.values() for caption in captions):
        assert caption["tokens"] == results["shape"]["new_tokens"]
        assert math.isfinite(caption["log_prob"]) and caption["log_prob"] < 0
    # The adapters were read: each hypothesis writes something else.
    assert len({written[f"hypothesis-{k}"][0]["log_prob"] for k in range(3)}) == 3


def test_what_is_written_is_laid_out_like_the_published_model(run):
    folder, results = run
    model = AudioLanguageModel.load(folder / "base", dtype=torch.bfloat16)
    assert model.model.num_parameters() == results["parameters"]
    assert {tensor.dtype for tensor in model.model.parameters()} == {torch.bfloat16}
    assert len(model.tokenizer) == 512 and all(model.tokenizer.decode([token]) for token in range(512))
    assert (model.eos_token_ids, model.max_seconds) == ((0, 2), 30)
    inputs = model.inputs(torch.zeros(30 * 16_000).numpy(), audio_7b.PROMPT)
    assert inputs["input_features"].shape == (1, 128, 3000)
    assert int((inputs["input_ids"] == model.model.config.audio_token_id).sum()) == 750
    assert inputs["input_ids"].shape[1] < 800


def test_a_folder_is_written_once(run, capsys):
    folder, results = run
    weights = folder / "base" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert audio_7b.main(["--tiny", "--folder", str(folder), "--device-map", "auto"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert weights.stat().st_mtime_ns == written and again["device_map"] == "auto"
    captions = [[column["captions"] for column in found["columns"]] for found in (results, again)]
    assert captions[0] == captions[1]


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (it has no wheel here)")
def test_the_same_folder_in_4_bits(run, capsys):
    folder, results = run
    assert audio_7b.main(["--tiny", "--folder", str(folder), "--load-in-4bit"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["load_in_4bit"] and again["parameters"] == results["parameters"]
    (before, *_), (now, *_) = results["columns"], again["columns"]
    assert now["captions"][0]["tokens"] == 6 and math.isfinite(now["captions"][0]["log_prob"])
    assert now["captions"][0]["log_prob"] != before["captions"][0]["log_prob"]


def test_a_folder_of_another_shape_is_refused(run, monkeypatch, capsys):
    folder, _ = run
    monkeypatch.setattr(audio_7b, "TINY", audio_7b.PUBLISHED)
    with pytest.raises(SystemExit):
        audio_7b.main(["--tiny", "--folder", str(folder)])
    assert "another shape" in capsys.readouterr().err


def test_the_model_that_was_written_is_given_back(tmp_path, monkeypatch):
    made = []

    def save(model, *arguments, **keywords):
        made.append(weakref.ref(model))
        return saving(model, *arguments, **keywords)

    saving = Qwen2AudioForConditionalGeneration.save_pretrained
    monkeypatch.setattr(Qwen2AudioForConditionalGeneration, "save_pretrained", save)
    audio_7b.build(tmp_path, audio_7b.TINY, torch.device("cpu"))
    gc.collect()
    assert [reference() for reference in made] == [None]


def test_the_published_size():
    with torch.device("meta"):
        model = Qwen2AudioForConditionalGeneration(audio_7b.PUBLISHED.config())
    assert model.num_parameters() == 8_397_094_912


def test_timing_by_hand():
    assert audio_7b.timing(1.0, [1.5, 1.7, 1.8, 1.9]) == {
        "first_token_seconds": 0.5,
        "ms_per_token": 100.0,
        "total_seconds": 0.9,
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_needs_a_gpu(capsys):
    assert audio_7b.main([]) == 2
    assert "--tiny" in capsys.readouterr().out
