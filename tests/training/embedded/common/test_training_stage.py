"""What the command line of a training stage changes of its settings, and that it arrives."""

import pytest
import torch

from training.embedded.common.domain import StageSettings
from training.embedded.common.training_stage import settings_from, training_arguments, training_parser

DEFAULT = StageSettings(steps=100, batch_size=4, learning_rate=1e-3, feature_dropout=0.3)


def test_options_replace_the_domains_settings():
    args = training_parser("").parse_args(["image", "--steps", "7", "--learning-rate", "2e-3"])
    assert settings_from(args, DEFAULT) == StageSettings(7, 4, 2e-3, 0.3)
    assert (args.seed, args.precision) == (0, "bfloat16" if torch.cuda.is_available() else "float32")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_arrives(precision, tmp_path):
    args = training_parser("").parse_args(["image", "--precision", precision])
    found = training_arguments(tmp_path, DEFAULT, warmup=0.05, seed=3, precision=args.precision)
    assert (found.bf16, found.max_steps, found.warmup_steps, found.seed) == (precision == "bfloat16", 100, 5, 3)


def test_an_unknown_precision_is_refused(capsys):
    with pytest.raises(SystemExit):
        training_parser("").parse_args(["image", "--precision", "float16"])
    assert "invalid choice: 'float16'" in capsys.readouterr().err
