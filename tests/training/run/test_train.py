"""The training program from a configuration to a bundle that captions, on tiny models and generated files."""

import json
import re

import pytest
import torch
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file

from lora_mcl.bundle import load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.errors import BundleError, OptionsError
from tests.support.captioned_files import picture_folder, sound_folder
from tests.support.training_runs import config, settings
from training import train as program
from training.data import DataError
from training.run.config import load_config
from training.run.finish import with_baseline
from training.run.options import TrainConfig
from training.run.run_trainer import RunTrainer, out_of_memory_advice


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return picture_folder(tmp_path_factory.mktemp("data") / "pictures", 12)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return sound_folder(tmp_path_factory.mktemp("data") / "sounds", 12)


def test_from_yaml_to_a_bundle_that_captions(tmp_path, tiny_base, pictures, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path / "run", tiny_base, pictures)))
    assert program.main([str(file), "adapters.hypotheses=3", "training.learning_rate=2e-2"]) == 0
    log = capsys.readouterr().out
    assert "step 6/6 (100%)" in log and " left" in log and "Bundle: " in log
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert len(bundle.hypotheses) == 3 and bundle.gate == "gate" and bundle.prompt == "Describe."
    assert bundle.base_location().resolve() == tiny_base.resolve()
    assert "3 adapters" in (bundle.folder / "README.md").read_text()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 6 and summary["best_step"] in (3, 6) and summary["peak_memory_gib"] > 0
    assert sum(summary["wins"]) == pytest.approx(1, abs=1e-3)
    assert load_config(TrainConfig, tmp_path / "run" / "config.yaml").adapters.hypotheses == 3


def test_sounds_with_adapters_on_the_tower_too(tmp_path, tiny_audio_base, sounds):
    """As in the paper's audio runs: q, k and v by name, so the tower's as well. Media then go through all K copies."""
    run = config(
        tmp_path / "run",
        tiny_audio_base,
        sounds,
        "audio",
        adapters={"target_modules": ["q_proj", "k_proj", "v_proj"], "dropout": 0.1},
        objective={"name": "relaxed", "epsilon": 0.05},
        data={"captions_per_epoch": "all"},
    )
    bundle = program.train(run)
    adapted = json.loads((bundle / "hypotheses" / "0" / "adapter_config.json").read_text())["target_modules"]
    assert set(adapted) == {"q_proj", "k_proj", "v_proj"}
    loaded = load_bundle(bundle)
    assert loaded.gate is None and loaded.modality == "audio"


def test_the_app_captions_with_what_was_learned(tmp_path, tiny_base, pictures, picture):
    """The bundle's captions are those of the trained weights: an hypothesis that learned one sentence says it."""
    folder = picture_folder(tmp_path / "same", 6)
    for file in folder.glob("*.txt"):
        file.write_text("A red apple.\n")
    training = {"steps": 40, "learning_rate": 0.03, "evaluate_every": 40, "batch_size": 4}
    run = config(tmp_path / "run", tiny_base, folder, adapters={"hypotheses": 1, "rank": 8}, training=training)
    result = Captioner.load(program.train(run), device="cpu")
    texts = str(last(result.compare(picture))).lower()
    assert "a red apple." in texts


def last(updates):
    *_, final = updates
    return final


class Killed(Exception):
    pass


