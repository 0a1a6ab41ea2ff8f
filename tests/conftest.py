"""Fixtures for every test, the tiers, and settings that have to precede TensorFlow's start."""

from __future__ import annotations

import gc
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pipelines.cli.main import GC_THRESHOLDS
from pipelines.runtime.log import log_to_stderr
from tests.support.lean_import import NOT_NEEDED
from tests.support.lone_runtime import build_lone_environment
from tests.support.progress import ProgressRecorder
from tests.support.tiny import TINY, write_images
from zoo.export import fresh_process
from zoo.progress import render_with

# No deadline, since the machine may be busy; the same examples in every run.
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.pop("ZOO_WEIGHTS", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each core: more threads would only wait for each other.
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

# As the command line has it: the many objects of TensorFlow's graphs are seldom garbage.
gc.set_threshold(*GC_THRESHOLDS)

# `capsys` then captures the log.
log_to_stderr()

TRAINING_FIXTURES = {"tiny_run"}

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests whose fixtures train a model to the tier `train`."""
    for item in items:
        if TRAINING_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.train)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights, which lies beside a checkout in CI."""
    if not SHARED.is_dir():
        reason = "needs ../shared: real photographs and weights that are not in the project"
        # CI has the folder; a skip there would hide that it is missing.
        (pytest.fail if os.environ.get("ZOO_REQUIRE_SHARED") else pytest.skip)(reason)
    return SHARED


@pytest.fixture(scope="session")
def photographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ants and bees: 244 training photographs, one placeholder image, 153 for validation."""
    folder = tmp_path_factory.mktemp("hymenoptera")
    with tarfile.open(shared / "data" / "hymenoptera.tar") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps tests out of the user's cache and key; the tests of a session share them."""
    os.environ["ZOO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["ZOO_KEY"] = str(tmp_path_factory.mktemp("key") / "seal.key")


@pytest.fixture(scope="session", autouse=True)
def _lean_proofs() -> Iterator[None]:
    """Has the process of a proof do without what a SavedModel does not need."""
    absent = (*fresh_process.PACKAGES, *NOT_NEEDED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fresh_process, "PACKAGES", absent)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three class folders, 12 images each, unsplit."""
    return write_images(tmp_path_factory.mktemp("data") / "colors", 12)


@pytest.fixture(scope="session")
def tiny_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run on `tiny_folder`, read-only by convention."""
    from pipelines.recipe.recipe import Recipe
    from pipelines.training.train import train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    return train(tiny_folder, Recipe.from_settings(TINY), out=out)


@pytest.fixture(scope="session")
def lone_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds an environment with one runtime alone, by its import name, once."""
    folder = tmp_path_factory.mktemp("lone")

    def build(package: str) -> Path:
        if not (folder / package).exists():
            build_lone_environment(package, folder / package)
        return folder / package

    return build


@pytest.fixture
def progress() -> Iterator[ProgressRecorder]:
    """Records what jobs report of their progress, instead of logging it."""
    recorder = ProgressRecorder()
    render_with(recorder)
    yield recorder
    render_with(None)
