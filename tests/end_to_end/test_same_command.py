"""The same command gives the same weights, also on a busy machine.

`ZOO_ALL_ROWS=1` tries both methods of pretraining by gradients.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.storage.run_folder import RunFolder
from tests.support.busy_machine import busy_machine
from tests.support.photographs import copy_some

METHODS = ("supervised", "autoencoder")[: 2 if os.environ.get("ZOO_ALL_ROWS") else 1]

SETTINGS = ("train.epochs=2", "backbone.name=micro_resnet_s", "data.train_per_class=16")


def _pretrain(method: str, out: Path) -> dict[str, np.ndarray]:
    arguments = ["pretrain", "digits", "--method", method, "--out", str(out)]
    for setting in SETTINGS:
        arguments += ["--set", setting]
    _run(arguments)
    with np.load(out / "pretrained.npz") as file:
        return {name: file[name] for name in file.files if name != "card"}


def _run(arguments: list[str], **variables: str) -> None:
    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", *arguments]
    # As a user's process starts: the threads are the library's own choice.
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_NUM_")}
    subprocess.run(command, env=env | variables, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_weights_do_not_depend_on_how_busy_the_machine_is(method: str, tmp_path: Path) -> None:
    quiet = _pretrain(method, tmp_path / "quiet")
    with busy_machine():
        busy = _pretrain(method, tmp_path / "busy")
    assert quiet.keys() == busy.keys()
    for name, value in quiet.items():
        np.testing.assert_array_equal(busy[name], value, err_msg=name)


def _train(images: Path, folder: Path, **variables: str) -> tuple[str, str]:
    """Trains by the default recipe with an empty cache; returns engine and digest of weights."""
    run, cache = folder / "run", folder / "cache"
    arguments = ["train", str(images), "--out", str(run)]
    _run([*arguments, "--set", "features.views=1"], ZOO_CACHE=str(cache), **variables)
    opened, digest = RunFolder.open(run), hashlib.sha256()
    for weight in opened.model.get_weights():
        digest.update(weight.tobytes())
    for file in (opened.held_out_file, opened.unknown_file):
        digest.update(file.read_bytes())
    return opened.recipe.features.engine, digest.hexdigest()


@pytest.mark.slow
def test_weights_of_a_head_are_the_same_with_empty_caches_on_a_busy_machine(
    photographs: Path, tmp_path: Path
) -> None:
    images = copy_some(photographs / "train", tmp_path / "images", 75)
    quiet = _train(images, tmp_path / "quiet")
    with busy_machine():
        busy = _train(images, tmp_path / "busy")
    assert busy == quiet
    # A BLAS with another number of threads divides a product otherwise.
    threads = "1" if os.cpu_count() != 1 else "2"
    assert _train(images, tmp_path / "told", OPENBLAS_NUM_THREADS=threads) == quiet
    # Of the engines that are installed for the tests; a GPU is Keras'.
    assert quiet[0] in ("onnxruntime", "keras")
