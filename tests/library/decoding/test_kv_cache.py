"""KV caches with shared and copied prompts, and shared layers: ordinary attention, fewer rows, the same answers."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, StaticLayer

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, EngineOptions, Greedy, Sampling
from lora_mcl.decoding.copied_prompt_cache import CopiedPromptCache
from lora_mcl.decoding.decode_state import DecodeState
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS
from lora_mcl.decoding.prefill import Prefill, Prefix, prefill
from lora_mcl.decoding.prefix_groups import EqualGroups, PrefixGroups
from lora_mcl.decoding.shared_layers import decoder_layers, decoder_of, num_shared_layers
from lora_mcl.decoding.shared_prompt_cache import (
    SharedKV,
    SharedPromptLayer,
    can_share_prompts,
    shared_prompt_attention,
)
from tests.support.reference import generate
from tests.support.tiny_decoders import (
    DECODERS,
    SHARING,
    assert_same,
    decode,
    engine_of,
    prompt_of,
    random_stack,
    row_of,
    stack_on,
)

LAYOUTS = [[0, 1, 2], [0, 0, 0], [0, 1, 1, 2, 2, 2], [0, 1, 2, 2, 2], [2, 0, 2, 1, 1], [1, 0, 1, 0]]


def test_prefix_groups_by_hand():
    assert PrefixGroups.of([0, 1, 2, 2]) == PrefixGroups(
        (EqualGroups(slice(0, 2), slice(0, 2)), EqualGroups(slice(2, 3), slice(2, 4)))
    )
    mixed = PrefixGroups.of([1, 0, 1])
    assert mixed.runs == (EqualGroups(slice(0, 1), slice(0, 1)), EqualGroups(slice(1, 2), slice(1, 3)))
    assert mixed.order.tolist() == [1, 0, 2] and mixed.inverse.tolist() == [1, 0, 2]


@pytest.mark.parametrize("prompts", LAYOUTS, ids=str)
def test_a_product_with_each_rows_own_prompt(prompts):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(len(prompts), 2, 3, 4, generator=generator)
    matrices = torch.randn(max(prompts) + 1, 2, 4, 5, generator=generator)
    expected = torch.stack([row @ matrices[prompt] for row, prompt in zip(rows, prompts, strict=True)])
    torch.testing.assert_close(PrefixGroups.of(prompts).product(rows, matrices), expected)


@pytest.mark.parametrize("prompts", LAYOUTS, ids=str)
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)], ids=str)
def test_attention_on_shared_prompts_is_ordinary_attention(prompts, heads, dtype, tolerance):
    generator = torch.Generator().manual_seed(1)
    query_heads, key_heads = heads
    rows, count, length, written = len(prompts), max(prompts) + 1, 7, 3

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    query = draw(rows, query_heads, 1, 8)
    prompt_keys, prompt_values = draw(count, key_heads, length, 8), draw(count, key_heads, length, 8)
    keys, values = draw(rows, key_heads, written, 8), draw(rows, key_heads, written, 8)
    padding = torch.arange(length) < torch.tensor([2, 0, 4][:count])[:, None]
    bias = torch.zeros(rows, 1, 1, length + written)
    bias[..., :length].masked_fill_(padding[prompts][:, None, None], -torch.inf)
    groups = PrefixGroups.of(prompts)
    answer, _ = shared_prompt_attention(
        torch.nn.Module(),
        query,
        SharedKV(prompt_keys, keys, groups, bias),
        SharedKV(prompt_values, values, groups),
        None,
        scaling=0.3,
    )
    expected = functional.scaled_dot_product_attention(
        query.float(),
        torch.cat([prompt_keys[prompts], keys], dim=2).float(),
        torch.cat([prompt_values[prompts], values], dim=2).float(),
        attn_mask=bias,
        scale=0.3,
        enable_gqa=True,
    )
    torch.testing.assert_close(answer.transpose(1, 2).float(), expected, atol=tolerance, rtol=tolerance)


def test_in_bfloat16_scores_are_normalised_in_full_precision():
    """Against fp64 on the same bfloat16 values, only the rounding of products and of the output is left."""
    generator = torch.Generator().manual_seed(3)
    rows, length, written, size = 4, 200, 9, 48

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(torch.bfloat16)

    query, prompt_keys, prompt_values = 8 * draw(rows, 2, 1, size), draw(1, 2, length, size), draw(1, 2, length, size)
    keys, values = draw(rows, 2, written, size), draw(rows, 2, written, size)
    groups = PrefixGroups.of([0] * rows)
    output, _ = shared_prompt_attention(
        torch.nn.Module(), query, SharedKV(prompt_keys, keys, groups), SharedKV(prompt_values, values, groups), None
    )
    all_keys = torch.cat([prompt_keys.expand(rows, -1, -1, -1), keys], dim=2)
    all_values = torch.cat([prompt_values.expand(rows, -1, -1, -1), values], dim=2)
    # The products of bfloat16 tensors are bfloat16; from there on only the weights are rounded again.
    scores = (query @ all_keys.mT).double() * size**-0.5
    weights = scores.softmax(dim=-1).to(torch.bfloat16).double()
    expected = (weights @ all_values.double()).transpose(1, 2)
    assert float((output.double() - expected).abs().max()) < 0.012


def test_a_kind_of_attention_that_is_not_computed_is_refused():
    states = SharedKV(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 1, 4), PrefixGroups.of([0]))
    with pytest.raises(ValueError, match=r"Module uses softcap.*share_prompts=False"):
        shared_prompt_attention(torch.nn.Module(), torch.zeros(1, 1, 1, 4), states, states, None, softcap=50.0)


def test_which_decoders_can_share():
    assert {name for name in DECODERS if can_share_prompts(decoder_of(DECODERS[name](0)))} == set(SHARING)


PAGE = [
    ColumnRequest("beam", 2, BeamSearch(3)),
    ColumnRequest("hypothesis-0", 0, Greedy()),
    ColumnRequest("hypothesis-1", 1, BeamSearch(2)),
    ColumnRequest("diverse-beam", 2, DiverseBeamSearch(4, 2, 0.8)),
    ColumnRequest("base", BASE_ROW, Greedy()),
    ColumnRequest("samples", 2, Sampling(3)),
]


@contextmanager
def rows_of_layers(model: torch.nn.Module):
    """For every layer the batch size of each of its calls; and the caches that were used."""
    layers, caches = decoder_layers(decoder_of(model)), []
    rows: list[list[int]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_hook(lambda module, args, output, own=own: own.append(output.shape[0]))
        for layer, own in zip(layers, rows, strict=True)
    ]
    hooks.append(
        model.register_forward_pre_hook(
            lambda module, args, kwargs: caches.append(kwargs["past_key_values"]), with_kwargs=True
        )
    )
    yield rows, caches
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("name", DECODERS)
def test_sharing_changes_no_answer(name):
    model = DECODERS[name](1)
    stack = stack_on(model, 0, 1)
    prompt = prompt_of(model, 4, 9)
    columns = [replace(r, prompt=medium, id=f"{r.id}-{medium}") for medium in (1, 0) for r in PAGE]
    sharing = engine_of(model, stack, (3, 11, 27))
    copying = replace(sharing, options=EngineOptions(share_prompts=False))
    shared, copied = (decode(engine, prompt, columns, 12).columns for engine in (sharing, copying))
    for column in columns:
        assert_same(shared[column.id], copied[column.id])


def scores_of(model: torch.nn.Module, prompt, tokens: list[int], share_prompts: bool) -> torch.Tensor:
    """[T, V] log-probabilities after each of ``tokens``, whatever the model would have written."""
    prefixes = [Prefix(0, BASE_ROW)]
    read = prefill(model, None, prompt.inputs_embeds, prompt.attention_mask, prefixes)
    rows = DecodeState(model, None, read, share_prompts=share_prompts)
    return torch.cat([rows.step([token], [0]) for token in tokens]).log_softmax(dim=-1)


@pytest.mark.parametrize("name", SHARING)
def test_in_bfloat16_sharing_rounds_no_more_than_the_models_own_attention(name):
    """In bf16 transformers' kinds of attention differ too; what can be asked is to be as near to fp32."""
    errors: dict[str, list[float]] = {"shared": [], "sdpa": [], "eager": []}
    for seed in range(4):
        tokens = torch.randint(1, 32, (14,), generator=torch.Generator().manual_seed(seed)).tolist()
        model = DECODERS[name](seed).to(torch.bfloat16)
        exact = DECODERS[name](seed)
        exact.load_state_dict({key: value.float() for key, value in model.state_dict().items()})
        expected = scores_of(exact, prompt_of(exact, 8, seed=seed), tokens, share_prompts=False)
        for kind in errors:
            model.set_attn_implementation("sdpa" if kind == "shared" else kind)
            found = scores_of(model, prompt_of(model, 8, seed=seed), tokens, share_prompts=kind == "shared")
            errors[kind].append(float((found - expected).abs().mean()))
    shared, sdpa, eager = (sum(kind) for kind in errors.values())
    assert 0 < shared < 1.15 * max(sdpa, eager)


