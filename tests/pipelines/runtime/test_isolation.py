"""Isolation: what a job leaves of its own in the caller's process, which is nothing."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from threadpoolctl import threadpool_info, threadpool_limits

from pipelines.recipe.recipe import Recipe
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.runtime.stderr import suppress_stderr
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.support.tiny import TINY
from zoo.errors import InputError
from zoo.private_api import disable_op_determinism, is_op_determinism_enabled


def _state() -> dict[str, Any]:
    """What belongs to the whole process, and what generators draw next."""
    handlers = {name: list(logging.getLogger(name).handlers) for name in ("", "zoo", "pipelines")}
    return {
        "python": random.getstate(),
        "numpy": repr(np.random.get_state()),
        "policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "format": keras.config.image_data_format(),
        "determinism": is_op_determinism_enabled(),
        "environment": dict(os.environ),
        "opencv": cv2.getNumThreads(),
        "blas": [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"],
        "handlers": handlers,
        "level": logging.getLogger("pipelines").level,
        "stderr": (os.fstat(2).st_dev, os.fstat(2).st_ino),
    }


def _draw() -> list[float]:
    """Draws from every generator of the process."""
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    return [
        random.random(),
        float(np.random.rand()),
        float(keras.random.uniform(())),
        float(tf.random.uniform(())),
        float(np.asarray(layer.kernel)[0, 0]),
    ]


def _count_layers() -> int:
    return int(keras.layers.Dense(1).name.rpartition("_")[2])


def _succeed(data: Path, out: Path) -> None:
    # Blocks are fine-tuned on images.
    settings = {"train": {"epochs": 1}, "fine_tune": {"blocks": 1, "epochs": 1}}
    train(data, Recipe.from_settings(TINY, settings, {"augment": {"policy": "none"}}), out=out)


def _search(data: Path, out: Path) -> None:
    # Trials of optimizers that are not elementwise train alone, each in a new session of Keras.
    space = {"optimizer.name": ["adafactor", "lamb"]}
    settings = {"augment": {"policy": "none"}, "features": {"engine": "keras"}}
    recipe = Recipe.from_settings(TINY, settings, {"head": {"hidden": []}})
    run = tune(data, recipe, out=out, trials=2, epochs=1, folds=0, space=space)
    assert [trial["status"] for trial in run.search["trials"]] == ["COMPLETED"] * 2


def _interrupt(data: Path, out: Path) -> None:
    class Interrupter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("epoch 1"):
                raise KeyboardInterrupt

    interrupter, log = Interrupter(), logging.getLogger("pipelines.training.loop")
    log.addHandler(interrupter)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(data, Recipe.from_settings(TINY), out=out)
    finally:
        log.removeHandler(interrupter)


@pytest.mark.train
@pytest.mark.parametrize("job", [_succeed, _search, _interrupt])
def test_job_leaves_the_process_as_it_was(
    job: Callable[[Path, Path], None], tiny_folder: Path, tmp_path: Path
) -> None:
    def seed() -> None:
        keras.utils.set_random_seed(5)
        keras.mixed_precision.set_dtype_policy("mixed_float16")
        keras.config.set_image_data_format("channels_first")
        keras.config.set_epsilon(1e-6)
        cv2.setNumThreads(3)
        disable_op_determinism()
        _draw()

    try:
        seed()
        _count_layers()
        expected = _draw()
        seed()
        with threadpool_limits(3, user_api="blas"):
            layer, before = _count_layers(), _state()
            job(tiny_folder, tmp_path / "run")
            after = _state()
        assert after == before
        assert _draw() == expected
        assert _count_layers() == layer + 2, "one in _draw, one in _count_layers"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
        keras.config.set_epsilon(1e-7)
        cv2.setNumThreads(1)


@pytest.mark.train
def test_jobs_of_two_threads_disturb_neither_each_other_nor_standard_error(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    before = _state()
    errors = []

    def run(name: str) -> None:
        try:
            train(tiny_folder, Recipe.from_settings(TINY), out=tmp_path / name)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert _state() == before
    for name in ("one", "two"):
        weights = Run(tmp_path / name).load_model().get_weights()
        expected = tiny_run.load_model().get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))


def test_library_never_redirects_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress_stderr():
        os.write(2, b"the caller's own")
    assert capfd.readouterr().err == "the caller's own"


def test_backend_that_jobs_cannot_use_is_refused_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(InputError, match=rf"torch, which {tmp_path}/keras\.json names"):
        start_keras()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(InputError, match=r"torch, which KERAS_BACKEND names; expected tensorflow"):
        start_keras()


def test_job_within_a_job_keeps_what_the_outer_one_set() -> None:
    with isolated():
        random.seed(3)
        with isolated():
            random.seed(4)
        inner = random.random()
    assert inner == random.Random(4).random()


SCRIPT = """
import json, os, sys
from pathlib import Path
from pipelines.recipe.recipe import Recipe
from pipelines.training.train import train
from tests.support.tiny import TINY
before = dict(os.environ)
train(sys.argv[1], Recipe.from_settings(TINY), out=sys.argv[2])
import keras, tensorflow as tf
from zoo.private_api import is_op_determinism_enabled
print(json.dumps({
    "environment": dict(os.environ) == before,
    "policy": keras.config.dtype_policy().name,
    "floatx": keras.config.floatx(),
    "format": keras.config.image_data_format(),
    "backend": keras.backend.backend(),
    "determinism": is_op_determinism_enabled(),
}))
"""


@pytest.mark.train
def test_job_in_a_new_process_ignores_the_users_keras_json(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, root: Path
) -> None:
    settings = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float64"}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "epsilon": 1e-3}))
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_folder), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=root,
        env={**environment, "KERAS_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "environment": True,
        "policy": "float64",
        "floatx": "float64",
        "format": "channels_first",
        "backend": "tensorflow",
        "determinism": False,
    }
    weights = Run(tmp_path / "run").load_model().get_weights()
    expected = tiny_run.load_model().get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))
