"""A training that has diverged is an error, whatever the objective, and nothing of it is saved as a bundle."""

import pytest
import torch

from lora_mcl.errors import DivergenceError
from lora_mcl.objectives import Anneal, ObjectiveOptions
from lora_mcl.trainer import MultipleChoiceLearner, StepOptions, save_bundle_of
from lora_mcl.trainer.divergence import require_finite_loss, require_finite_weights
from tests.support.tiny_trainer import CONFIG, SOFT, WTA, llama, trained

GATE = ObjectiveOptions("caption-gate", temperature=Anneal(1.0, 0.1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_message_names_the_step_and_the_remedy(value):
    require_finite_loss(torch.tensor([0.0, -3.4e38]), 7)
    with pytest.raises(DivergenceError, match=r"loss of step 1,235 is not finite.*lower the learning rate"):
        require_finite_loss(torch.tensor([0.0, value]), 1234)
    with pytest.raises(DivergenceError, match="first step is not finite, before anything was learned"):
        require_finite_loss(torch.tensor(value), 0)


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        (WTA, StepOptions("all")),
        (SOFT, StepOptions("sampled")),
        (GATE, StepOptions("all")),
        (GATE, StepOptions("sampled")),
        (GATE, StepOptions("winner")),
    ],
)
def test_a_run_with_too_large_steps_ends(tmp_path, objective, options):
    with pytest.raises(DivergenceError, match=r"the loss of step [2-9] is not finite, training has diverged"):
        trained(tmp_path, objective, options=options, learning_rate=1e38, max_steps=9)


def test_a_base_with_broken_weights_is_not_blamed_on_the_learning_rate(tmp_path):
    def broken():
        model = llama()
        torch.nn.init.constant_(model.lm_head.weight, torch.nan)
        return model

    with pytest.raises(DivergenceError, match="first step.*weights of the base model"):
        trained(tmp_path, WTA, model=broken)


def test_what_is_not_finite_is_not_saved(tmp_path):
    learner = MultipleChoiceLearner.attach(llama(), CONFIG, 2, WTA)
    require_finite_weights(learner)
    name, weight = next(iter(learner.trainable_parameters()))
    with torch.no_grad():
        weight.view(-1)[3] = torch.inf
    with pytest.raises(DivergenceError, match=rf"^{name} has values that are not finite.*learning rate"):
        save_bundle_of(learner, tmp_path / "bundle", base=tmp_path)
    assert not (tmp_path / "bundle").exists()