def weights(folder):
    return {
        f"{file.relative_to(folder)} {name}": tensor
        for file in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def test_a_run_goes_on_where_it_was_cut_to_the_same_bits(tmp_path, tiny_base, pictures, monkeypatch):
    changes = {"adapters": {"dropout": 0.1}, "step": {"backward": "sampled"}}
    whole = config(tmp_path / "whole", tiny_base, pictures, **changes)
    cut = config(tmp_path / "cut", tiny_base, pictures, **changes)
    program.train(whole)
    step = RunTrainer.training_step

    def dies(trainer, *args, **kwargs):
        if trainer.state.global_step == 5:
            raise Killed
        return step(trainer, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunTrainer, "training_step", dies)
        program.train(cut)
    assert not (tmp_path / "cut" / "bundle").exists()
    program.train(cut)
    before, after = (weights(tmp_path / name / "bundle") for name in ("whole", "cut"))
    assert before.keys() == after.keys() and any("gate.safetensors" in name for name in before)
    assert [name for name, tensor in before.items() if not tensor.equal(after[name])] == []


def test_another_configuration_does_not_go_on_with_a_run(tmp_path, tiny_base, pictures):
    program.save_config(config(tmp_path / "run", tiny_base, pictures))
    (tmp_path / "run" / "summary.json").write_text("{}")
    program.save_config(config(tmp_path / "run", tiny_base, pictures, training={"log_every": 1}, data={"workers": 1}))
    program.save_config(config(tmp_path / "run", tiny_base, pictures, training={"checkpoints": 3}))
    with pytest.raises(OptionsError, match="training.batch_size was 2 and is 3"):
        program.save_config(config(tmp_path / "run", tiny_base, pictures, training={"batch_size": 3}))


def test_unreadable_media_are_skipped_up_to_a_limit(tmp_path, tiny_base, caplog):
    folder = picture_folder(tmp_path / "pictures", 10)
    (folder / "003.png").write_bytes(b"not a picture")
    run = config(tmp_path / "run", tiny_base, folder, data={"validation_share": 0.0})
    program.train(run)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["skipped_media"] == 1
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "003.png is skipped" in text]) == 1
    strict = config(
        tmp_path / "strict", tiny_base, folder, data={"validation_share": 0.0, "max_broken": 0, "workers": 1}
    )
    with pytest.raises(DataError, match=r"^1 media cannot be decoded, and max_broken is 0; [^\n]*/003.png: [^\n]*$"):
        program.train(strict)


def test_a_validation_that_cannot_be_read_is_no_result(tmp_path, tiny_base, pictures, capsys):
    """It is neither a loss of 0, the best there is, nor the end of the run."""
    folder = picture_folder(tmp_path / "validation", 2)
    for file in folder.glob("*.png"):
        file.write_bytes(b"not a picture")
    data = {"validation_share": 0.0, "validation_path": str(folder)}
    bundle = program.train(config(tmp_path / "run", tiny_base, pictures, data=data))
    log = capsys.readouterr().out
    assert log.count("validation: none of its media can be read") == 2 and "Best validation" not in log
    assert "best_validation" not in json.loads((tmp_path / "run" / "summary.json").read_text())
    assert len(load_bundle(bundle).hypotheses) == 2


def test_a_run_that_diverges_ends_with_one_line(tmp_path, tiny_base, pictures, capsys):
    """Here at the validation after the last step: whose loss was still finite."""
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path / "run", tiny_base, pictures)))
    assert program.main([str(file), "training.learning_rate=1e30", "training.steps=1"]) == program.USER_ERROR
    output = capsys.readouterr()
    assert "validation: training has diverged" in output.out
    assert output.err.startswith("train: the validation after step 1 is not finite, training has diverged: lower the")
    assert not (tmp_path / "run" / "bundle").exists()


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_folder_that_cannot_be_written_to_is_one_line_before_weights_are_read(tmp_path, pictures, capsys, place):
    (tmp_path / "file").write_text("in the way")
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path / place, tmp_path / "no-base", pictures)))
    assert program.main([str(file)]) == program.USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: output {tmp_path / place} cannot be written to: ")


def test_early_stop_and_the_best_weights(tmp_path, tiny_base, pictures):
    # So large steps make the loss jump: it does not fall in two evaluations one after the other, long before the end.
    training = {"steps": 400, "learning_rate": 2.0, "evaluate_every": 2, "patience": 2, "schedule": "constant"}
    program.train(config(tmp_path / "run", tiny_base, pictures, training=training))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] < 400 and summary["best_step"] == summary["steps"] - 4
    best = load_file(tmp_path / "run" / "checkpoints" / f"checkpoint-{summary['best_step']}" / "model.safetensors")
    first = next(name for name in best if name.endswith("lora_A"))
    module = first.removeprefix("model.").removesuffix(".lora_A")
    saved = load_file(tmp_path / "run" / "bundle" / "hypotheses" / "0" / "adapter_model.safetensors")
    torch.testing.assert_close(saved[f"base_model.model.{module}.lora_A.weight"], best[first][0])


