"""The grouped adapter stack against plain formulas: routing, gradients, padding, dropout, life cycle."""

import pytest
import torch
from torch import nn

from lora_mcl.adapters import (
    BASE_ROW,
    LANGUAGE_MODEL_LINEARS,
    AdapterSpec,
    AdapterStack,
    GroupedLoraLinear,
    hypothesis_rows,
)
from lora_mcl.adapters.linear import LayerAdapter, Routing
from lora_mcl.errors import OptionsError
from tests.support.adapted_mlp import Mlp, by_hand, fill, spec, stack_of


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6)], ids=["matrix", "sequence", "nested"])
def test_each_row_goes_through_its_adapter(shape):
    stack = stack_of(spec("a", 2), spec("b", 3, alpha=1.0), spec("c", 1, target_modules=("second",)))
    rows = torch.tensor([2, 0, BASE_ROW, 1, 0])
    x = torch.randn(len(rows), *shape)
    with stack.rows(rows):
        y = stack.model(x)
    for i, row in enumerate(rows.tolist()):
        expected = by_hand(stack, None if row == BASE_ROW else stack.names[row], x[i])
        torch.testing.assert_close(y[i], expected, rtol=1e-5, atol=1e-5)


def test_base_rows_equal_the_bare_model_bit_for_bit():
    stack = stack_of(spec("a"), spec("b", 5))
    x = torch.randn(4, 7, 6)
    with stack.rows([BASE_ROW] * 4):
        routed = stack.model(x)
    assert torch.equal(routed, stack.detach()(x))


def test_base_rows_do_not_depend_on_their_neighbours():
    stack = stack_of(spec("a"), spec("b", 5))
    x = torch.randn(4, 7, 6)
    with stack.rows([0, BASE_ROW, 1, BASE_ROW]):
        routed = stack.model(x)
    torch.testing.assert_close(routed[[1, 3]], stack.detach()(x)[[1, 3]], rtol=0, atol=1e-6)


def test_a_new_stack_changes_nothing_and_draws_every_adapter_independently():
    stack = stack_of(spec("a"), spec("b"), randomize=False)
    x = torch.randn(2, 3, 6)
    with stack.rows([0, 1]):
        attached = stack.model(x)
    first, second = stack.tensors("a")["first"][0], stack.tensors("b")["first"][0]
    bound = 1 / 6**0.5  # Kaiming uniform with a = sqrt 5: U(-1/sqrt(in), 1/sqrt(in))
    assert not torch.equal(first, second)
    assert 0.5 * bound < first.abs().max() <= bound
    assert torch.equal(attached, stack.detach()(x))


def test_the_first_draws_reach_as_far_as_pefts():
    """U(-1/sqrt(in), 1/sqrt(in)): of 64 x 256 draws the largest is within a thousandth of the bound."""
    layer = GroupedLoraLinear(nn.Linear(256, 4), [LayerAdapter(64, 1.0, 0.0)], Routing(1))
    layer.reset(torch.Generator().manual_seed(0))
    assert 0.999 < layer.lora_A.abs().max() * 256**0.5 <= 1 and not layer.lora_B.any()


def test_grouped_equals_sequential():
    stack = stack_of(spec("a"), spec("b", 3), spec("c", 1))
    x = torch.randn(2, 5, 6)
    with stack.rows(hypothesis_rows(3, 2)):
        grouped = stack.model(x.repeat(3, 1, 1)).view(3, 2, 5, 4)
    for k in range(3):
        with stack.rows([k, k]):
            torch.testing.assert_close(stack.model(x), grouped[k], rtol=0, atol=1e-5)


def test_hypothesis_rows_match_a_repeated_batch():
    assert hypothesis_rows(3, 2).tolist() == [0, 0, 1, 1, 2, 2]


