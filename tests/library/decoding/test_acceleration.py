"""Fixed shapes give the same answers, compiled or not; where they are impossible, the reason is logged."""

import logging
from dataclasses import replace

import pytest
import torch

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, EngineOptions, Greedy, Sampling
from lora_mcl.decoding.acceleration import Accelerator
from lora_mcl.decoding.static import StaticShape
from lora_mcl.errors import OptionsError
from tests.support.tiny_decoders import (
    DECODERS,
    SHARING,
    assert_same,
    decode,
    engine_of,
    prompt_of,
    stack_on,
)

PAGE = [
    ColumnRequest("hypothesis-0", 0, Greedy()),
    ColumnRequest("beam", 2, BeamSearch(3)),
    ColumnRequest("hypothesis-1", 1, BeamSearch(2)),
    ColumnRequest("diverse-beam", 2, DiverseBeamSearch(4, 2, 0.8)),
    ColumnRequest("base", BASE_ROW, Greedy()),
    ColumnRequest("samples", 2, Sampling(3)),
]
EOS = (3, 11, 27)


def accelerated(engine, acceleration="static", **options):
    return replace(engine, options=EngineOptions(acceleration=acceleration, **options))


def columns_on(media: int) -> list[ColumnRequest]:
    return [replace(r, prompt=medium, id=f"{r.id}-{medium}") for medium in range(media) for r in PAGE]


@pytest.mark.parametrize("layers", [(0, 1), (1,)], ids=["all layers", "upper layer"])
@pytest.mark.parametrize("name", SHARING)
def test_fixed_shapes_change_no_answer(name, layers, caplog):
    model = DECODERS[name](1)
    engine = engine_of(model, stack_on(model, *layers), EOS)
    static = accelerated(engine)
    # The second request finds the step of the first, with what that one left in it.
    for lengths, seed in (((4, 9), 0), ((7, 5), 1)):
        prompt = prompt_of(model, *lengths, seed=seed)
        expected = decode(engine, prompt, columns_on(2), 12).columns
        found = decode(static, prompt, columns_on(2), 12).columns
        for id, candidates in expected.items():
            assert_same(found[id], candidates)
    assert our_warnings(caplog) == []