def test_a_baseline_of_another_run_goes_into_the_bundle(tmp_path, tiny_base, pictures):
    mle = config(tmp_path / "mle", tiny_base, pictures, adapters={"hypotheses": 1}, training={"steps": 2})
    baseline = program.train(mle)
    run = config(tmp_path / "run", tiny_base, pictures, bundle={"baseline": str(baseline)}, training={"steps": 2})
    bundle = load_bundle(program.train(run))
    assert bundle.baseline.label == "LoRA-MLE"
    own = (bundle.folder / "baseline" / "adapter_model.safetensors").read_bytes()
    assert own == (baseline / "hypotheses" / "0" / "adapter_model.safetensors").read_bytes()
    with pytest.raises(BundleError, match="has 2 hypotheses; a baseline has one"):
        with_baseline(bundle, bundle.folder)


def test_out_of_memory_names_three_settings(tmp_path, tiny_base, pictures):
    run = config(tmp_path / "run", tiny_base, pictures, training={"batch_size": 6, "accumulation": 2})
    advice = out_of_memory_advice(run)
    assert "training.checkpoint_activations=true" in advice
    assert "training.batch_size=3 training.accumulation=4" in advice
    assert "step.hypotheses_per_forward=1" in advice
    assert "sampled" not in advice
    least = {"batch_size": 1, "checkpoint_activations": True}
    run = config(
        tmp_path / "run", tiny_base, pictures, training=least, step={"hypotheses_per_forward": 1, "backward": "all"}
    )
    assert "step.backward=sampled" in out_of_memory_advice(run)


def test_mistakes_give_one_line(tmp_path, tiny_base, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path / "run", tiny_base, tmp_path / "nothing")))
    assert program.main([str(file)]) == program.USER_ERROR
    assert capsys.readouterr().err == f"train: There is no folder {tmp_path / 'nothing'}: check the path\n"
    assert not (tmp_path / "run").exists()
    assert program.main([str(file), "training.lerning_rate=1"]) == program.USER_ERROR
    assert "did you mean training.learning_rate?" in capsys.readouterr().err


def test_print_config_shows_every_setting_and_reads_back(tmp_path, tiny_base, pictures, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path / "run", tiny_base, pictures)))
    assert program.main([str(file), "--print-config", "adapters.rank=4"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "again.yaml").write_text(printed)
    again = load_config(TrainConfig, tmp_path / "again.yaml")
    assert again == config(tmp_path / "run", tiny_base, pictures, adapters={"rank": 4})


def test_a_run_without_a_checkpoint_may_change_its_settings(tmp_path, tiny_base, pictures):
    """It failed before there was anything to go on from."""
    program.save_config(config(tmp_path / "run", tiny_base, pictures))
    program.save_config(config(tmp_path / "run", tiny_base, pictures, training={"batch_size": 3}))
    assert load_config(TrainConfig, tmp_path / "run" / "config.yaml").training.batch_size == 3


def test_a_finished_run_takes_no_further_step(tmp_path, tiny_base, pictures, capsys, monkeypatch):
    """Also one that ended early; its bundle is written again, from the same weights."""
    # So large steps make the loss jump: it does not fall in two evaluations one after the other, long before the end.
    training = {"steps": 400, "learning_rate": 2.0, "evaluate_every": 2, "patience": 2, "schedule": "constant"}
    run = config(tmp_path / "run", tiny_base, pictures, training=training)
    before = weights(program.train(run))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    monkeypatch.setattr(RunTrainer, "training_step", lambda *args, **kwargs: pytest.fail("a step was taken"))
    labels = {"labels": ["One", "Two"]}
    after = weights(program.train(config(tmp_path / "run", tiny_base, pictures, training=training, bundle=labels)))
    assert before.keys() == after.keys() and all(tensor.equal(after[name]) for name, tensor in before.items())
    assert "This run is finished" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert [adapter.label for adapter in load_bundle(tmp_path / "run" / "bundle").hypotheses] == ["One", "Two"]


def test_wins_are_counted_in_runs_shorter_than_a_log(tmp_path, tiny_base, pictures):
    program.train(config(tmp_path / "run", tiny_base, pictures, training={"steps": 3, "log_every": 10}))
    assert sum(json.loads((tmp_path / "run" / "summary.json").read_text())["wins"]) == pytest.approx(1)


def test_a_dry_run_takes_one_step_and_leaves_nothing(tmp_path, tiny_base, pictures, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path / "run", tiny_base, pictures)))
    assert program.main([str(file), "training.accumulation=2", "--dry-run"]) == 0
    assert re.fullmatch(
        r"One step of 4 examples: \d+\.\d s, at most \d+\.\d\d GiB", capsys.readouterr().out.splitlines()[-1]
    )
    assert not (tmp_path / "run").exists()
    # The gate starts from more captions than one step has.
    assert program.main([str(file), "training.batch_size=1", "adapters.hypotheses=3", "--dry-run"]) == 0
    assert "One step of 1 examples: " in capsys.readouterr().out