def test_only_routed_adapters_receive_gradient_and_the_base_is_frozen():
    stack = stack_of(spec("a"), spec("b"), spec("c"))
    with stack.rows([0, 2]):
        stack.model(torch.randn(2, 3, 6)).square().sum().backward()
    for layer in stack.layers.values():
        for parameter in (layer.lora_A, layer.lora_B):
            moved = parameter.grad.flatten(1).abs().sum(dim=1) > 0
            assert moved.tolist() == [True, False, True]
    trainable = {id(p) for p in stack.parameters()}
    assert all(p.grad is None and not p.requires_grad for p in stack.model.parameters() if id(p) not in trainable)


def test_gradients_of_a_row_equal_those_of_its_adapter_alone():
    x = torch.randn(2, 3, 6)

    def gradients(specs, rows):
        stack = stack_of(*specs, randomize=False)
        for name in stack.names:
            fill(stack, name)
        with stack.rows(rows):
            stack.model(x).square().sum().backward()
        n, layer = stack.index("b"), stack.layers["first"]
        return layer.lora_A.grad[n, :2], layer.lora_B.grad[n, :, :2]

    alone = gradients([spec("b")], [0, BASE_ROW])
    mixed = gradients([spec("a", 5), spec("b"), spec("c", 3)], [1, 2])
    for a, b in zip(alone, mixed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_never_moves_the_padding_and_equals_unpadded_training(optimizer):
    def train(*specs):
        torch.manual_seed(1)
        stack = AdapterStack(Mlp(), specs)
        fill(stack, "small")
        make = {
            "sgd": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.1),
            "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        }[optimizer]
        steps = make(list(stack.parameters()))
        x = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(3))
        for _ in range(20):
            steps.zero_grad()
            with stack.rows([stack.index("small")] * 4):
                stack.model(x).square().mean().backward()
            steps.step()
        return stack

    alone = train(spec("small"))
    padded = train(spec("large", 7), spec("small"), spec("partial", target_modules=("second",)))
    for module, pair in alone.tensors("small").items():
        for part, expected in zip(padded.tensors("small")[module], pair, strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-6)
    for layer in padded.layers.values():
        for n, rank in enumerate(layer.ranks):
            assert not layer.lora_A[n, rank:].any()
            assert not layer.lora_B[n, :, rank:].any()


@pytest.mark.parametrize("dropouts", [(0.5, 0.5), (0.5, 0.0), (0.0, 0.0), (0.5,)])
def test_dropout_acts_per_adapter_in_training_only(dropouts):
    torch.manual_seed(0)
    routing = Routing(len(dropouts))
    layer = GroupedLoraLinear(nn.Linear(400, 3), [LayerAdapter(1, 1.0, p) for p in dropouts], routing, torch.float32)
    with torch.no_grad():
        layer.lora_A.fill_(1.0)
        layer.lora_B.fill_(1.0)
    x = torch.ones(len(dropouts) + 1, 200, 400)
    with routing.using([*range(len(dropouts)), BASE_ROW]):
        layer.eval()
        delta = layer(x) - layer.base(x)
        assert delta[:-1].allclose(torch.tensor(400.0))
        layer.train()
        delta = layer(x) - layer.base(x)
    assert delta[-1].abs().max() == 0
    for n, p in enumerate(dropouts):
        kept = delta[n, :, 0] * (1 - p) / 400  # share of inputs kept, for each token
        assert kept.mean().item() == pytest.approx(1 - p, abs=0.01)
        assert (kept.std().item() > 0.01) == (p > 0)


def test_adapters_keep_float32_master_weights_on_a_bfloat16_base():
    stack = stack_of(spec("a"), spec("b", 3), model=Mlp().to(torch.bfloat16))
    x = torch.randn(2, 3, 6, dtype=torch.bfloat16)
    with stack.rows([0, 1]):
        y = stack.model(x)
        y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert {p.dtype for p in stack.parameters()} == {p.grad.dtype for p in stack.parameters()} == {torch.float32}
    assert {p.dtype for p in AdapterStack.attach(Mlp(), [spec()], dtype=torch.bfloat16).parameters()} == {
        torch.bfloat16
    }