def test_prompts_are_held_once_and_dropped_when_nobody_continues_them():
    model = DECODERS["llama"](2)
    engine = engine_of(model, random_stack(model, (2, 4, 3)), (3, 11, 27))
    held = []
    with rows_of_layers(model) as (rows, caches):
        for event in engine.decode(prompt_of(model, 9), PAGE, max_new_tokens=14):
            layer = caches[-1].layers[-1]
            if event.done:
                assert layer.prompt_keys is None and layer.keys is None
            elif isinstance(layer, SharedPromptLayer):
                held.append((layer.prompt_keys.shape[0], layer.prompt_keys.shape[2], layer.keys.shape[0]))
    assert held[0][:2] == (4, 9)  # four readings of the prompt, whatever the rows
    assert [live for _, _, live in held] == rows[-1][1:-1]
    prompts = [count for count, _, _ in held]
    assert prompts == sorted(prompts, reverse=True) and prompts[-1] < 4


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_models_own_attention_is_put_back(implementation):
    model = DECODERS["llava-next"](0)
    model.set_attn_implementation(implementation)
    decoder = decoder_of(model)
    during = []
    for layer in decoder_layers(decoder):
        layer.register_forward_hook(lambda *_: during.append(decoder.config._attn_implementation))
    for _ in engine_of(model, None, ()).decode(prompt_of(model, 5), [PAGE[4]], max_new_tokens=3):
        assert decoder.config._attn_implementation == implementation
    assert during == [implementation] * 2 + ["shared_prompt"] * 4


