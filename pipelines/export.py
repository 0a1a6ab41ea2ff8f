"""Export: a finished run as a SavedModel, proven on the run's own validation files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.devices import quiet_start
from pipelines.evaluate import answer
from pipelines.progress import say
from pipelines.runs import Run
from pipelines.sources import Examples, open_source
from zoo.errors import RunError
from zoo.export import TOLERANCE, export_savedmodel


def export(run: Run | str | Path, to: str | Path, *, data: str = "") -> Path:
    """Writes a run's model as `to`/VERSION and proves it on the validation files.

    Args:
        run: A finished run.
        to: The model's folder, such as `saved_models/photos`; earlier versions in
            it stay.
        data: Where the images are now, if not where the run read them.

    Returns:
        The folder written.

    Raises:
        RunError: No finished run, or `to` is a file.
        DataError: The run's images are not to be had.
        ExportError: The exported model does not answer as the run does; then
            nothing is left behind.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    to = Path(to)
    if to.exists() and not to.is_dir():
        raise RunError(
            f"{to} is a file", expected="a folder to write into", mend="choose another --to"
        )
    recipe = run.recipe
    with quiet_start():
        import tensorflow  # noqa: F401
    source = open_source(data or recipe.data.source, recipe.data, seed=recipe.seed)
    model = run.load_model()
    probabilities = answer(model, recipe, source.val)
    say(f"writing and proving {to} on {len(source.val)} validation images")
    with _as_files(source.val) as images:
        version = export_savedmodel(
            model,
            recipe.input.preprocessing,
            run.class_names,
            to,
            images=images,
            probabilities=probabilities,
        )
    say(f"a fresh process answers all {len(source.val)} within {TOLERANCE:g} of the run")
    return version


@contextlib.contextmanager
def _as_files(examples: Examples) -> Iterator[list[Path]]:
    if examples.files is not None:
        yield list(examples.files)
        return
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{index:08d}" for index in range(len(examples))]
        for index, path in enumerate(paths):
            path.write_bytes(examples.read(index))
        yield paths
