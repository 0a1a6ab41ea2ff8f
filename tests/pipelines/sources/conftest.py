"""Fixtures for tests of data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.photographs import Fill


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Writes class folders of photographs into a new folder."""
    return Fill(tmp_path / "set")