@pytest.mark.parametrize("share_prompts", [True, False])
@pytest.mark.parametrize("lengths", [(8,), (5, 9, 7)], ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_the_shared_layers_are_read_once_for_each_medium(name, lengths, share_prompts):
    model = DECODERS[name](3)
    engine = replace(engine_of(model, stack_on(model, 1), (3, 11)), options=EngineOptions(share_prompts))
    prompt = prompt_of(model, *lengths)
    columns = [replace(r, prompt=m, id=f"{r.id}-{m}") for m in range(len(lengths)) for r in PAGE[::2]]
    assert num_shared_layers(decoder_layers(decoder_of(model))) == 1
    with rows_of_layers(model) as (rows, caches):
        together = decode(engine, prompt, columns, 10).columns
    assert isinstance(caches[0].layers[0], DynamicLayer)
    assert [layer[0] for layer in rows] == [len(lengths), 3 * len(lengths)]  # the first forward is the prefill
    assert rows[0][1:] == rows[1][1:]
    for column in columns:
        with rows_of_layers(model) as (rows, _):
            alone = decode(engine, row_of(prompt, column.prompt), [replace(column, prompt=0)], 10).columns
        assert [layer[0] for layer in rows] == [1, 1]
        assert_same(together[column.id], alone[column.id])


def test_the_states_of_shared_layers_are_held_once_for_each_medium():
    model = DECODERS["llama"](3)
    engine = engine_of(model, stack_on(model, 1), ())
    with rows_of_layers(model) as (_, caches):
        events = engine.decode(prompt_of(model, 8), PAGE, max_new_tokens=4)
        next(events)
        next(events)
        assert [layer.prompt_keys.shape[0] for layer in caches[-1].layers] == [1, 4]


def test_on_shared_layers_each_adapter_equals_generate():
    model = DECODERS["llama"](0)
    stack = stack_on(model, 1)
    prompt = prompt_of(model, 7)
    columns = [ColumnRequest(str(adapter), adapter, BeamSearch(2)) for adapter in (BASE_ROW, 0, 1, 2)]
    decoded = decode(engine_of(model, stack), prompt, columns, 10).columns
    for column in columns:
        with stack.rows(torch.full((2,), column.adapter)):
            tokens, _ = generate(model, prompt, (3,), 10, DEFAULT_LOGITS_OPTIONS, num_beams=2, num_return_sequences=2)
        assert [list(candidate.tokens) for candidate in decoded[column.id]] == tokens
    assert len({candidates[0].tokens for candidates in decoded.values()}) == 4


def test_adapters_on_the_first_layer_leave_no_shared_layers():
    model = DECODERS["llama"](0)
    random_stack(model, (2,))
    assert num_shared_layers(decoder_layers(decoder_of(model))) == 0
    assert num_shared_layers(decoder_layers(decoder_of(DECODERS["llama"](0)))) == 1  # no adapter


def test_two_lists_of_as_many_modules_are_not_taken_for_layers():
    """Which of them holds the decoder layers cannot be known, so nothing is shared between hypotheses."""
    decoder = decoder_of(DECODERS["llama"](0))
    assert decoder_layers(decoder) is decoder.layers
    decoder.gates = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in decoder.layers)
    assert decoder_layers(decoder) is None and num_shared_layers(None) == 0


