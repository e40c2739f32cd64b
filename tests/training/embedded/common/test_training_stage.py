"""What the command line of a training stage changes of its settings, and that it arrives."""

from dataclasses import replace

import pytest
import torch
from transformers import Trainer

from training.embedded.common.domain import StageSettings
from training.embedded.common.training_stage import (
    FirstStep,
    default_precision,
    settings_from,
    training_arguments,
    training_parser,
    whole_run,
)

DEFAULT = StageSettings(steps=100, batch_size=4, learning_rate=1e-3, feature_dropout=0.3)


def test_options_replace_the_domains_settings():
    args = training_parser("").parse_args(["image", "--steps", "7", "--learning-rate", "2e-3"])
    assert settings_from(args, DEFAULT) == StageSettings(7, 4, 2e-3, 0.3)
    assert (args.seed, args.precision) == (0, default_precision())


@pytest.mark.parametrize(
    ("listed", "precision"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse", "bfloat16"),
        ("Features\t: fp asimd bf16\n", "bfloat16"),
        ("flags\t\t: fpu avx512f avx512bw\nmodel name\t: bf16ish", "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_is_the_default_where_the_processor_computes_in_it(monkeypatch, tmp_path, listed, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if listed is not None:
        (tmp_path / "cpuinfo").write_text(listed)
    assert default_precision(tmp_path / "cpuinfo") == precision


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_arrives(precision, tmp_path):
    args = training_parser("").parse_args(["image", "--precision", precision])
    found = training_arguments(tmp_path, DEFAULT, warmup=0.05, seed=3, precision=args.precision)
    assert (found.bf16, found.max_steps, found.warmup_steps, found.seed) == (precision == "bfloat16", 100, 5, 3)


def test_an_unknown_precision_is_refused(capsys):
    with pytest.raises(SystemExit):
        training_parser("").parse_args(["image", "--precision", "float16"])
    assert "invalid choice: 'float16'" in capsys.readouterr().err


def test_seconds_of_a_resumed_run_are_those_of_all_its_steps():
    assert whole_run(60.0, 0, 100) == 60
    assert whole_run(60.0, 75, 100) == 240
    assert whole_run(3.0, 100, 100) == 3, "started again at its end"


def test_the_first_step_is_that_of_the_checkpoint(tmp_path):
    class Linear(torch.nn.Linear):
        def forward(self, x, labels=None):
            return (super().forward(x).square().mean(),)

    def trainer() -> tuple[Trainer, FirstStep]:
        args = replace(training_arguments(tmp_path, DEFAULT, warmup=0, seed=0, precision="float32"), max_steps=4)
        args = replace(args, save_steps=2, report_to=[], dataloader_num_workers=0)
        first = FirstStep()
        data = [{"x": torch.ones(2)} for _ in range(16)]
        return Trainer(Linear(2, 1), args, train_dataset=data, callbacks=[first]), first

    whole, first = trainer()
    whole.train()
    assert first.step == 0
    again, first = trainer()
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert first.step == 2
