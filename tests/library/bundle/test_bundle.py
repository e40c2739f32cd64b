"""Bundles: what loads, and one clear error for each way to be malformed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from lora_mcl.bundle import (
    AdapterRef,
    BaseRef,
    Bundle,
    load_bundle,
    save_bundle,
)
from lora_mcl.bundle import bundle as bundle_module
from lora_mcl.captioner import Captioner
from lora_mcl.errors import BundleError
from lora_mcl.types import CompareOptions


def valid() -> dict:
    return {
        "format_version": 1,
        "modality": "image",
        "base": {"path": "base"},
        "prompt": "Describe the image.",
        "hypotheses": [
            {"path": "hypotheses/0", "label": "English", "description": "Names the objects."},
            {"path": "hypotheses/1", "label": "Français"},
        ],
        "baseline": {"path": "baseline", "label": "One adapter", "description": "Trained on everything."},
        "generation": {"num_beams": 4, "num_beam_groups": 2},
        "training": {"steps": 100, "objective": {"name": "caption-gate"}},
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    """A complete bundle folder whose weights are empty files: loading does not read them."""
    root = tmp_path / "pair"
    for adapter in ("hypotheses/0", "hypotheses/1", "baseline"):
        (root / adapter).mkdir(parents=True)
        (root / adapter / "adapter_config.json").write_text("{}")
        (root / adapter / "adapter_model.safetensors").write_bytes(b"")
    (root / "base").mkdir()
    (root / "base" / "config.json").write_text("{}")
    write(root, valid())
    return root


def write(root: Path, table) -> None:
    (root / "bundle.json").write_text(json.dumps(table), encoding="utf-8")


def test_a_valid_bundle(folder):
    bundle = load_bundle(folder)
    assert bundle.name == "pair"
    assert bundle.base_location() == folder / "base"
    assert bundle.prompt == "Describe the image."
    assert [ref.label for ref in bundle.hypotheses] == ["English", "Français"]
    assert bundle.hypotheses[1].description == ""
    assert bundle.generation == CompareOptions(num_beams=4, num_beam_groups=2)
    assert bundle.training["objective"] == {"name": "caption-gate"}
    assert bundle.adapter_folders() == {
        "hypothesis-0": folder / "hypotheses/0",
        "hypothesis-1": folder / "hypotheses/1",
        "baseline": folder / "baseline",
    }


def test_what_may_be_left_out(folder):
    table = valid()
    for name in ("baseline", "generation", "training"):
        del table[name]
    write(folder, table)
    bundle = load_bundle(str(folder))
    assert bundle.baseline is None and bundle.generation == CompareOptions() and bundle.training == {}
    assert list(bundle.adapter_folders()) == ["hypothesis-0", "hypothesis-1"]


def test_a_base_from_the_hub(folder):
    write(folder, valid() | {"base": {"id": "llava-hf/llava-v1.6-mistral-7b-hf", "revision": "main"}})
    bundle = load_bundle(folder)
    assert bundle.base_location() == "llava-hf/llava-v1.6-mistral-7b-hf"
    assert bundle.base.revision == "main"


def test_a_local_bundle_may_share_the_base_next_to_it(folder):
    (folder / "base").rename(folder.parent / "shared")
    write(folder, valid() | {"base": {"path": "../shared"}})
    assert (load_bundle(folder).base_location() / "config.json").is_file()


def change(path: str, value):
    """An edit of the valid table: ``hypotheses.1.path`` set to a value, or removed for ``KeyError``."""

    def edit() -> dict:
        table = valid()
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        target = table
        for part in parents:
            target = target[part]
        if value is KeyError:
            del target[last]
        else:
            target[last] = value
        return table

    return edit


MALFORMED = [
    (lambda: [], "bundle.json: top level: must be an object"),
    (lambda: {}, "bundle.json: format_version: missing"),
    (change("format_version", 0), "bundle.json: format_version: this program reads version 1, not 0"),
    (change("format_version", 2), "bundle.json: format_version: this program reads version 1, not 2"),
    (change("format_version", True), "bundle.json: format_version: must be a whole number, not true"),
    (change("format_version", "1"), 'bundle.json: format_version: must be a whole number, not "1"'),
    (change("modality", "smell"), "bundle.json: modality: must be one of image, audio, text, not 'smell'"),
    (change("base", KeyError), "bundle.json: base: missing"),
    (change("base", "base"), 'bundle.json: base: must be an object, not "base"'),
    (change("base", {}), "bundle.json: base: give either path or id"),
    (change("base", {"path": "base", "id": "a/b"}), "bundle.json: base: give either path or id"),
    (change("base", {"path": "base", "revision": "x"}), "bundle.json: base.revision: only a Hub id"),
    (change("base", {"path": 3}), "bundle.json: base.path: must be a text, not 3"),
    (change("base", {"path": "/models/base"}), "bundle.json: base.path: must be a relative path"),
    (change("base", {"path": "C:base"}), "bundle.json: base.path: must be a relative path"),
    (change("base", {"path": "elsewhere"}), "bundle.json: base.path: there is no folder 'elsewhere'"),
    (
        change("base", {"path": "baseline"}),
        "base.path: the folder 'baseline' has no config.json",
    ),
    (change("base", {"path": "base", "kind": 1}), "bundle.json: base.kind: unknown field"),
    (change("prompt", KeyError), "bundle.json: prompt: missing"),
    (change("prompt", "  "), "bundle.json: prompt: must not be empty"),
    (change("chat_template", 3), "bundle.json: chat_template: must be a text, not 3"),
    (change("hypotheses", []), "bundle.json: hypotheses: must list at least one adapter"),
    (change("hypotheses", {}), "bundle.json: hypotheses: must be a list, not {}"),
    (change("hypotheses.1", "hypotheses/1"), r"bundle.json: hypotheses\[1\]: must be an object"),
    (change("hypotheses.1.path", KeyError), r"bundle.json: hypotheses\[1\].path: missing"),
    (change("hypotheses.1.path", "hypotheses/7"), r"bundle.json: hypotheses\[1\].path: there is no folder"),
    (change("hypotheses.1.path", "base"), r"hypotheses\[1\].path: the folder 'base' has no adapter_config"),
    (change("hypotheses.1.path", "../pair/baseline"), r"hypotheses\[1\].path: must stay inside the bundle"),
    (change("hypotheses.1.path", "hypotheses\\1"), r"hypotheses\[1\].path: must be a relative path"),
    (change("hypotheses.0.label", None), r"bundle.json: hypotheses\[0\].label: missing"),
    (change("hypotheses.0.label", 5), r"bundle.json: hypotheses\[0\].label: must be a text, not 5"),
    (change("hypotheses.0.colour", "red"), r"bundle.json: hypotheses\[0\].colour: unknown field"),
    (change("baseline", []), r"bundle.json: baseline: must be an object, not \[\]"),
    (change("baseline.path", "none"), "bundle.json: baseline.path: there is no folder 'none'"),
    (change("gate", 3), "bundle.json: gate: must be a text, not 3"),
    (change("gate", "nowhere"), "bundle.json: gate: there is no folder 'nowhere'"),
    (change("gate", "../gate"), "bundle.json: gate: must stay inside the bundle"),
    (change("gate", "base"), "bundle.json: gate: the folder 'base' has no gate.safetensors"),
    (change("generation", 4), "bundle.json: generation: must be an object"),
    (change("generation.num_beam", 4), "bundle.json: generation.num_beam: unknown option"),
    (change("generation.num_beams", "4"), "bundle.json: generation.num_beams must be a whole number"),
    (change("generation.num_beams", 0), "bundle.json: generation.num_beams must be a whole number"),
    (
        change("generation.num_beam_groups", 3),
        "generation.num_beam_groups must divide num_beams",
    ),
    (
        change("generation.diversity_penalty", -1),
        "generation.diversity_penalty must be a finite number from 0 to 1000",
    ),
    (change("training", "long"), "bundle.json: training: must be an object"),
    (change("hypothesis", []), "bundle.json: hypothesis: unknown field"),
]


@pytest.mark.parametrize(("edit", "message"), MALFORMED, ids=[message for _, message in MALFORMED])
def test_malformed(folder, edit, message):
    write(folder, edit())
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00", b"{'a': 1}"])
def test_not_json(folder, content):
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match="bundle.json: not valid JSON"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "bundle.json"), OSError("Permission denied")]
)
def test_a_bundle_file_that_cannot_be_opened(folder, monkeypatch, error):
    """The reason alone: the file is named already."""

    def refuse(file):
        raise error

    monkeypatch.setattr(bundle_module, "read_json", refuse)
    with pytest.raises(BundleError, match=r"^bundle.json cannot be opened: Permission denied\.$"):
        load_bundle(folder)


def test_missing_weights_are_named(folder):
    (folder / "hypotheses/1/adapter_model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"hypotheses\[1\].path: .* has no adapter_model.safetensors"):
        load_bundle(folder)


def test_a_folder_without_bundle_json(tmp_path):
    with pytest.raises(BundleError, match=r"is not a bundle: it has no bundle.json"):
        load_bundle(tmp_path)


def test_a_file_is_not_a_bundle(folder):
    with pytest.raises(BundleError, match="give the folder that holds bundle.json"):
        load_bundle(folder / "bundle.json")


@pytest.mark.parametrize("source", ["/nowhere/at/all", "nowhere", Path("user/name"), "a" * 256, "a\nb", "a\0b"])
def test_no_such_folder(source):
    with pytest.raises(BundleError, match="There is no bundle folder"):
        load_bundle(source)


def test_a_folder_has_no_revision(folder):
    with pytest.raises(BundleError, match="only a Hub id has a revision"):
        load_bundle(folder, revision="main")


def test_a_hub_id_is_fetched(folder, monkeypatch):
    asked = []

    def fetch(repo_id, revision, allow_patterns):
        asked.append((repo_id, revision))
        assert not any("pickle" in pattern or "bin" in pattern or "pt" in pattern for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(bundle_module, "snapshot_download", fetch)
    assert load_bundle("user/pair", revision="v1").name == "user/pair"
    assert asked == [("user/pair", "v1")]


def test_a_fetched_bundle_stays_in_its_folder(folder, monkeypatch):
    (folder / "base").rename(folder.parent / "shared")
    write(folder, valid() | {"base": {"path": "../shared"}})
    monkeypatch.setattr(bundle_module, "snapshot_download", lambda *_, **__: str(folder))
    with pytest.raises(BundleError, match=r"bundle.json: base.path: must stay inside the bundle"):
        load_bundle("user/pair")


def test_an_unreachable_hub_is_a_bundle_error(monkeypatch):
    def fetch(*_, **__):
        raise LocalEntryNotFoundError("offline\nand a long explanation")

    monkeypatch.setattr(bundle_module, "snapshot_download", fetch)
    with pytest.raises(BundleError, match=r"no folder user/pair, and it could not be fetched .*: offline$"):
        load_bundle("user/pair")


def test_save_and_load(folder):
    bundle = load_bundle(folder)
    changed = replace(
        bundle,
        prompt="Décris l'image.",
        chat_template="<image>{{ text }}",
        generation=CompareOptions(max_new_tokens=20),
    )
    save_bundle(changed)
    assert load_bundle(folder) == changed
    assert "Décris" in (folder / "bundle.json").read_text(encoding="utf-8")
    assert not list(folder.glob("*.partial"))


def test_saving_a_bundle_that_would_not_load_changes_nothing(folder):
    before = (folder / "bundle.json").read_text()
    bad = Bundle(
        folder=folder,
        name="pair",
        base=BaseRef(path="base"),
        prompt="Describe.",
        hypotheses=(AdapterRef("hypotheses/9", "Nine"),),
    )
    with pytest.raises(BundleError, match=r"hypotheses\[0\].path: there is no folder"):
        save_bundle(bad)
    assert (folder / "bundle.json").read_text() == before


def test_gate_and_its_words(folder):
    assert load_bundle(folder).distinctive_words() == [[], []]
    (folder / "gate").mkdir()
    (folder / "gate" / "gate.safetensors").write_bytes(b"")
    write(folder, valid() | {"gate": "gate"})
    bundle = load_bundle(folder)
    assert bundle.gate == "gate" and bundle.distinctive_words() == [[], []]
    file = folder / "gate" / "words.json"
    file.write_text(json.dumps([["red", "apple"], ["été"]]), encoding="utf-8")
    assert bundle.distinctive_words() == [["red", "apple"], ["été"]]
    save_bundle(bundle)
    assert load_bundle(folder) == bundle
    for bad, message in (
        ("{", "as JSON"),
        ('[["a"]]', "1 hypotheses, but the bundle has 2"),
        ('[["a"], ["b"], ["c"]]', "3 hypotheses, but the bundle has 2"),
        ("[[1], []]", "of words"),
        ('[["a", 1], ["b"]]', "of words"),
        ('[["a"], "b"]', "one list of words"),
    ):
        file.write_text(bad)
        with pytest.raises(BundleError, match=message):
            bundle.distinctive_words()


def test_a_text_bundle_needs_no_prompt_and_captions_nothing(folder):
    write(folder, valid() | {"modality": "text", "prompt": ""})
    bundle = load_bundle(folder)
    assert bundle.prompt == ""
    with pytest.raises(BundleError, match="pair holds a text model, which has no image to caption"):
        Captioner.load(bundle)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_training_summary_is_valid_json(folder, bad):
    """NaN and Infinity are no JSON: other readers would refuse the file."""
    bundle = load_bundle(folder)
    before = (folder / "bundle.json").read_text()
    with pytest.raises(BundleError, match="training: .*not JSON compliant"):
        save_bundle(replace(bundle, training={"loss": bad}))
    assert (folder / "bundle.json").read_text() == before


def test_names_may_be_as_long_as_a_file_systems(folder):
    longest = "a" * 255
    (folder / "baseline").rename(folder / longest)
    table = valid()
    table["baseline"]["path"] = longest
    write(folder, table)
    assert load_bundle(folder).baseline.path == longest
    table["baseline"]["path"] = longest + "a"
    write(folder, table)
    with pytest.raises(BundleError, match="baseline.path: must have at most 255 characters, not 256"):
        load_bundle(folder)
    moved = folder.rename(folder.parent / longest)
    write(moved, valid() | {"baseline": {"path": longest, "label": "One adapter"}})
    assert load_bundle(moved).name == longest


@pytest.mark.parametrize("base", ["", Path("gpt2"), "a/b/c"])
def test_a_base_is_a_folder_that_is_there_or_a_hub_id(folder, base):
    with pytest.raises(BundleError, match="is neither a folder nor a Hub id"):
        BaseRef.of(base, folder)


def test_a_base_in_a_folder_has_no_revision(folder):
    assert BaseRef.of(folder / "base", folder) == BaseRef(path="base")
    with pytest.raises(BundleError, match="base is a folder; only a Hub id has a revision"):
        BaseRef.of(folder / "base", folder, "main")


@pytest.mark.parametrize("base", ["gpt2", "openai-community/gpt2"])
def test_a_hub_id_may_have_no_owner(folder, base):
    reference = BaseRef.of(base, folder)
    assert reference == BaseRef(id=base)
    with pytest.raises(BundleError, match="neither a folder nor a Hub id"):
        BaseRef.of(f"./{base}/x", folder)