def test_a_run_may_start_from_a_bundle(tmp_path, tiny_base, pictures):
    first = program.train(config(tmp_path / "first", tiny_base, pictures, training={"steps": 2}))
    still = {"steps": 1, "learning_rate": 1e-30}
    changes = {"adapters": {"init_from": str(first)}, "gate": {"learning_rate": 1e-30}, "training": still}
    second = program.train(config(tmp_path / "second", tiny_base, pictures, **changes))
    before, after = weights(first), weights(second)
    for name, tensor in before.items():
        if "lora" in name or name.endswith(("weight", "bias")):
            torch.testing.assert_close(after[name], tensor, msg=name)
    changes["adapters"] = {"init_from": str(first), "hypotheses": 3}
    with pytest.raises(BundleError, match="has 2 hypotheses; adapters.hypotheses is 3"):
        program.train(config(tmp_path / "third", tiny_base, pictures, **changes))
    changes["adapters"] = {"init_from": str(first), "rank": 4}
    with pytest.raises(BundleError, match="rank is 2, but adapter 'hypothesis-0' has 4"):
        program.train(config(tmp_path / "third", tiny_base, pictures, **changes))


def test_out_of_memory_advises_nothing_that_is_set(tmp_path, tiny_base, pictures):
    pair = config(tmp_path / "run", tiny_base, pictures, training={"batch_size": 2, "accumulation": 3})
    assert "training.batch_size=1 training.accumulation=6" in out_of_memory_advice(pair)
    prime = config(tmp_path / "run", tiny_base, pictures, training={"batch_size": 3})
    assert "training.batch_size=1 training.accumulation=3" in out_of_memory_advice(prime)
    least = {"batch_size": 1, "checkpoint_activations": True, "precision": "bfloat16"}
    one = config(
        tmp_path / "run",
        tiny_base,
        pictures,
        training=least,
        adapters={"hypotheses": 1, "rank": 1},
        model={"dtype": "bfloat16", "load_in_4bit": True},
    )
    assert out_of_memory_advice(one, sharded=True).endswith("Change one of: more GPUs; a smaller base model.")
    assert "fsdp2.yaml" in out_of_memory_advice(one) and "hypotheses" not in out_of_memory_advice(one)


def test_a_picture_that_no_decoder_can_take_does_not_end_a_run(tmp_path, tiny_base):
    """A PNG of more text than Pillow reads, and one with a header cut off, both raise other errors than OSError."""
    folder = picture_folder(tmp_path / "pictures", 10)
    header = (folder / "004.png").read_bytes()
    (folder / "004.png").write_bytes(header[:8] + (4).to_bytes(4, "big") + b"IHDR" + bytes(8))
    text = PngInfo()
    text.add_text("workflow", "x" * 2_000_000, zip=True)
    Image.new("RGB", (40, 40), "red").save(folder / "005.png", pnginfo=text)
    run = config(tmp_path / "run", tiny_base, folder, data={"validation_share": 0.0, "workers": 1})
    program.train(run)
    skipped = json.loads((tmp_path / "run" / "summary.json").read_text())["skipped_media"]
    assert skipped in (1, 2)  # the second picture itself is whole
