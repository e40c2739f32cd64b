"""Parts of a grouped layer (types, devices, draws, dropout), and the bounds of a specification's fields."""

import sys

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_mcl.adapters import AdapterSpec, AdapterStack, GroupedLoraLinear
from lora_mcl.adapters.linear import LayerAdapter, Routing
from lora_mcl.errors import OptionsError
from tests.support.adapted_mlp import Mlp, spec, stack_of


def test_parts_of_a_layer_are_where_its_weight_is_and_of_their_own_types():
    """Whatever torch's default type is: scalings and dropouts are float32, weights of the type that is asked for."""
    torch.set_default_dtype(torch.float64)
    try:
        base = nn.Linear(6, 4, device="meta")
        layer = GroupedLoraLinear(base, [LayerAdapter(2, 0.1, 0.3)], Routing(1), torch.bfloat16)
        assert GroupedLoraLinear(base, [LayerAdapter(2, 0.1, 0.3)], Routing(1)).lora_A.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert (layer.lora_A.shape, layer.lora_B.shape) == ((1, 2, 6), (1, 4, 2))
    for part, dtype in {"lora_A": "bfloat16", "lora_B": "bfloat16", "scaling": "float32", "keep": "float32"}.items():
        assert (getattr(layer, part).device.type, str(getattr(layer, part).dtype)) == ("meta", f"torch.{dtype}")


def test_draws_are_those_of_the_generator_that_is_given():
    def drawn(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return AdapterStack.attach(Mlp(), [spec()], generator=generator).layers["first"].lora_A

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))


def test_layers_are_in_the_mode_of_their_model():
    for training in (True, False):
        stack = stack_of(spec("a", dropout=0.5), model=Mlp().train(training))
        assert {layer.training for layer in stack.layers.values()} == {training}


def test_one_dropout_for_all_rows_is_that_probability_in_training():
    layer = GroupedLoraLinear(nn.Linear(400, 1), [LayerAdapter(1, 1.0, 0.25)] * 2, Routing(2)).train()
    dropped = layer._drop(torch.ones(2, 200, 400), torch.tensor([0, 1]))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.max().item() == pytest.approx(1 / 0.75)
    assert not (layer.eval()._drop(torch.ones(2, 2, 400), torch.tensor([0, 1])) != 1).any()


def test_equal_specs_are_one_in_a_set():
    one, two = (spec("a", rank_pattern={"first": 3}, alpha_pattern={"first": 2.0}) for _ in range(2))
    assert one == two and {one, two} == {one} and one != spec("a", rank_pattern={"first": 4})
    plain = AdapterSpec("a", 1, 1.0)
    assert (plain.dropout, plain.use_rslora, plain.exclude_modules) == (0.0, False, ())


def test_bounds_of_a_spec_are_inclusive():
    largest = sys.float_info.max
    kept = spec("a", 2**16, largest, rank_pattern={"first": 2**16}, alpha_pattern={"first": largest})
    assert (kept.rank, kept.alpha) == (65_536, largest) and spec("a", 1, 1e-300, dropout=0).dropout == 0
    for fields in ({"rank": 2**16 + 1}, {"alpha": float("inf")}, {"rank_pattern": {"first": 1, "second": 2**16 + 1}}):
        with pytest.raises(OptionsError, match=next(iter(fields))):
            AdapterSpec(**({"name": "a", "rank": 2, "alpha": 4.0} | fields))


def test_one_bad_pattern_among_good_ones():
    for field, good, bad in (("rank_pattern", 3, 0), ("alpha_pattern", 3.0, 0.0)):
        spec("a", **{field: {"first": good, "second": good}})
        for values in ({"first": bad, "second": good}, {"first": good, "second": bad}):
            with pytest.raises(OptionsError, match=field):
                spec("a", **{field: values})


@pytest.mark.parametrize("field", [{"layers_to_transform": (0,)}, {"layers_pattern": ("layers",)}])
def test_layers_go_with_names_alone(field):
    spec("a", **field)
    with pytest.raises(OptionsError, match="layers_to_transform and layers_pattern need target_modules as name"):
        spec("a", target_modules=".*first", **field)


def test_a_layer_that_is_drawn_again_is_new():
    """Padding and B are 0 again, and A is within its bound."""
    layer = GroupedLoraLinear(nn.Linear(16, 4), [LayerAdapter(2, 1.0, 0.0), LayerAdapter(1, 1.0, 0.0)], Routing(2))
    with torch.no_grad():
        layer.lora_A.fill_(9.0)
        layer.lora_B.fill_(9.0)
    layer.reset()
    assert not layer.lora_B.any() and not layer.lora_A[1, 1:].any() and layer.lora_A[1, 0].all()
    assert layer.lora_A.abs().max() <= 1 / 4


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_merged_model_is_the_routed_one(name):
    stack = stack_of(spec("a"), spec("b", 3, 1.0, target_modules=("second",)))
    x = torch.randn(2, 6)
    with torch.no_grad(), stack.rows([stack.index(name)] * 2):
        expected = stack.model(x)
    merged = stack.merge(name)
    assert type(merged.first) is nn.Linear and merged.first.weight.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(merged(x), expected)


def test_a_merge_into_weights_that_are_stored_the_other_way_round():
    torch.manual_seed(0)
    model = nn.Sequential(Conv1D(5, 3), nn.Tanh())
    stack = stack_of(spec("a", target_modules=("0",)), model=model)
    x = torch.randn(2, 3)
    with torch.no_grad(), stack.rows([0, 0]):
        expected = stack.model(x)
    with torch.no_grad():
        torch.testing.assert_close(stack.merge("a")(x), expected)