def test_rows_context_restores_the_previous_routing_even_after_an_error():
    stack = stack_of(spec("a"), spec("b"))
    x = torch.randn(1, 6)
    with stack.rows([1]):
        before = stack.model(x)
        with pytest.raises(KeyError), stack.rows([0]):
            raise KeyError
        assert torch.equal(stack.model(x), before)
    with pytest.raises(RuntimeError, match="No adapter is routed"):
        stack.model(x)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(6,), (1, 6), (5, 6)], ids=["matrix", "token", "sequence"])
def test_fixed_rows_are_the_same_rows_for_many_passes(shape):
    stack = stack_of(spec("a", 2), spec("b", 3, alpha=1.0), spec("c", 1, target_modules=("second",)))
    rows = [2, 0, BASE_ROW, 1, 0]
    fixed, x = stack.fixed_rows(rows), torch.randn(len(rows), *shape)
    with stack.rows(rows):
        expected = stack.model(x)
        with fixed:
            torch.testing.assert_close(stack.model(x), expected)
        assert torch.equal(stack.model(x), expected)
    with pytest.raises(RuntimeError, match="No adapter is routed"):
        stack.model(x)
    with fixed:
        torch.testing.assert_close(stack.model(x[:, :1] if x.ndim == 3 else x)[:, :1], expected[:, :1])
        with stack.rows([0] * len(rows)):
            assert not torch.allclose(stack.model(x), expected, atol=0.1)
        torch.testing.assert_close(stack.model(x), expected)
        with pytest.raises(ValueError, match="4 rows but 5"):
            stack.model(x[:4])
    with pytest.raises(ValueError, match="must lie between"):
        stack.fixed_rows([3])


@torch.no_grad()
def test_fixed_rows_see_new_weights_after_refresh():
    stack, x = stack_of(spec("a"), spec("b")), torch.randn(2, 6)
    fixed = stack.fixed_rows([0, 1])
    with fixed:
        before = stack.model(x)
    fill(stack, "b")
    fixed.refresh()
    with fixed:
        after = stack.model(x)
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1], by_hand(stack, "b", x)[1])
    assert not torch.allclose(after[1], before[1], atol=0.1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0], "2 rows but 1 adapter rows"),
        ([0, 1, 0], "2 rows but 3 adapter rows"),
        ([0, 2], "between -1 .* and 1"),
        ([-2, 0], "between -1 .* and 1"),
        ([[0, 1]], "vector of integers"),
        ([0.0, 1.0], "vector of integers"),
    ],
)
def test_wrong_rows_are_refused(rows, message):
    stack = stack_of(spec("a"), spec("b"))
    with pytest.raises(ValueError, match=message), stack.rows(rows):
        stack.model(torch.randn(2, 6))


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "at least one"),
        ([spec("a"), spec("a")], "must differ"),
        ([spec("a", target_modules=("nowhere",))], "matches no Linear"),
        ([spec("a", target_modules="first|second|")], None),
        ([spec("a", target_modules=r".*act.*")], "a Tanh; only Linear"),
    ],
)
def test_wrong_specs_are_refused_and_leave_the_model_alone(specs, message):
    model = Mlp()
    model.act = nn.Tanh()
    if message is None:
        AdapterStack.attach(model, specs)
        return
    with pytest.raises(OptionsError, match=message):
        AdapterStack.attach(model, specs)
    assert type(model.first) is nn.Linear
    assert model.first.weight.requires_grad


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a.b"),
        ("rank", 0),
        ("rank", 1.5),
        ("alpha", 0),
        ("alpha", float("nan")),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("target_modules", ""),
        ("target_modules", ()),
        ("rank_pattern", {"first": 0}),
        ("alpha_pattern", {"first": -1.0}),
    ],
)
def test_spec_validates_its_fields(field, value):
    with pytest.raises(OptionsError, match=field):
        AdapterSpec(**{"name": "a", "rank": 2, "alpha": 4.0, field: value})


def test_attaching_twice_is_refused_until_detached():
    stack = stack_of(spec("a"))
    with pytest.raises(OptionsError, match="already"):
        AdapterStack.attach(stack.model, [spec("b")])
    with pytest.raises(OptionsError, match="already"):
        AdapterStack.from_peft(stack.model, {"b": "nowhere"})
    stack.detach()
    AdapterStack.attach(stack.model, [spec("b")])


