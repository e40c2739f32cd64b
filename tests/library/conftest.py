"""Fixtures of the library's tests."""

import pytest

from tests.support.tiny_bundle import TinyModel


@pytest.fixture(scope="module", params=["image", "audio"])
def tiny_model(request) -> TinyModel:
    """Each of the two tiny models."""
    names = {
        "image": ("tiny_captioner", "tiny_bundle", "tiny_base", "picture"),
        "audio": ("tiny_audio_captioner", "tiny_audio_bundle", "tiny_audio_base", "clip"),
    }
    return TinyModel(request.param, *(request.getfixturevalue(name) for name in names[request.param]))
