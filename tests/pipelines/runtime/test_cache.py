"""Usable cache: where the usual one cannot be written, a job goes on with one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.features.shard_file import RowFormat
from pipelines.features.store import FeatureStore
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.cache import usable_cache
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.support.tiny import TINY
from zoo.files import cache_folder


def test_cache_that_can_be_written_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "new"))
    with usable_cache():
        assert cache_folder() == tmp_path / "new"
    assert os.listdir(tmp_path / "new") == []
    assert not caplog.records


def test_cache_that_cannot_be_written_is_replaced_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    with usable_cache():
        used = cache_folder()
        (used / "features").mkdir()
    assert not used.exists()
    assert os.environ["ZOO_CACHE"] == str(tmp_path / "file" / "cache")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"the cache {tmp_path}/file/cache cannot be written: Not a directory; ")
    assert "set ZOO_CACHE to a folder that can be written" in line


@pytest.mark.train
def test_run_without_a_cache_is_the_same(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    run = train(tiny_folder, Recipe.from_settings(TINY), out=tmp_path / "run")
    weights, expected = run.load_model().get_weights(), tiny_run.load_model().get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="root alone changes users")
def test_user_without_home_has_a_temporary_cache() -> None:
    script = (
        "import os; from pipelines.runtime.log import log_to_stderr; log_to_stderr()\n"
        "from pipelines.runtime.cache import usable_cache\n"
        "from zoo.files import cache_folder\n"
        "os.setuid(54321)\n"
        "with usable_cache(): print(cache_folder())\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "ZOO_CACHE")}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "there is no cache: the user of this process has no home folder" in done.stderr
    assert not Path(done.stdout.strip()).exists()


def test_features_stay_in_memory_where_the_disk_is_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "features").write_text("in the way")
    folder = FeatureStore(tmp_path / "features", 1e9).open({}, RowFormat((2, 3)))
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 256, (4, 32)).astype(np.uint8)
    features = rng.normal(size=(4, 2, 3)).astype(np.float32)
    folder.write(digests, features)
    assert folder.locate(digests[2:3]).tolist() == [[0, 2]]
    assert np.array_equal(folder.shards[0].features, features)
    assert "kept in memory, for this job alone" in capsys.readouterr().err
