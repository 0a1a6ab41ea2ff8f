"""Trials that train alone: the same results in this process and in others that train for it."""

from __future__ import annotations

import contextlib
import logging
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.task_loop import ATTEMPTS
from pipelines.search import kept_checkpoints, lone_trials
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.sources.opening.dataset import open_source
from tests.support.tiny import TINY
from tuning.hyperparameters.trial import Result, Trial

pytestmark = pytest.mark.slow

RATE = "optimizer.learning_rate"


@pytest.fixture
def trainer(tiny_folder: Path, tmp_path: Path) -> Iterator[TrialTrainer]:
    """A trainer whose trials all train alone, for two epochs."""
    alone = {"optimizer": {"name": "adafactor"}, "train": {"epochs": 2}, "head": {"hidden": []}}
    plain = {"augment": {"policy": "none"}, "features": {"engine": "keras"}}
    recipe = Recipe.from_settings(TINY, alone, plain)
    source = open_source(str(tiny_folder), recipe.data, seed=0)
    devices = prepare_devices(recipe.device, on_images=False)
    trainer = TrialTrainer(recipe, [RATE], source, devices, folds=0, scratch=tmp_path)
    with contextlib.closing(trainer):
        yield trainer


def _train(trainer: TrialTrainer, *rates: float) -> dict[str, Result]:
    trials = [Trial(f"{rate:g}", {RATE: rate}) for rate in rates]
    return {id_: result for results in trainer(trials) for id_, result in results.items()}


def test_trials_in_other_processes_have_the_same_results_and_train_nothing_here(
    trainer: TrialTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rates = (0.01, 0.03)
    here = _train(trainer, *rates)
    monkeypatch.setattr(trainer._lone, "_left", 0)
    monkeypatch.setattr(trainer._lone._process, "renewed_after", 2)
    # Memory of a process with many tests behind it moves by itself; what is trained takes it.
    monkeypatch.delattr(lone_trials, "train_alone")
    with caplog.at_level(logging.INFO, "pipelines"):
        elsewhere = _train(trainer, *rates, 0.02)
    assert {id_: elsewhere[id_] for id_ in here} == here
    assert "trial 0.02" in [record.getMessage() for record in caplog.records]
    assert not list(trainer.scratch.iterdir())
    assert trainer._lone._process._left == 1, "the second process has trained one"


def test_trial_on_images_has_its_own_precision(trainer: TrialTrainer) -> None:
    on_images = {"optimizer.name": "adam", "fine_tune.blocks": 1, "fine_tune.epochs": 1}
    trainer.recipe = trainer.recipe.override({"device.precision": "mixed_bfloat16", **on_images})
    scores = _train(trainer, 0.01)["0.01"]
    assert not scores.failure
    assert keras.config.dtype_policy().name == trainer.devices.precision == "float32"


PROMOTED: dict[str, tuple[dict[str, object], int]] = {
    # Settings, and the epochs that the promotion of a trial of two has yet to train.
    "head": ({}, 2),
    "fitted head, then a block": (
        {"fine_tune.blocks": 1, "fine_tune.epochs": 4, "optimizer.name": "lbfgs"},
        2,
    ),
    # The head would have trained for longer before the block.
    "trained head, then a block": ({"fine_tune.blocks": 1, "fine_tune.epochs": 4}, 8),
    # The second epoch, the last of the first trial, would not have been validated.
    "validated now and then": ({"stopping.every": 4}, 4),
}


@pytest.mark.parametrize(("settings", "left"), PROMOTED.values(), ids=PROMOTED)
def test_promoted_trial_goes_on_and_ends_as_one_from_the_start(
    settings: dict[str, object], left: int, trainer: TrialTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    convex = settings.get("optimizer.name") == "lbfgs"
    usual = {} if convex else {"train.epochs": 4, "optimizer.learning_rate": 0.01}
    trainer.recipe = trainer.recipe.override({"stopping.patience": 0, **usual, **settings})

    def train(trial: Trial) -> tuple[Result, int]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "pipelines"):
            (results,) = trainer([trial])
        said = [record.getMessage() for record in caplog.records]
        return results[trial.id], sum(line.startswith("epoch ") for line in said)

    values = {"fine_tune.learning_rate": 0.001}
    whole, num_epochs = train(Trial("0", values))
    stopped, _ = train(Trial("1", values, epochs=2))
    promoted, num_left = train(Trial("2", values, promoted_from="1", trained_epochs=2))
    assert stopped != whole
    assert promoted == whole
    assert (num_left, left <= num_epochs) == (left, True)
    assert not list(trainer.scratch.iterdir())
    # What is not there to go on from is trained from the start.
    assert train(Trial("3", values, promoted_from="1", trained_epochs=2)) == (whole, num_epochs)


def test_kept_checkpoints_have_a_limit(
    trainer: TrialTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*ids: str) -> list[str]:
        for id_ in ids:
            list(trainer([Trial(id_, {RATE: 0.01}, epochs=1)]))
        return sorted(path.name for path in trainer.scratch.iterdir())

    assert stop("8", "9", "10") == ["10", "8", "9"]
    files = [path for path in (trainer.scratch / "10").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    monkeypatch.setattr(kept_checkpoints, "MOST_KEPT_BYTES", 2.5 * size)
    assert stop("11") == ["10", "11"]


def test_trial_whose_process_is_killed_goes_on_in_another_and_fails_in_the_third(
    trainer: TrialTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []

    class Killer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if re.fullmatch(moment, record.getMessage()) and len(killed) < kills:
                process = trainer._lone._process._process
                assert process is not None
                process.send_signal(signal.SIGKILL)
                killed.append(process)

    monkeypatch.setattr(trainer._lone, "_left", 0)
    logger, killer = logging.getLogger("pipelines"), Killer()
    logger.addHandler(killer)
    try:
        moment, kills = "epoch .*", 0
        expected = _train(trainer, 0.01)
        kills = 1
        assert _train(trainer, 0.01) == expected
        assert len(killed) == 1
        # Before its first epoch: each would otherwise begin where the one before it ended.
        moment, kills = "trial 0.01", 1 + ATTEMPTS
        others = _train(trainer, 0.01, 0.03)
        assert others["0.01"] == Result(failure="its worker was lost 3 times")
        assert others["0.03"].score is not None
    finally:
        logger.removeHandler(killer)
