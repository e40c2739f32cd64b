"""Diverse beam search against stored answers of transformers 4.51.3 (fixtures/make_diverse_beam.py)."""

import json
from functools import lru_cache

import pytest
import torch

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, LogitsOptions
from tests.support.fixtures.make_diverse_beam import prompt_embeds, settings, tiny_llama
from tests.support.paths import ROOT
from tests.support.tiny_decoders import (
    EmbeddedPrompt,
    assert_same,
    decode,
    engine_of,
    prompt_of,
)

FIXTURE = json.loads((ROOT / "tests/support/fixtures/diverse_beam.json").read_text())
SHAPES = sorted({(case["num_beams"], case["num_beam_groups"]) for case in FIXTURE["cases"]})

model_of_seed = lru_cache(tiny_llama)


def answer(case: dict, strategy: DiverseBeamSearch | BeamSearch):
    """What the engine answers to a stored setting."""
    model = model_of_seed(case["seed"])
    embeds = prompt_embeds(model, case["seed"])
    prompt = EmbeddedPrompt(embeds, torch.ones(embeds.shape[:2], dtype=torch.long))
    logits_options = LogitsOptions(case["repetition_penalty"], case["min_new_tokens"])
    engine = engine_of(model, None, tuple(case["eos_token_ids"]))
    column = ColumnRequest("dbs", BASE_ROW, strategy)
    return decode(engine, prompt, [column], case["max_new_tokens"], logits_options).columns["dbs"]


def strategy_of(case: dict) -> DiverseBeamSearch:
    """The strategy of a stored setting."""
    return DiverseBeamSearch(
        num_beams=case["num_beams"],
        num_beam_groups=case["num_beam_groups"],
        diversity_penalty=case["diversity_penalty"],
        num_return_sequences=case["num_return_sequences"],
        length_penalty=case["length_penalty"],
        early_stopping=case["early_stopping"],
    )


def test_the_fixture_is_of_the_settings_in_its_script_and_exercises_the_ends():
    assert FIXTURE["transformers"] == "4.51.3"
    stored = [{k: v for k, v in case.items() if k not in ("sequences", "scores")} for case in FIXTURE["cases"]]
    assert stored == settings()
    ended = [case for case in FIXTURE["cases"] if any(len(s) < case["max_new_tokens"] for s in case["sequences"])]
    assert len(ended) > 50


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_diverse_beam_search_equals_transformers_4(shape):
    cases = [c for c in FIXTURE["cases"] if (c["num_beams"], c["num_beam_groups"]) == shape]
    for case in cases:
        candidates = answer(case, strategy_of(case))
        assert [list(c.tokens) for c in candidates] == case["sequences"], case
        assert [c.score for c in candidates] == pytest.approx(case["scores"], abs=1e-4), case
        assert all(c.finished for c in candidates)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_one_group_is_beam_search(length_penalty, early_stopping):
    for case in FIXTURE["cases"][:4]:
        beam = BeamSearch(4, length_penalty=length_penalty, early_stopping=early_stopping)
        diverse = DiverseBeamSearch(4, 1, 0.8, length_penalty=length_penalty, early_stopping=early_stopping)
        assert_same(answer(case, diverse), answer(case, beam))


def test_without_penalty_every_group_is_the_same_beam_search():
    model = tiny_llama(1)
    prompt = prompt_of(model, 5)
    for eos in [(), (3, 11, 27)]:
        columns = [
            ColumnRequest("beam", BASE_ROW, BeamSearch(2, early_stopping=True)),
            ColumnRequest("diverse", BASE_ROW, DiverseBeamSearch(6, 3, 0.0, early_stopping=True)),
        ]
        decoded = decode(engine_of(model, None, eos), prompt, columns, 9).columns
        thrice = tuple(candidate for candidate in decoded["beam"] for _ in range(3))
        assert_same(decoded["diverse"], thrice)


def test_a_large_penalty_keeps_the_first_tokens_of_the_groups_apart():
    model = tiny_llama(0)
    column = ColumnRequest("dbs", BASE_ROW, DiverseBeamSearch(4, 4, 50.0))
    candidates = decode(engine_of(model, None, ()), prompt_of(model, 5), [column], 5).columns["dbs"]
    for position in range(5):
        assert len({candidate.tokens[position] for candidate in candidates}) == 4
