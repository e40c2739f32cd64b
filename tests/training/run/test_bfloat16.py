"""bfloat16 and checkpointed activations, through the training program on tiny models."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.support.captioned_files import picture_folder
from tests.support.training_runs import config
from training import train as program

TRAINING = {"steps": 3, "log_every": 1, "evaluate_every": 3, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return picture_folder(tmp_path_factory.mktemp("data") / "pictures", 9)


def trained(folder, base, media, training, **sections):
    """The weights learned, the losses of the steps, and whether the base checkpoints its activations."""
    adapters = {"dropout": 0.1}  # drawn again when activations are computed again
    run = config(folder, base, media, training=TRAINING | training, adapters=adapters, **sections)
    trainer, _ = program.build(run)
    trainer.train_or_resume()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return trainer.model.trainable_state_dict(), losses, trainer.model.model.is_activation_checkpointing


@pytest.mark.parametrize("backward", ["all", "sampled"])
def test_checkpointed_activations_change_nothing(tmp_path, tiny_base, pictures, backward):
    step = {"backward": backward}
    kept, losses, on = trained(tmp_path / "kept", tiny_base, pictures, {"checkpoint_activations": False}, step=step)
    again, same, on_again = trained(
        tmp_path / "again", tiny_base, pictures, {"checkpoint_activations": True}, step=step
    )
    assert (on, on_again) == (False, True)
    assert same == pytest.approx(losses, abs=1e-5)
    assert kept.keys() == again.keys() and len(kept) > 20
    for name, tensor in kept.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_bfloat16_learns_much_the_same(tmp_path, tiny_base, pictures, checkpointed):
    """As the 7B configurations have it: the base in bfloat16, adapters and their bundle in float32."""
    _, exact, _ = trained(tmp_path / "exact", tiny_base, pictures, {})
    rough = {"precision": "bfloat16", "checkpoint_activations": checkpointed}
    weights, losses, _ = trained(tmp_path / "rough", tiny_base, pictures, rough, model={"dtype": "bfloat16"})
    assert losses != exact and losses == pytest.approx(exact, rel=0.03)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in weights.values())
    moved = [tensor.abs().max() > 0 for name, tensor in weights.items() if name.endswith("lora_B")]
    assert len(moved) > 10 and all(moved)


def test_a_bundle_of_a_bfloat16_run_is_in_float32(tmp_path, tiny_base, pictures):
    training = TRAINING | {"precision": "bfloat16", "checkpoint_activations": True, "steps": 2, "evaluate_every": 2}
    run = config(tmp_path / "run", tiny_base, pictures, training=training, model={"dtype": "bfloat16"})
    bundle = program.train(run)
    saved = load_file(bundle / "hypotheses" / "1" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["best_step"] == 2