def our_warnings(caplog) -> list[str]:
    """Messages of the project's loggers."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("lora_mcl")]


def batch_sizes(model: torch.nn.Module) -> list[int]:
    sizes = []
    model.register_forward_hook(lambda module, args, output: sizes.append(output.logits.shape[0]))
    return sizes


def test_every_step_has_the_same_rows_and_is_built_once():
    model = DECODERS["llama"](2)
    engine = accelerated(engine_of(model, stack_on(model, 0, 1), EOS))
    sizes = batch_sizes(model)
    prompt = prompt_of(model, 9)
    first = decode(engine, prompt, PAGE, 12)
    step = engine.accelerator._step
    assert sizes == [4] + [1 + 3 + 2 + 4 + 1 + 3] * (first.steps - 1)
    decode(engine, prompt_of(model, 6), PAGE, 9)
    assert engine.accelerator._step is step
    decode(engine, prompt, PAGE[:2], 9)
    assert engine.accelerator._step is not step


def test_which_step_serves_which_request():
    shape = StaticShape((1, 3), (0, 2), (0, 0), 0, prompt_capacity=100, written_capacity=20)
    rounded = shape.rounded()
    assert (rounded.prompt_capacity, rounded.written_capacity) == (256, 32)
    assert rounded.fits(shape) and rounded.fits(replace(shape, prompt_capacity=256)) and shape.rounded().fits(rounded)
    for change in (
        {"prompt_capacity": 257},
        {"written_capacity": 33},
        {"rows": (1, 2)},
        {"adapters": (0, 1)},
        {"prompt_of": (0, 1)},
    ):
        assert not rounded.fits(replace(shape, **change))
    assert not rounded.fits(replace(shape, num_shared_layers=1))


def test_a_second_decode_at_the_same_time_goes_without(caplog):
    model = DECODERS["llama"](2)
    engine = accelerated(engine_of(model, stack_on(model, 0, 1), EOS))
    prompt, other = prompt_of(model, 9), prompt_of(model, 7, seed=1)
    expected = [decode(engine, p, PAGE, 12).columns for p in (prompt, other)]
    events = engine.decode(prompt, PAGE, max_new_tokens=12)
    found = dict(next(events).columns)
    for id, candidates in decode(engine, other, PAGE, 12).columns.items():
        assert_same(candidates, expected[1][id])
    assert "another decode of this engine is going on" in caplog.text
    for event in events:
        found.update(event.columns)
    for id, candidates in found.items():
        assert_same(candidates, expected[0][id])
    # A decode that is given up leaves the step free.
    events = engine.decode(prompt, PAGE, max_new_tokens=12)
    next(events)
    next(events)
    events.close()
    caplog.clear()
    decode(engine, prompt, PAGE, 12)
    assert our_warnings(caplog) == []


def test_a_step_that_is_found_ready_sees_the_adapters_as_they_are_now():
    model = DECODERS["llama"](2)
    stack = stack_on(model, 0, 1)
    engine = engine_of(model, stack, EOS)
    static, prompt = accelerated(engine), prompt_of(model, 9)
    before = decode(static, prompt, PAGE, 12).columns
    with torch.no_grad():
        for layer in stack.layers.values():
            layer.lora_B.mul_(-1.0)
    after = decode(static, prompt, PAGE, 12).columns
    for id, candidates in decode(engine, prompt, PAGE, 12).columns.items():
        assert_same(after[id], candidates)
    assert after["beam"] != before["beam"]


@pytest.mark.parametrize("poisoned", ["prompt", "generated"])
def test_a_request_with_nan_leaves_nothing_to_the_next(poisoned):
    """Prompts of the first request are longer, so that its states lie where the next one has only masked ones."""
    model = DECODERS["llama"](2)
    engine = engine_of(model, stack_on(model, 0, 1), EOS)
    static, prompt = accelerated(engine), prompt_of(model, 5)
    columns = [column for column in PAGE if not isinstance(column.strategy, Sampling)]
    expected = decode(engine, prompt, columns, 4).columns
    longer = prompt_of(model, 9, seed=1)
    if poisoned == "prompt":
        longer.inputs_embeds.fill_(torch.nan)
        decode(static, longer, columns, 12)
    else:
        poison = (
            model.get_decoder()
            .layers[0]
            .register_forward_pre_hook(lambda module, args: (args[0] * torch.nan,) if args[0].shape[1] == 1 else None)
        )
        decode(static, longer, columns, 12)
        poison.remove()
    for id, candidates in decode(static, prompt, columns, 4).columns.items():
        assert_same(candidates, expected[id])


@pytest.mark.slow
def test_a_compiled_step_changes_no_answer(caplog):
    model = DECODERS["llama"](1)
    engine = engine_of(model, stack_on(model, 0, 1), EOS)
    compiled = accelerated(engine, "compile", compile_backend="eager")
    prompt = prompt_of(model, 8)
    expected, found = (decode(e, prompt, PAGE, 12).columns for e in (engine, compiled))
    for id, candidates in expected.items():
        assert_same(found[id], candidates)
    assert our_warnings(caplog) == []


@pytest.mark.parametrize(
    ("name", "acceleration", "options", "reason"),
    [
        ("llama", "cuda-graph", {}, "the model is on the cpu, which has no CUDA graphs"),
        ("qwen2-sliding", "static", {}, "Qwen2Model has layers that do not attend to all positions"),
        ("llama", "compile", {"compile_backend": "no such backend"}, "no such backend"),
    ],
)
def test_what_is_not_possible_is_logged_once_and_done_without(name, acceleration, options, reason, caplog):
    model = DECODERS[name](1)
    engine = engine_of(model, stack_on(model, 0, 1), EOS)
    prompt = prompt_of(model, 8)
    expected = decode(engine, prompt, PAGE, 12).columns
    with caplog.at_level(logging.WARNING, logger="lora_mcl"):
        found = accelerated(engine, acceleration, **options)
        for _ in range(2):
            for id, candidates in decode(found, prompt, PAGE, 12).columns.items():
                assert_same(candidates, expected[id])
    (message,) = our_warnings(caplog)
    assert message.startswith(f"Decoding without acceleration ({acceleration}): ")
    assert reason in message


def test_options_are_refused_with_the_reason():
    with pytest.raises(OptionsError, match="acceleration must be one of off, static, cuda-graph, compile, not 'fast'"):
        EngineOptions(acceleration="fast")
    with pytest.raises(OptionsError, match="'static' needs share_prompts"):
        EngineOptions(share_prompts=False, acceleration="static")


def test_a_model_on_several_devices_goes_without():
    model = DECODERS["llama"](1)
    accelerator = Accelerator(model, None, EngineOptions(acceleration="static"))
    assert accelerator._obstacle() is None
    model.model.norm.to("meta")
    assert accelerator._obstacle() == "the model lies on 2 devices"
