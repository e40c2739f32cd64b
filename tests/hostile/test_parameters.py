"""Odd types and values for every parameter of the endpoints and every option of the command line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_mcl.cli import main
from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions
from tests.support.browsing import COLUMNS
from tests.support.fake_captioner import FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from ui.settings import SETTINGS, options_for

pytestmark = [pytest.mark.usefixtures("quiet"), *GRADIO_WARNINGS]

ODD = (
    None,
    True,
    "",
    "3",
    "many",
    "<script>alert(1)</script>",
    "\x00\x1b[31m",
    [],
    [3],
    {},
    {"value": 3},
    -1,
    -0.5,
    2.5,
    1e308,
    -1e308,
    10**30,
    5e-324,
    2**63,
)
PARAMETERS = [("image", setting.name) for setting in SETTINGS] + [("audio", "num_beams"), ("audio", "start")]
# Odd values that are in bounds, or leave the choice to the server.
FITTING = {("diversity_penalty", 2.5), ("diversity_penalty", 5e-324), ("start", 5e-324)}
FITTING |= {("start", None), ("num_beam_groups", None)}


@pytest.mark.parametrize(("modality", "name"), PARAMETERS)
@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:30])
def test_odd_values_get_messages(page, picture, clip, modality, name, value):
    media = picture if modality == "image" else clip
    answer = page.ask(modality, media, **{name: value})
    if isinstance(value, float | None) and (name, value) in FITTING:
        assert answer.captioned, answer.message
    else:
        assert not answer.captioned and name in answer.message
        assert not re.search(r"[\x00-\x1f]", answer.message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = st.integers(-3, 70) | st.floats()


CAPTIONER = FakeCaptioner()
VALUES = {setting.name: JSON | NUMBERS for setting in SETTINGS}


@given(st.fixed_dictionaries(VALUES, optional={"columns": JSON | st.lists(st.sampled_from(COLUMNS), max_size=3)}))
def test_any_values_make_options_or_a_message(values):
    try:
        options = options_for(values, CAPTIONER)
    except OptionsError as error:
        assert str(error)
    else:
        # The server chooses what is left out.
        given_values = {name: value for name, value in values.items() if value is not None and name != "columns"}
        assert set(options.columns) <= {*COLUMNS, "sampling"}
        assert {name: getattr(options, name) for name in given_values} == given_values
        assert all(s.low <= given_values.get(s.name, s.low) <= s.high for s in SETTINGS)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CompareOptions.__dataclass_fields__, JSON | NUMBERS)))
def test_any_options_are_checked_or_refused(values):
    try:
        options = CompareOptions(**values)
    except OptionsError as error:
        assert str(error).split()[0] in CompareOptions.__dataclass_fields__
    else:
        assert 1 <= options.num_beams <= 64 and options.num_beams % options.num_beam_groups == 0


FLAGS = (
    "start",
    "beams",
    "groups",
    "diversity-penalty",
    "hypothesis-beams",
    "max-new-tokens",
    "min-new-tokens",
    "repetition-penalty",
    "length-penalty",
    "samples",
    "temperature",
    "top-k",
    "top-p",
    "typical-p",
    "seed",
)
TEXTS = ("nan", "inf", "-inf", "1e400", "-1", "0", "99999999999999999999", "1.5", "many", "", "٣", "0x10", "1\n2")


@pytest.fixture
def command(monkeypatch, capfd, tiny_captioner, tiny_audio_captioner, tiny_bundle, tiny_audio_bundle):
    """The ``caption`` command on captioners that are already loaded; returns status, output and errors."""
    loaded = {tiny_bundle: tiny_captioner, tiny_audio_bundle: tiny_audio_captioner}
    monkeypatch.setattr("lora_mcl.cli.caption.Captioner.load", lambda bundle, **_: loaded[bundle.folder])

    def run(*arguments):
        try:
            status = main(["caption", *map(str, arguments)])
        except SystemExit as end:  # argparse's
            status = end.code
        return status, *capfd.readouterr()

    return run


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("flag", FLAGS)
def test_odd_texts_after_every_flag(command, clip, tiny_audio_bundle, flag, text):
    quick = ("--samples", "1") if flag in ("temperature", "top-k", "top-p", "typical-p", "seed") else ()
    short = () if "tokens" in flag else ("--max-new-tokens", "3")
    status, out, errors = command(clip, "--model", tiny_audio_bundle, *quick, *short, f"--{flag}={text}")
    assert "Traceback" not in errors
    if status == 0:
        assert len(out.splitlines()) > 4 and "nan" not in out
    else:
        assert status == 2 and out == ""
        assert re.match(r"(lora_mcl|.*error): \S", errors.splitlines()[-1]), errors


@pytest.mark.parametrize("name", ["a\nb.png", "\x1b[31m.png", "a" * 300, "\0.png", "/dev/null", "-"])
def test_odd_paths(command, tmp_path, monkeypatch, tiny_bundle, name):
    monkeypatch.chdir(tmp_path)
    status, out, errors = command(name, "--model", tiny_bundle)
    assert status == 2 and out == "" and errors.startswith("lora_mcl: ") and "Traceback" not in errors
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", errors) and errors.count("\n") == 1
