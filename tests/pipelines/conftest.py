"""A data set that trains in a second, and one run on it that tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.tiny import TINY, write_images


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three class folders, 12 images each, unsplit."""
    return write_images(tmp_path_factory.mktemp("data") / "colours", 12)


@pytest.fixture(scope="session")
def tiny_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run on `tiny_folder`; tests read it and leave it as it is."""
    from pipelines import Recipe, train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    return train(tiny_folder, Recipe.from_settings(TINY), out=out)