@pytest.mark.parametrize(("lengths", "window"), [((3, 2), 8), ((7, 4), 8), ((9, 5), 4), ((5, 9), 4)])
def test_copied_prompts_keep_the_columns_that_rows_use(lengths, window):
    """By hand: prompts of 9 and of ``lengths`` columns, of which the first row leaves.

    A layer without a window keeps as many columns as the longest row left has; one with a window at most ``window`` - 1
    of them, the last ones. Keys are the row's number and the column's, counted from the right.
    """

    def read(*lengths: int, first: int) -> Prefill:
        total = max(lengths)
        columns = torch.arange(total, 0, -1.0)[None, None, :, None] + 100 * torch.arange(
            first, first + len(lengths)
        ).view(-1, 1, 1, 1)
        mask = torch.arange(total, 0, -1) <= torch.tensor(lengths)[:, None]
        cache = DynamicCache()
        cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(sliding_window=window)]
        for layer in cache.layers:
            layer.update(columns, columns.clone())
        rows = tuple(range(len(lengths)))
        return Prefill(torch.zeros(len(lengths), 5), cache, 0, rows, rows, mask)

    cache = CopiedPromptCache(read(9, first=0), [0])
    assert cache.can_join
    cache.join(read(*lengths, first=1), [1, 2])
    whole, windowed = cache.cache.layers
    assert [layer.keys.shape[2] for layer in (whole, windowed)] == [9, min(9, window - 1)]
    assert windowed.get_seq_length() == 9
    cache.reorder([2, 1, 1], torch.device("cpu"))
    longest = max(lengths)
    for layer, length in ((whole, longest), (windowed, min(longest, window - 1))):
        assert layer.keys.shape == layer.values.shape == (3, 1, length, 1)
        for row, number in enumerate((2, 1, 1)):
            kept = min(lengths[number - 1], length)
            expected = [100.0 * number + column for column in range(kept, 0, -1)]
            assert layer.keys[row, 0, length - kept :, 0].tolist() == expected
            assert layer.values[row, 0, length - kept :, 0].tolist() == expected
    assert windowed.get_seq_length() == longest
    mask = cache.begin_step([2, 1, 1])
    assert mask.sum(dim=1).tolist() == [lengths[1] + 1, lengths[0] + 1, lengths[0] + 1] and mask[:, -1].all()
    assert mask.shape == (3, longest + 1) and mask[:, 1:].sum() >= mask.sum() - 3


def test_layers_of_other_kinds_do_not_take_rows_later():
    cache = DynamicCache()
    cache.layers = [DynamicLayer(), StaticLayer(max_cache_len=4)]
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert not CopiedPromptCache(Prefill(torch.zeros(1, 5), cache, 0, (0,), (0,), mask), [0]).can_join
