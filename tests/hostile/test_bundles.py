"""Bundles that somebody else made: paths that lead out of them, links, damaged weights, code that must not run."""

import json
import os
import re
import shutil
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_mcl.adapters.peft_folder import read_config
from lora_mcl.bundle import load_bundle
from lora_mcl.bundle.bundle import _parse
from lora_mcl.bundle.import_official import read_official
from lora_mcl.cli import main
from lora_mcl.errors import BundleError
from lora_mcl.models.base import load_model_config

pytestmark = [
    pytest.mark.usefixtures("quiet"),
    pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are Unix's"),
]
WEIGHTS, CONFIG = "hypotheses/0/adapter_model.safetensors", "hypotheses/0/adapter_config.json"


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    """A copy of the tiny bundle, with its base next to it, to be spoilt."""
    for name in ("base", "bundle"):
        shutil.copytree(tiny_bundle.parent / name, tmp_path / name)
    return tmp_path / "bundle"


@pytest.fixture
def caption(bundle, picture, capfd):
    """Caption a picture with the bundle; returns the message, which is empty where there were captions."""

    def run():
        status = main(["caption", str(picture), "--model", str(bundle), "--device", "cpu", "--max-new-tokens", "2"])
        out, errors = capfd.readouterr()
        assert "Traceback" not in errors
        if status == 0:
            assert len(out.splitlines()) > 4
            return ""
        (message,) = [line for line in errors.splitlines() if line.startswith("lora_mcl: ")]
        assert status == 2 and out == ""
        return message

    return run


def change(file, **changes):
    """Change fields of a JSON file; ``None`` drops one."""
    table = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in table.items() if value is not None}))


def test_the_bundle_is_good_before_it_is_spoilt(caption):
    assert caption() == ""


LEAVING = (
    "../outside",
    "hypotheses/../../outside",
    "/etc",
    "//etc",
    "C:/outside",
    "..\\outside",
    "hypotheses\\0",
    "~/outside",
    "file:///etc",
    "",
    " ",
    "\0",
    "a" * 5_000,
    "hypotheses/9",
    "hypotheses/0\n",
    "..",
)


@pytest.mark.parametrize("path", LEAVING, ids=lambda path: ascii(path)[:30])
def test_paths_that_lead_out_of_the_bundle(bundle, caption, path):
    shutil.copytree(bundle / "hypotheses" / "0", bundle.parent / "outside")
    change(bundle / "bundle.json", hypotheses=[{"path": path, "label": "A"}])
    assert re.search(r"bundle\.json: hypotheses\[0\]\.path: ", caption())


@pytest.mark.parametrize(
    "path", ["/etc", "\0", "a" * 5_000, "..\\base", "", "../bundle", "../nothing", "C:/base"], ids=ascii
)
def test_bases_that_are_none(bundle, caption, path):
    change(bundle / "bundle.json", base={"path": path})
    assert caption().startswith("lora_mcl: ")


def test_a_fetched_bundle_reads_nothing_outside(bundle):
    table = json.loads((bundle / "bundle.json").read_text())
    with pytest.raises(BundleError, match="must stay inside the bundle"):
        _parse(table, bundle, name="me/bundle", local=False)


def pipe(bundle):
    (bundle / "bundle.json").unlink()
    os.mkfifo(bundle / "bundle.json")


def folder(bundle):
    (bundle / "bundle.json").unlink()
    (bundle / "bundle.json").mkdir()


def link_to(file, target):
    file.unlink()
    file.symlink_to(target)


def circle(bundle):
    link_to(bundle / "bundle.json", bundle / "bundle.json")


def write(name, data):
    return lambda bundle: (bundle / name).write_bytes(data)


