"""A bundle whose base is on the Hub: what is asked for it, and which of its files are kept; and what a bundle's file
looks like."""

import shutil
from dataclasses import replace

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import nn

from lora_mcl.bundle import BaseRef, load_bundle, save_bundle
from lora_mcl.bundle import export as export_module
from lora_mcl.bundle.bundle import Bundle
from lora_mcl.errors import BundleError


@pytest.fixture
def bundle(tiny_bundle) -> Bundle:
    """A bundle of a base of which nothing is here."""
    return replace(load_bundle(tiny_bundle), base=BaseRef(id="someone/base", revision="v2"))


class Base(nn.Linear):
    """Stands for a model class: keeps what it is asked for."""

    asked: tuple = ()
    missing: tuple[str, ...] = ()

    @classmethod
    def from_pretrained(cls, location, **options):
        cls.asked = (location, options)
        return cls(1, 1), {"missing_keys": cls.missing}


@pytest.fixture
def base_class(monkeypatch) -> type[Base]:
    kind = type("Recorded", (Base,), {})
    monkeypatch.setitem(export_module.MODEL_CLASSES, "image", kind)
    monkeypatch.setattr(export_module, "load_model_config", lambda *where: where)
    return kind


def test_a_base_is_asked_for_by_its_revision_and_without_code_of_its_own(bundle, base_class):
    model = export_module.load_base(bundle)
    assert type(model) is base_class and not model.training
    location, options = base_class.asked
    assert location == "someone/base"
    assert options == {
        "config": ("someone/base", "v2"),
        "revision": "v2",
        "dtype": "auto",
        "use_safetensors": True,
        "trust_remote_code": False,
        "output_loading_info": True,
    }


def test_a_base_without_a_weight_is_refused(bundle, base_class):
    base_class.missing = tuple("cbad")
    with pytest.raises(BundleError, match=r"The weights in someone/base are incomplete \(no a, b, c\): fetch"):
        export_module.load_base(bundle)


def test_companions_are_fetched_without_weights(bundle, tmp_path, monkeypatch):
    fetched, out, asked = tmp_path / "fetched", tmp_path / "out", []
    for folder in (fetched, out):
        folder.mkdir()
    for name in ("tokenizer.json", "chat_template.jinja", "config.json", "model.safetensors.index.json", "a.bin"):
        (fetched / name).write_text(name)

    def fetch(repo_id, **options):
        asked.append((repo_id, options))
        return str(fetched)

    monkeypatch.setattr(export_module, "snapshot_download", fetch)
    export_module._copy_companions(bundle, out)
    ((repo_id, options),) = asked
    assert (repo_id, options.pop("revision")) == ("someone/base", "v2")
    assert "tokenizer.json" not in options["ignore_patterns"] and "config.json" in options["ignore_patterns"]
    assert "*.json" in options["allow_patterns"] and not any(
        "safetensors" in name for name in options["allow_patterns"]
    )
    assert len(options) == 2
    assert {file.name: file.read_text() for file in out.iterdir()} == {
        name: name for name in ("tokenizer.json", "chat_template.jinja")
    }


def test_companions_that_cannot_be_fetched(bundle, tmp_path, monkeypatch):
    def fetch(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(export_module, "snapshot_download", fetch)
    with pytest.raises(BundleError, match="The tokenizer of someone/base could not be fetched: offline"):
        export_module._copy_companions(bundle, tmp_path)


def test_a_bundles_file_can_be_read_by_people(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    shutil.copytree(tiny_bundle.parent / "base", tmp_path / "base", dirs_exist_ok=True)
    save_bundle(replace(load_bundle(folder), prompt="Décris l'image."))
    text = (folder / "bundle.json").read_text(encoding="utf-8")
    assert '\n  "prompt": "Décris l\'image.",\n' in text and text.endswith("\n}\n")
    assert list(folder.glob("*.partial")) == []
