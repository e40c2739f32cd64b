"""What the tests of both embedded models use."""

from pathlib import Path

import pytest

from tests.support.embedded import DOMAINS, build_tiny
from training.embedded.common.domain import Domain


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request) -> Domain:
    return DOMAINS[request.param]


@pytest.fixture(scope="module")
def folder(domain, tmp_path_factory) -> Path:
    """The untrained model with a tiny tower and language model."""
    folder = tmp_path_factory.mktemp(domain.name)
    build_tiny(domain.name, folder)
    return folder