SPOILT = {
    "empty": write("bundle.json", b""),
    "null": write("bundle.json", b"null"),
    "a list": write("bundle.json", b"[]"),
    "a text": write("bundle.json", b'"bundle"'),
    "deep": write("bundle.json", b"[" * 100_000 + b"]" * 100_000),
    "deep table": write("bundle.json", b'{"training": ' * 100_000 + b"1" + b"}" * 100_000),
    "long number": write("bundle.json", b'{"format_version": ' + b"9" * 10_000 + b"}"),
    "not a number": write("bundle.json", b'{"format_version": NaN}'),
    "latin-1": write("bundle.json", '{"prompt": "é"}'.encode("latin-1")),
    "utf-16": write("bundle.json", "{}".encode("utf-16")),
    "zeros": write("bundle.json", bytes(100)),
    "a pipe": pipe,
    "a folder": folder,
    "a link to itself": circle,
    "a link to nothing": lambda bundle: link_to(bundle / "bundle.json", "nothing"),
    "a link to passwords": lambda bundle: link_to(bundle / "bundle.json", "/etc/passwd"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_is_no_bundle_json(bundle, caption, spoil):
    spoil(bundle)
    message = caption()
    assert "bundle.json" in message and "root:" not in message and len(message) < 1_000


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


TENSOR = {"dtype": "F32", "shape": [4, 32], "data_offsets": [0, 512]}
BAD_WEIGHTS = {
    "empty": b"",
    "short": b"\1\2\3",
    "endless header": struct.pack("<Q", 2**63) + b"{}",
    "no header": safetensors(b"x" * 50),
    "deep header": safetensors(b'{"a":' * 50_000),
    "no tensors": safetensors({}),
    "other names": safetensors({"weight": TENSOR}, bytes(512)),
    "beyond the end": safetensors({"weight": TENSOR | {"data_offsets": [0, 2**60]}}, bytes(512)),
    "backwards": safetensors({"weight": TENSOR | {"data_offsets": [512, 0]}}, bytes(512)),
    "huge shape": safetensors({"weight": TENSOR | {"shape": [2**40, 2**40]}}, bytes(512)),
    "odd type": safetensors({"weight": TENSOR | {"dtype": "PY_OBJECT"}}, bytes(512)),
    "a page": b"<html>Sign in</html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
}
PICKLE = b"cos\nsystem\n(S'touch %s'\ntR."


@pytest.mark.parametrize("where", [WEIGHTS, "../base/model.safetensors"], ids=["adapter", "base"])
@pytest.mark.parametrize("data", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_weights_that_are_none(bundle, caption, where, data):
    (bundle / where).write_bytes(data)
    assert caption().startswith("lora_mcl: ")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("where", [WEIGHTS, "../base/model.safetensors"], ids=["adapter", "base"])
def test_weights_cut_off(bundle, caption, where, part):
    data = (bundle / where).read_bytes()
    (bundle / where).write_bytes(data[: int(part * len(data))])
    assert caption().startswith("lora_mcl: ")


def test_pickles_are_never_opened(bundle, caption, tmp_path):
    """Neither in the place of safetensors nor under its name."""
    marker = tmp_path / "ran"
    code = PICKLE % str(marker).encode()
    for file in (bundle / "hypotheses/0/adapter_model.bin", bundle.parent / "base/pytorch_model.bin"):
        file.write_bytes(code)
    assert caption() == ""
    (bundle / WEIGHTS).write_bytes(code)
    assert caption().startswith("lora_mcl: ")
    (bundle / WEIGHTS).unlink()
    assert "has no adapter_model.safetensors" in caption()
    (bundle.parent / "base/model.safetensors").unlink()
    assert caption().startswith("lora_mcl: ")
    assert not marker.exists()


def test_code_that_comes_with_a_base_never_runs(bundle, caption, tmp_path, monkeypatch):
    """Nor is anybody asked whether it should."""
    marker, base = tmp_path / "ran", bundle.parent / "base"
    (base / "code.py").write_text(f"open({str(marker)!r}, 'w')\nclass C: ...\n")
    names = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoTokenizer", "AutoModelForCausalLM")
    for file in base.glob("*config.json"):
        change(file, auto_map=dict.fromkeys(names, "code.C"))

    def asked(*_):
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("builtins.input", asked)
    caption()
    change(base / "config.json", model_type="unknown")
    assert caption().startswith("lora_mcl: ")
    assert not marker.exists()


TEMPLATES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ cycler.__init__.__globals__.os.system('false') }}",
    "{% include '/etc/passwd' %}",
    "{{ raise_exception('no') }}",
    "{% if %}",
    "{{ 1 / 0 }}",
    "{{ messages[9].content }}",
    "prompt",
)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template[:30])
def test_chat_templates_that_want_more_than_a_prompt(bundle, caption, template):
    change(bundle / "bundle.json", chat_template=template)
    message = caption()
    assert message.startswith("lora_mcl: ") and "root:" not in message


