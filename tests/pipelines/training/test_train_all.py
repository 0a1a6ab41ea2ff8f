"""Many recipes: each ends as it does alone, wherever it trains; one that fails ends alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit

from pipelines.cli.main import run_command
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.executor import InThisProcess
from pipelines.serving.run import Run
from pipelines.training import train_all as module
from pipelines.training.train import train
from pipelines.training.train_all import train_all
from tests.support.tiny import TINY
from zoo.errors import InputError, RecipeError, WorkerError

pytestmark = pytest.mark.train

PLAIN: dict[str, Any] = {**TINY, "train": {"epochs": 1}, "augment": {"policy": "none"}}
FAILING = {**PLAIN, "fine_tune": {"blocks": 99, "epochs": 1}}


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name, settings in {"first": PLAIN, "second": {**PLAIN, "seed": 1}}.items():
        (folder / f"{name}.toml").write_text(tomlkit.dumps(settings))
    (folder / "notes.txt").write_text("no recipe")
    return folder


def _weights(run: Path) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(weight) for weight in Run.open(run).model.weights]


def _assert_as_alone(run: Path, recipe: Path, data: Path, out: Path) -> None:
    train(data, Recipe.for_data(data, file=recipe), out=out)
    for found, expected in zip(_weights(run), _weights(out), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_each_recipe_ends_as_it_does_alone(
    recipes: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipes / "failing.toml").write_text(tomlkit.dumps(FAILING))
    out = tmp_path / "runs"
    arguments = ["--recipes", str(recipes), "--out", str(out), "--cluster", "local:2"]
    assert run_command(["train", str(tiny_folder), *arguments]) == 1
    header, *rows, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["recipe", "images", "result"]
    assert [row.split()[:2] for row in rows] == [
        ["failing", "failed"],
        ["first", "val"],
        ["second", "val"],
    ]
    assert last == f"runs: {out}"
    for name in ("first", "second"):
        alone = tmp_path / f"{name} alone"
        _assert_as_alone(out / name, recipes / f"{name}.toml", tiny_folder, alone)

    # What is finished is not trained again.
    (recipes / "failing.toml").unlink()
    before = (out / "first" / "model.keras").stat().st_mtime_ns
    found = train_all(recipes, tiny_folder, out=out, resume=True)
    assert [run.name for run in found] == ["first", "second"]
    assert not any(run.failure for run in found)
    assert (out / "first" / "model.keras").stat().st_mtime_ns == before


class _Losing(InThisProcess):
    """Loses the first workers."""

    left = 2

    def _submit(self, function: Any, args: tuple[Any, ...], num_cpus: int, num_gpus: int) -> Any:
        self.resumed.append(args[2])
        if self.left:
            self.left -= 1

            def lose(*_: Any) -> None:
                raise WorkerError("it ran out of memory")

            return super()._submit(lose, args, num_cpus, num_gpus)
        return super()._submit(function, args, num_cpus, num_gpus)

    def __init__(self, left: int) -> None:
        self.left, self.resumed = left, []  # type: ignore[var-annotated]


@pytest.mark.parametrize(("left", "failure"), [(2, ""), (3, "its worker was lost 3 times")])
def test_lost_worker_costs_what_it_had(
    recipes: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: int,
    failure: str,
) -> None:
    (recipes / "second.toml").unlink()
    losing = _Losing(left)
    monkeypatch.setattr(module, "open_cluster", lambda *_, **__: losing)
    (run,) = train_all(recipes, tiny_folder, out=tmp_path / "runs")
    assert run.failure == failure
    assert losing.resumed == [False, True, True]


def test_bad_recipe_is_named_before_anything_trains(
    recipes: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    (recipes / "zero.toml").write_text("[train]\nepochs = -1\n")
    with pytest.raises(RecipeError, match=r"train\.epochs"):
        train_all(recipes, tiny_folder, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_folder_without_recipes_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"there are no recipes in .*{name}"):
        train_all(tmp_path / name, "signs", out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cluster", "local"], "expected --cluster with --recipes"),
        (["--recipes", "r", "--backbone", "resnet50"], "--backbone is for a single recipe"),
        (["--recipes", "r", "--head", "modern", "--find-lr"], "--head and --find-lr is for a"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["train", "signs", "--out", str(tmp_path / "run"), *options]) == 2
    assert said in capsys.readouterr().err


def test_killed_process_goes_on_from_its_checkpoint(
    recipes: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that kills itself after an epoch, once, ends with the weights of one that lives."""
    settings = {**PLAIN, "train": {"epochs": 3}, "features": {"engine": "keras", "views": 1}}
    (recipes / "second.toml").unlink()
    (recipes / "first.toml").write_text(tomlkit.dumps(settings))
    monkeypatch.setattr(module, "train_recipe", _train_and_die_once)
    (run,) = train_all(recipes, tiny_folder, out=tmp_path / "runs", cluster="local:1")
    assert not run.failure
    assert (tmp_path / "runs" / "first.died").exists()
    _assert_as_alone(run.path, recipes / "first.toml", tiny_folder, tmp_path / "alone")


def _train_and_die_once(recipe: Recipe, out: Path, resume: bool) -> Any:
    from pipelines.storage.run_folder import RunFolder
    from pipelines.training.train_all import train_recipe

    marker = out.with_suffix(".died")
    save = RunFolder.save_checkpoint

    def save_and_die(self: RunFolder, *args: Any, **kwargs: Any) -> Any:
        found = save(self, *args, **kwargs)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    RunFolder.save_checkpoint = save_and_die  # type: ignore[method-assign]
    try:
        return train_recipe(recipe, out, resume)
    finally:
        RunFolder.save_checkpoint = save  # type: ignore[method-assign]