def test_detach_restores_the_model():
    model = Mlp()
    model.other.requires_grad_(False)
    first = model.first
    stack = stack_of(spec("a"), model=model)
    assert isinstance(model.first, GroupedLoraLinear)
    stack.detach()
    assert model.first is first
    assert [p.requires_grad for p in model.parameters()] == [True, True, True, False, False]


def test_index_and_parameter_count():
    stack = stack_of(spec("a"), spec("b", 3))
    assert stack.names == ("a", "b")
    assert len(stack) == 2
    assert stack.index("b") == 1
    assert stack.num_parameters("a") == 2 * (6 + 10) + 2 * (10 + 4)
    with pytest.raises(OptionsError, match="no adapter is called 'c'"):
        stack.index("c")


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("model.language_model.layers.0.self_attn.q_proj", True),
        ("model.language_model.layers.11.mlp.down_proj", True),
        ("language_model.model.layers.3.mlp.gate_proj", True),
        ("model.layers.0.self_attn.o_proj", True),
        ("layers.0.mlp.up_proj", True),
        ("model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj", False),
        ("model.vision_tower.encoder.layers.0.self_attn.q_proj", False),
        ("model.audio_tower.layers.0.self_attn.q_proj", False),
        ("audio_tower.layers.0.self_attn.k_proj", False),
        ("model.multi_modal_projector.linear_1", False),
        ("lm_head", False),
        ("model.language_model.layers.0.self_attn", False),
        ("model.language_model.embed_tokens", False),
    ],
)
def test_default_targets_are_the_language_model_only(name, matches):
    layer = nn.Linear(2, 2)
    model = nn.Module()
    parent = model
    *path, last = name.split(".")
    for part in path:
        parent.add_module(part, nn.Module())
        parent = getattr(parent, part)
    parent.add_module(last, layer)
    default = AdapterSpec("a", 1, 1.0)
    assert default.target_modules == LANGUAGE_MODEL_LINEARS
    if matches:
        assert list(default.layers(model)) == [name]
    else:
        with pytest.raises(OptionsError, match="matches no Linear"):
            default.layers(model)


def test_a_bfloat16_merge_is_rounded_once():
    """The sum is computed in float32: B A alone is often below what bfloat16 can add to W."""
    torch.manual_seed(0)
    base = nn.Linear(64, 64, bias=False).bfloat16()
    layer = GroupedLoraLinear(base, [LayerAdapter(4, 2.0, 0.0)], Routing(1))
    with torch.no_grad():
        layer.lora_A.normal_(std=0.1)
        layer.lora_B.normal_(std=0.1)
    expected = (base.weight.float() + 2.0 * layer.lora_B[0] @ layer.lora_A[0]).bfloat16()
    layer.merge(0)
    assert torch.equal(base.weight, expected)


def test_rows_are_integers_and_not_flags():
    stack = stack_of(spec("a"), spec("b"))
    with pytest.raises(ValueError, match="rows must be a vector of integers"), stack.rows(torch.tensor([True, False])):
        pass


@pytest.mark.parametrize("options", [{"rank": True}, {"layers_to_transform": (0,), "target_modules": ".*q_proj"}])
def test_options_that_peft_would_read_otherwise(options):
    with pytest.raises(OptionsError, match="rank must be an integer|need target_modules as name suffixes"):
        AdapterSpec(**({"name": "a", "rank": 2, "alpha": 2} | options))


def test_a_layers_state_is_its_weights_alone():
    """Scalings and dropouts are those of its specification, never of a file."""
    layer = stack_of(spec("a")).layers["first"]
    assert {name.partition(".")[0] for name in layer.state_dict()} == {"base", "lora_A", "lora_B"}


def test_rows_follow_the_batch_to_its_device():
    routing = stack_of(spec("a"), spec("b")).routing
    with routing.using([1, BASE_ROW]):
        for device in ("cpu", "meta"):
            assert {part.device.type for part in routing.for_batch(torch.device(device), 2)} == {device}
