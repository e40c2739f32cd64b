"""The feature cache by itself: what its keys depend on, its limit, and disks that fail."""

import logging
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from lora_mcl.errors import OptionsError
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from training.data.cache import FeatureCache, fingerprint, open_cache
from training.data.example import Example

FEATURES = {"features": torch.zeros(100)}


@dataclass(frozen=True)
class Packed:
    """Media without a file."""

    content: bytes
    name: str = "packed"

    def read(self) -> bytes:
        return self.content


@pytest.fixture(params=["image", "audio"])
def model(request):
    base = request.getfixturevalue("tiny_base" if request.param == "image" else "tiny_audio_base")
    return (ImageLanguageModel if request.param == "image" else AudioLanguageModel).load(base)


def test_keys_depend_on_content_revision_and_processor(model, tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    example = Example(tmp_path / "a", ("A dog.",))

    def key(revision=None) -> str:
        return FeatureCache(tmp_path / "cache", 1, fingerprint(model, revision)).key(example)

    first = key()
    assert first == key() and len({first, key("main"), key("v2")}) == 3
    if isinstance(model, ImageLanguageModel):
        model.processor.image_processor.do_rescale = not model.processor.image_processor.do_rescale
    else:
        model.processor.feature_extractor.hop_length += 1
    assert key() != first
    before = key()
    (tmp_path / "a").write_bytes(b"two")
    assert key() != before


def test_settings_count_and_their_order_does_not(model):
    settings = model.processor.image_processor if model.modality == "image" else model.processor.feature_extractor
    before = fingerprint(model)
    name = next(iter(vars(settings)))
    setattr(settings, name, vars(settings).pop(name))
    assert list(vars(settings))[-1] == name and fingerprint(model) == before


def test_every_value_of_the_tower_and_its_type_count(model):
    tower = model.model.get_submodule(model.media_modules[0])
    found = {fingerprint(model)}
    weights = tower.state_dict()
    for name in (min(weights), max(weights)):
        for place in (0, -1):
            weights[name].flatten()[place] += 1
            found.add(fingerprint(model))
    found.add(fingerprint(model.model.to(torch.bfloat16) and model))
    assert len(found) == 6
    model.model.name_or_path += "-other"
    assert fingerprint(model) not in found


def test_media_in_memory_have_the_key_of_their_file(tmp_path):
    """So a picture of a table and the same one as a file are computed once."""
    (tmp_path / "a").write_bytes(b"one")
    cache = FeatureCache(tmp_path / "cache", 1, "")
    packed = Example(Packed(b"one"), ("A dog.",))
    assert cache.key(packed) == cache.key(Example(tmp_path / "a", ("A cat.",))) == sha256(b"one").hexdigest()
    assert FeatureCache(tmp_path / "cache", 1, "x").key(packed) == sha256(b"onex").hexdigest()


def test_one_trainable_weight_of_the_tower_is_refused(model, tmp_path):
    weights = list(model.model.get_submodule(model.media_modules[0]).parameters())
    assert len(weights) > 1
    weights[-1].requires_grad_(True)
    with pytest.raises(OptionsError, match="the media tower learns or carries adapters"):
        open_cache(str(tmp_path), 1, model)


def test_a_full_cache_is_logged_once(tmp_path, caplog):
    cache = FeatureCache(tmp_path, 10, "")
    with caplog.at_level(logging.WARNING, logger="training.data"):
        assert not cache.put("aa", FEATURES) and not cache.put("bb", FEATURES)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("training.data")]
    assert [message.count("is full") for message in said] == [1]


def test_features_fit_up_to_the_last_byte(tmp_path):
    assert FeatureCache(tmp_path / "one", 10**6, "").put("aa", FEATURES)
    (file,) = (tmp_path / "one").rglob("*.safetensors")
    size = file.stat().st_size
    assert FeatureCache(tmp_path / "two", size, "").put("aa", FEATURES)
    assert not FeatureCache(tmp_path / "three", size - 1, "").put("aa", FEATURES)


@pytest.fixture
def failed_cache(tmp_path, monkeypatch, caplog) -> FeatureCache:
    """A cache after a write to a full disk."""
    cache = FeatureCache(tmp_path, 10**6, "")

    def fails(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="training.data"):
        patch.setattr(os, "replace", fails)
        assert not cache.put("aa", FEATURES)
    return cache


