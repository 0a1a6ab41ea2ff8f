"""Servers that the tests of this room share: of a run, and of an export behind a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.serving.run import Run
from tests.conftest import TRAINING_FIXTURES
from tests.support.model_server import ModelServer, serving

TOKEN = "0123456789abcdef"

TRAINING_FIXTURES |= {"server", "guarded", "exported"}


@pytest.fixture(scope="session")
def images(tiny_folder: Path) -> list[Path]:
    """Image files of three classes."""
    return sorted(tiny_folder.rglob("*.jpg"))


@pytest.fixture(scope="session")
def exported(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first version of a model."""
    folder = tmp_path_factory.mktemp("saved_models") / "colors"
    with pytest.MonkeyPatch.context() as patch:
        # That it predicts as the run is seen in tests of the export.
        patch.setattr("zoo.export.savedmodel.check_savedmodel", lambda *_: 0.0)
        tiny_run.export(folder)
    return folder


@pytest.fixture(scope="session")
def server(tiny_run: Run) -> Iterator[ModelServer]:
    """A server of a run, with the limits that it has by itself."""
    with serving(tiny_run.path) as found:
        yield found


@pytest.fixture(scope="session")
def guarded(exported: Path) -> Iterator[ModelServer]:
    """A server of an export that asks for a token, and has narrow limits.

    An image waits for a second, so that tests see it wait.
    """
    limits = ["--max-body-mb", 1, "--max-pixels", 20_000, "--max-waiting", 4]
    with serving(exported, *limits, "--timeout-s", 3, "--max-delay-ms", 1000, token=TOKEN) as found:
        yield found
