"""Fixtures every test may use; the process-wide settings are made before TensorFlow starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pipelines.runtime.log import log_to_stderr
from tests.support.tiny import TINY, write_images

# The machine may be busy, and a landing must not depend on what is drawn that day.
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.pop("ZOO_WEIGHTS", None)

# What jobs log is captured by `capsys` like what they print.
log_to_stderr()

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights, which lies beside a checkout in CI."""
    if not SHARED.is_dir():
        reason = "needs ../shared: real photographs and weights that are not in the project"
        # Where it has to be there, a skip would hide that it is not.
        (pytest.fail if os.environ.get("ZOO_REQUIRE_SHARED") else pytest.skip)(reason)
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps tests out of the user's cache; one session shares what it prepares."""
    os.environ["ZOO_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three class folders, 12 images each, unsplit."""
    return write_images(tmp_path_factory.mktemp("data") / "colors", 12)


@pytest.fixture(scope="session")
def tiny_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run on `tiny_folder`; tests read it and leave it as it is."""
    from pipelines.recipe.recipe import Recipe
    from pipelines.training.train import train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    return train(tiny_folder, Recipe.from_settings(TINY), out=out)
