"""The feature cache by itself: what its keys depend on, its limit, and disks that fail."""

import logging
import os

import pytest
import torch

from lora_mcl.errors import OptionsError
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from training.data.cache import FeatureCache, fingerprint, open_cache
from training.data.example import Example

FEATURES = {"features": torch.zeros(100)}


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


def test_one_trainable_weight_of_the_tower_is_refused(model, tmp_path):
    weights = list(model.model.get_submodule(model.media_modules[0]).parameters())
    assert len(weights) > 1
    weights[-1].requires_grad_(True)
    with pytest.raises(OptionsError, match="the media tower learns or carries adapters"):
        open_cache(str(tmp_path), 1, model)


def test_a_full_cache_says_so_once(tmp_path, caplog):
    cache = FeatureCache(tmp_path, 10, "")
    with caplog.at_level(logging.WARNING, logger="training.data"):
        assert not cache.put("aa", FEATURES) and not cache.put("bb", FEATURES)
    assert [record.getMessage().count("is full") for record in caplog.records] == [1]


def test_features_fit_up_to_the_last_byte(tmp_path):
    assert FeatureCache(tmp_path / "one", 10**6, "").put("aa", FEATURES)
    (file,) = (tmp_path / "one").rglob("*.safetensors")
    size = file.stat().st_size
    assert FeatureCache(tmp_path / "two", size, "").put("aa", FEATURES)
    assert not FeatureCache(tmp_path / "three", size - 1, "").put("aa", FEATURES)


def test_a_disk_that_fails_leaves_nothing_partial(tmp_path, monkeypatch, caplog):
    cache = FeatureCache(tmp_path, 10**6, "")

    def fails(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="training.data"):
        patch.setattr(os, "replace", fails)
        assert not cache.put("aa", FEATURES)
    assert "No space left on device; nothing more is added" in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not cache.put("bb", FEATURES) and cache.get("bb") is None