def test_a_disk_that_fails_leaves_nothing_partial(failed_cache, tmp_path, caplog):
    (warning,) = caplog.get_records("setup")
    assert "No space left on device; nothing more is added" in warning.getMessage()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not failed_cache.put("bb", FEATURES) and failed_cache.get("bb") is None


def test_a_disk_that_is_full_before_anything_is_written(tmp_path, monkeypatch, caplog):
    cache = FeatureCache(tmp_path, 10**6, "")

    def fails(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="training.data"):
        patch.setattr(Path, "write_bytes", fails)
        assert not cache.put("aa", FEATURES)
    assert "No space left on device; nothing more is added" in caplog.text


def test_the_limit_is_in_gib(tmp_path, tiny_base):
    model = ImageLanguageModel.load(tiny_base)
    FeatureCache(tmp_path / "one", 10**6, "").put("aa", FEATURES)
    (file,) = (tmp_path / "one").rglob("*.safetensors")
    for size, fits in ((file.stat().st_size, True), (file.stat().st_size - 1, False)):
        cache = open_cache(str(tmp_path / f"deep/er/{size}"), size / 2**30, model)
        assert cache.put("aa", FEATURES) == fits
        shared = open_cache(str(tmp_path / f"shared/{size}"), 2 * size / 2**30, model, processes=2)
        assert shared.put("aa", FEATURES) == fits
    assert open_cache(str(tmp_path / "revision"), 1, model, "v2")._fingerprint != fingerprint(model)
    assert open_cache("", 1, model) is None


def test_processes_share_what_is_free(tmp_path):
    FeatureCache(tmp_path / "one", 10**6, "").put("aa", FEATURES)
    (file,) = (tmp_path / "one").rglob("*.safetensors")
    assert file.relative_to(tmp_path / "one").as_posix() == "aa/aa.safetensors"
    size = file.stat().st_size
    # Two more would fit: one for each process.
    cache = FeatureCache(tmp_path / "one", 3 * size, "", processes=2)
    assert cache.put("bbb", FEATURES) and not cache.put("cc", FEATURES)
    assert (tmp_path / "one" / "bb" / "bbb.safetensors").is_file()
    # Keys that begin alike share a folder.
    assert FeatureCache(tmp_path / "one", 3 * size, "").put("bbc", FEATURES)
    # What is there already is no use of the limit.
    assert cache.put("aa", FEATURES) and cache.put("bbb", FEATURES)
    assert cache.get("aa").keys() == cache.get("bbb").keys() == FEATURES.keys() and cache.get("cc") is None
    # Over the limit before it begins: nothing more, and no negative room.
    assert not FeatureCache(tmp_path / "one", size, "", processes=2).put("dd", FEATURES)


def test_after_a_failure_of_the_disk_nothing_more_is_logged(failed_cache, caplog):
    with caplog.at_level(logging.WARNING, logger="training.data"):
        assert not failed_cache.put("bb", FEATURES) and not failed_cache.put("cc", {"features": torch.zeros(0)})
    assert [record for record in caplog.records if record.name.startswith("training.data")] == []


def test_a_file_that_cannot_be_read_is_removed_and_written_again(tmp_path):
    cache = FeatureCache(tmp_path, 10**6, "")
    assert cache.put("aa", FEATURES)
    (tmp_path / "aa" / "aa.safetensors").write_bytes(b"junk")
    assert cache.get("aa") is None and not (tmp_path / "aa" / "aa.safetensors").exists()
    assert cache.put("aa", FEATURES)
    assert torch.equal(cache.get("aa")["features"], FEATURES["features"])


def test_a_file_that_another_process_removed_first_is_only_not_there(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path, 10**6, "")

    def damaged(file, framework):
        raise SafetensorError("invalid header")

    monkeypatch.setattr("training.data.cache.safe_open", damaged)
    assert cache.get("aa") is None


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OptionsError, match=r"feature_cache .*file cannot be written to: File exists"):
        FeatureCache(tmp_path / "file", 1, "")


def test_features_that_need_gradients_or_are_views_are_written_as_they_are(tmp_path):
    cache = FeatureCache(tmp_path, 10**6, "")
    square = torch.arange(12.0).reshape(3, 4).requires_grad_(True)
    assert cache.put("aa", {"features": square.T}) and torch.equal(cache.get("aa")["features"], square.T)


def test_settings_may_be_of_any_type(model):
    settings = model.processor.image_processor if model.modality == "image" else model.processor.feature_extractor
    before = fingerprint(model)
    settings.kept_in = Path("somewhere")
    assert fingerprint(model) != before
