"""A user's keras.json with another backend, image format and float type: jobs and builders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.serving.run import Run

pytestmark = pytest.mark.slow

# One process, since each loads TensorFlow for seconds; the first command imports Keras.
JOBS = """
import json, sys
from pipelines.cli.main import run_command
data, run, out = sys.argv[1:]
commands = [
    ["predict", run, data + "/red", "--json"],
    ["evaluate", run, data, "--json"],
    ["export", run, "--to", out + "/model"],
    ["train", "--recipe", run + "/recipe.toml", "--out", out + "/run"],
]
print("statuses", json.dumps([run_command(command) for command in commands]))
import keras
print("keras", keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())
"""

BUILDERS = """
import json, sys
import keras
import numpy as np
import transfer_zoo as tz
data = tz.open_data(sys.argv[1], size=32, seed=0)
model = tz.build_classifier("micro_resnet_s.cifar10", num_classes=data.num_classes)
model.compile(tz.build_optimizer("adamw", learning_rate=1e-3), loss="categorical_crossentropy")
history = model.fit(data.train.dataset(), epochs=1, shuffle=False, verbose=0)
print("shapes", json.dumps([model.input_shape, model.output_shape]))
print("loss", history.history["loss"][0])
print("keras", keras.backend.backend(), keras.config.image_data_format())
"""


def _run(script: str, *arguments: object, home: Path, root: Path) -> dict[str, str]:
    """Runs a script; returns what it printed, by the first word of each line."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_")}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=home,
        env={**environment, "KERAS_HOME": str(home), "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def _write_settings(home: Path, **settings: Any) -> None:
    base = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow"}
    (home / "keras.json").write_text(json.dumps({**base, **settings}))


def test_jobs_do_what_they_do_without_it(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, root: Path
) -> None:
    _write_settings(tmp_path, image_data_format="channels_first", backend="jax", floatx="float16")
    said = _run(JOBS, tiny_folder, tiny_run.path, tmp_path, home=tmp_path, root=root)
    assert said["statuses"] == "[0, 0, 0, 0]"
    assert said["keras"] == "tensorflow channels_first float16"
    assert (tmp_path / "model" / "1" / "saved_model.pb").is_file()
    found = Run(tmp_path / "run").load_model().get_weights()
    expected = tiny_run.load_model().get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_builders_build_for_channels_last(
    backend: str, tiny_folder: Path, tmp_path: Path, root: Path
) -> None:
    _write_settings(tmp_path, image_data_format="channels_first", backend=backend)
    said = _run(BUILDERS, tiny_folder, home=tmp_path, root=root)
    assert said["shapes"] == "[[null, 32, 32, 3], [null, 3]]"
    assert np.isfinite(float(said["loss"]))
    assert said["keras"] == f"{backend} channels_first", "the user's own"
