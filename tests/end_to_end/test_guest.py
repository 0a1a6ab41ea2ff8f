"""A guest's manners: the library in processes, threads, orders and notebooks of others.

`ZOO_ALL_FAULTS=1` runs the tests in two orders instead of one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines.serving.run import Run

# Quick tests of every package that touch what belongs to the whole process: tables, loggers,
# environment, generators, Keras' settings.
SHUFFLED = [
    "tests/pipelines/runtime",
    "tests/pipelines/recipe/test_recipe.py",
    "tests/pipelines/cli/test_progress_bars.py",
    "tests/transfer_zoo",
    "tests/tuning/optimization",
    "tests/zoo/heads",
    "tests/zoo/test_normalization.py",
    "tests/zoo/test_progress.py",
    "tests/zoo/test_table.py",
]

PROCESSES = """
import multiprocessing, os, sys
import transfer_zoo as tz

def work(data, run, out):
    run = tz.train(data, tz.Run.open(run).recipe, out=out)
    assert len(run.predict(data)) == 36

def refuse(run, data):
    try:
        tz.predict(run, data + "/red")
    except tz.ZooError as error:
        print(error, flush=True)

if __name__ == "__main__":
    data, run, out = sys.argv[1:]
    fork, spawn = (multiprocessing.get_context(name) for name in ("fork", "spawn"))
    for name, context in (("forked", fork), ("spawned", spawn)):
        process = context.Process(target=work, args=(data, run, f"{out}/{name}"))
        process.start()
        process.join()
        assert process.exitcode == 0, (name, process.exitcode)
    tz.predict(run, data + "/red")
    process = fork.Process(target=refuse, args=(run, data))
    process.start()
    process.join(60)
    assert process.exitcode == 0, "a process forked from TensorFlow hangs"
"""

CELLS = [
    "import transfer_zoo as tz\nimport numpy as np\nimport keras",
    "keras.mixed_precision.set_dtype_policy('mixed_float16')\nnp.random.seed(3)",
    "recipe = tz.Run.open(RUN).recipe\n"
    "runs = [tz.train(DATA, recipe, out=f'{OUT}/{name}') for name in ('one', 'two')]",
    "assert np.random.rand() == np.random.RandomState(3).rand()\n"
    "assert keras.config.dtype_policy().name == 'mixed_float16'",
    "first, second = ([p.probability for p in run.predict(DATA)] for run in runs)\n"
    "assert first == second\n"
    "print(len(first), runs[0].metrics['val']['accuracy'] == runs[1].metrics['val']['accuracy'])",
]


def _same_weights(one: Path, other: Path) -> bool:
    weights = [Run(path).load_model().get_weights() for path in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", (1, 2) if os.environ.get("ZOO_ALL_FAULTS") else (1,))
def test_tests_pass_in_any_order(seed: int, root: Path) -> None:
    # pytest-randomly also reseeds Python's and NumPy's generators before each test.
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "randomly"]
    command += ["-p", "no:cacheprovider", f"--randomly-seed={seed}"]
    command += ["-m", "not train and not slow", *SHUFFLED]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"Using --randomly-seed={seed}" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_and_spawned_processes_train_the_same(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, root: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    done = subprocess.run(
        [sys.executable, script, tiny_folder, tiny_run.path, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    assert _same_weights(tmp_path / "forked", tiny_run.path)
    assert _same_weights(tmp_path / "spawned", tiny_run.path)
    assert "forked from one in which TensorFlow had started" in done.stdout


@pytest.mark.slow
def test_notebook_trains_twice_in_one_kernel(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    places = f"DATA, RUN, OUT = {str(tiny_folder)!r}, {str(tiny_run.path)!r}, {str(tmp_path)!r}"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (places, *CELLS)]
    )
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    assert notebook.cells[-1].outputs[0].text == "36 True\n"
    assert _same_weights(tmp_path / "one", tiny_run.path)
    assert _same_weights(tmp_path / "two", tiny_run.path)


@pytest.mark.train
def test_threads_predict_the_same_under_another_dtype_policy(
    tiny_run: Run, tiny_folder: Path
) -> None:
    expected = [prediction.probability for prediction in tiny_run.predict(tiny_folder)]
    run, found = Run.open(tiny_run.path), {}
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        threads = [
            threading.Thread(
                target=lambda n: found.update({n: run.predict(tiny_folder)}), args=(number,)
            )
            for number in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert len(found) == 3
    for predictions in found.values():
        assert [prediction.probability for prediction in predictions] == expected