BAD_CONFIGS = (
    {"r": 0},
    {"r": -1},
    {"r": 10**9},
    {"r": "4"},
    {"r": True},
    {"r": 2.5},
    {"lora_alpha": "much"},
    {"lora_alpha": float("nan")},
    {"lora_alpha": float("inf")},
    {"target_modules": []},
    {"target_modules": ["nothing_like_it"]},
    {"target_modules": "("},
    {"target_modules": 3},
    {"peft_type": "PROMPT_TUNING"},
    {"peft_type": None},
    {"use_dora": True},
    {"bias": "all"},
    {"rank_pattern": {"(": 4}},
    {"rank_pattern": {".*": -4}},
)


@pytest.mark.parametrize("changes", BAD_CONFIGS, ids=ascii)
def test_adapter_configurations_that_cannot_be(bundle, caption, changes):
    change(bundle / CONFIG, **changes)
    message = caption()
    assert message.startswith("lora_mcl: "), "captioned"


# A good table with one or two of its leaves replaced by anything.
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
ANYTHING = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@given(data=st.data())
def test_any_change_of_the_table_is_read_or_refused(tiny_bundle, data):
    table = json.loads((tiny_bundle / "bundle.json").read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        table = replaced(table, data.draw(st.sampled_from([*places(table)])), data.draw(ANYTHING))
    try:
        bundle = _parse(table, tiny_bundle, name="bundle", local=True)
    except BundleError as error:
        assert str(error).startswith("bundle.json: ")
    else:
        assert all((bundle.folder / ref.path).is_dir() for ref in bundle.hypotheses)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"null", b"{", b"[" * 100_000, b"{}", b'{"a": [1]}', bytes(9)])
@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"])
def test_files_of_a_base_that_are_none(bundle, caption, name, content):
    file = bundle.parent / "base" / name
    assert file.is_file()
    file.write_bytes(content)
    message = caption()  # none where transformers has defaults
    assert len(message) < 1_000 and (name != "config.json" or message)


@given(data=st.data())
def test_any_change_of_a_bases_configuration_is_read_or_refused(tiny_base, tmp_path_factory, data):
    table = json.loads((tiny_base / "config.json").read_text())
    table = replaced(table, data.draw(st.sampled_from([*places(table)])), data.draw(ANYTHING))
    folder = tmp_path_factory.mktemp("base")
    (folder / "config.json").write_text(json.dumps(table))
    try:
        assert load_model_config(folder).model_type
    except BundleError as error:
        assert str(folder) in str(error)


@given(data=st.data())
def test_any_change_of_an_adapters_configuration_is_read_or_refused(tiny_bundle, tmp_path_factory, data):
    """By the readers of PEFT's folders and of the authors' checkpoints, which have the same fields."""
    table = {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {"q_proj": 16}} | json.loads(
        (tiny_bundle / CONFIG).read_text()
    )
    for _ in range(data.draw(st.integers(1, 2))):
        table = replaced(table, data.draw(st.sampled_from([*places(table)])), data.draw(ANYTHING))
    folder = tmp_path_factory.mktemp("adapter") / "lora0"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(table))
    shutil.copy(tiny_bundle / WEIGHTS, folder)
    try:
        spec = read_config("a", folder)
    except BundleError as error:
        assert "adapter_config.json" in str(error)
    else:
        assert spec.rank >= 1 and 0 < spec.alpha < float("inf") and 0 <= spec.dropout < 1
    try:
        read = read_official(folder.parent, "image")
    except BundleError as error:
        assert str(folder) in str(error)
    else:
        assert read.rank >= 1 and 0 < read.alpha < float("inf") and 0 <= read.dropout < 1


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_no_bundle(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "bundle.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(folder)
