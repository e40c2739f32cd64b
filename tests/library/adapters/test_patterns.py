"""Which regular expressions may select modules."""

import re

import pytest
from peft import LoraConfig

from lora_mcl.adapters.patterns import check_pattern
from lora_mcl.adapters.spec import LANGUAGE_MODEL_LINEARS, AdapterSpec
from lora_mcl.errors import OptionsError

NAME = "model.language_model.layers.31.self_attn.q_proj"
SLOW = "target_modules is a regular expression that may take very long to match: use fewer"


@pytest.mark.parametrize(
    "pattern",
    [
        LANGUAGE_MODEL_LINEARS,
        r".*\.layers\.\d+\..*",
        r".*q_proj|.*k_proj|.*v_proj|.*o_proj",
        r"model\.(language_model\.)?layers\.(?:30|31)\.(self_attn|mlp)\.[qkv]_proj",
        r".*(?:q_proj|v_proj)$",
        r"(?!.*vision).*\.(q|k|v|o)_proj",
        r"[a-z_.]+\.[0-9]{1,2}\.[a-z_.]+",
        r"(?:[a-z]{5}\.).+?_proj",
        "(?:.|_)" * 16 + ".+",
    ],
)
def test_usual_expressions_are_taken_and_select(pattern):
    check_pattern(pattern, "target_modules")
    assert re.fullmatch(pattern, NAME)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(.*)*x",
        r"(?:[a-z]+\.)*x",
        r"(a|aa)+$",
        r"(?:(?:a|ab)|abc){2,}x",
        r".*.*.*.*x",
        r"(.?){30}x",
        ".?" * 30 + "x",
        "(?:.|_)" * 17 + ".+",
        r"(.+){9}x",
        r"(?=(.+)+x).*",
        r"(a)?(?(1)(b+)+|c)x",
        r"(?:.*){100000}x",
    ],
)
def test_expressions_that_can_take_for_ever_are_refused(pattern):
    with pytest.raises(OptionsError) as refused:
        check_pattern(pattern, "target_modules")
    assert str(refused.value).startswith(SLOW)


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("a?", 22),  # 2 ways each, of 2^22
        ("(?:ab|cd)", 22),  # single letters would be a set: one way
        ("a{2,5}", 11),  # 4 ways each
        ("(?:ab|cd){2}", 11),
        ("(?:ab|cd|ef|gh)?", 9),  # 5 ways each, 5^9 < 2^22 < 5^10
        (".+", 3),  # 64 ways each: 2^18, and 2^24
    ],
)
def test_the_ways_of_a_sequence_are_multiplied_up_to_the_bound(pattern, most):
    check_pattern(pattern * most, "target_modules")
    with pytest.raises(OptionsError, match="may take very long"):
        check_pattern(pattern * (most + 1), "target_modules")


def test_a_fixed_number_of_letters_is_one_way():
    check_pattern("a{3}[bc]{2}d" * 30, "target_modules")


@pytest.mark.parametrize("pattern", ["(", "*a", "a{2,1}", "[z-a]", "(?P<1>a)", r"\8"])
def test_what_is_no_expression_is_refused(pattern):
    with pytest.raises(OptionsError, match="exclude_modules is no regular expression"):
        check_pattern(pattern, "exclude_modules")


@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": r"(a+)+$"},
        {"target_modules": ["q_proj"], "exclude_modules": r"(a+)+$"},
        {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 2, r"(a+)+": 4}},
        {"target_modules": ["q_proj"], "alpha_pattern": {r"(a+)+": 4}},
        {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": ["layers", r"(a+)+"]},
    ],
    ids=lambda fields: list(fields)[-1],
)
def test_every_expression_of_an_adapter_is_checked(fields):
    with pytest.raises(OptionsError, match=f"adapter 'one': {list(fields)[-1]}.* may take very long"):
        AdapterSpec.from_lora_config("one", LoraConfig(**fields))


def test_names_with_dots_are_no_trouble():
    spec = AdapterSpec("one", 2, 4, target_modules=("self_attn.q_proj", "mlp.0"), rank_pattern={"layers.1.q_proj": 4})
    assert spec.target_modules == ("mlp.0", "self_attn.q_proj")
