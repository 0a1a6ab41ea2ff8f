"""Fixtures for tests of data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Source
from tests.support.photographs import Fill


@pytest.fixture(scope="session")
def textures() -> Source:
    """The embedded textures, drawn and scanned."""
    return open_source("textures")


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Writes class folders of photographs into a new folder."""
    return Fill(tmp_path / "set")
