"""Adapters side by side, as decoding steps use them: each row gets its own alone, and the weights are laid out once."""

import pytest
import torch
from torch import nn

from lora_mcl.adapters import BASE_ROW, GroupedLoraLinear
from lora_mcl.adapters.linear import LayerAdapter, Routing
from tests.support.adapted_mlp import by_hand, fill, spec, stack_of


def laid_out(monkeypatch) -> list[tuple[int, ...]]:
    """The adapters of each layout that a layer makes from now on."""
    made, make = [], GroupedLoraLinear.side_by_side

    def note(self, adapters, *dtypes):
        made.append(tuple(adapters))
        return make(self, adapters, *dtypes)

    monkeypatch.setattr(GroupedLoraLinear, "side_by_side", note)
    return made


@torch.no_grad()
def test_rows_come_and_go_and_the_weights_stay(monkeypatch):
    stack = stack_of(spec("a", 2), spec("b", 3, alpha=1.0), spec("c", 1, target_modules=("second",)), spec("d"))
    made = laid_out(monkeypatch)
    fixed = stack.fixed_rows([2, 0])
    for rows in ([2, 0], [0, 0, BASE_ROW, 2, 2], [BASE_ROW], [2], [1, 0, 2], [0, BASE_ROW, 1]):
        fixed.set_rows(rows)
        x = torch.randn(len(rows), 1, 6)
        with fixed:
            y = stack.model(x)
        for i, row in enumerate(rows):
            expected = by_hand(stack, None if row == BASE_ROW else stack.names[row], x[i])
            torch.testing.assert_close(y[i], expected, rtol=1e-5, atol=1e-5)
    # Once for each layer of both sets of adapters; the fourth adapter has no row.
    layers = len(stack.layers)
    assert made == [(0, 2)] * layers + [(0, 1, 2)] * layers


@torch.no_grad()
def test_rows_of_the_bare_base_alone_are_the_base_bit_for_bit():
    stack, x = stack_of(spec("a"), spec("b", 5)), torch.randn(3, 1, 6)
    with stack.fixed_rows([BASE_ROW] * 3):
        routed = stack.model(x)
    assert torch.equal(routed, stack.detach()(x))


@torch.no_grad()
def test_what_overflows_in_one_adapter_stays_in_its_rows():
    routing = Routing(2)
    layer = GroupedLoraLinear(nn.Linear(4, 3), [LayerAdapter(2, 1.0, 0.0)] * 2, routing).half()
    layer.lora_A[0].fill_(6e4)
    layer.lora_B.fill_(1.0)
    x = torch.ones(3, 1, 4, dtype=torch.half)
    with routing.fixed([0, 1, BASE_ROW]):
        y = layer(x)
    assert not y[0].isfinite().any()
    assert torch.equal(y[1:], layer.base(x)[1:])


@torch.no_grad()
def test_a_row_that_is_not_a_number_stays_alone():
    stack, x = stack_of(spec("a"), spec("b")), torch.randn(3, 1, 6)
    with stack.fixed_rows([0, 1, BASE_ROW]):
        expected = stack.model(x)
        x[0] = torch.nan
        y = stack.model(x)
    assert y[0].isnan().all()
    torch.testing.assert_close(y[1:], expected[1:])


@torch.no_grad()
def test_a_refresh_lays_them_out_in_the_same_tensors(monkeypatch):
    """A recorded graph reads the addresses that it was recorded with."""
    stack, x = stack_of(spec("a"), spec("b")), torch.randn(2, 6)
    kept, make = [], GroupedLoraLinear.side_by_side

    def keep(self, *arguments):
        kept.append(make(self, *arguments))
        return kept[-1]

    monkeypatch.setattr(GroupedLoraLinear, "side_by_side", keep)
    fixed = stack.fixed_rows([0, 1])
    with fixed:
        stack.model(x)
    first = list(kept)
    fill(stack, "b")
    fixed.refresh()
    for (a, b), (new_a, new_b) in zip(first, kept[len(first) :], strict=True):
        assert torch.equal(a, new_a) and torch.equal(b, new_b)
    with fixed:
        torch.testing.assert_close(stack.model(x)[1], by_hand(stack, "b", x)[1])


@pytest.mark.parametrize("rows", [[2], [0, -2]])
def test_rows_out_of_range_are_refused(rows):
    fixed = stack_of(spec("a"), spec("b")).fixed_rows([0])
    with pytest.raises(ValueError, match="must lie between"):
        fixed.set_rows(rows)
