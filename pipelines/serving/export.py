"""Export: a finished run as a SavedModel, proven on the run's own validation files."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.evaluation.predictions import compute_predictions
from pipelines.runtime.output_paths import check_destination
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.dataset import open_source
from pipelines.sources.source import Examples, Source
from pipelines.storage.run_folder import RunFolder
from zoo.errors import DataError, InputError, RunError
from zoo.export.savedmodel import export_savedmodel, next_version
from zoo.export.signatures import TOLERANCE

logger = logging.getLogger(__name__)


def export(run: RunFolder | str | Path, to: str | Path, *, data: str | Path | None = None) -> Path:
    """Writes a run's model as `to`/VERSION and proves it on the validation files.

    Args:
        run: A finished run.
        to: The model's folder, such as `saved_models/photos`; earlier versions in
            it stay.
        data: Where the images are now; None looks where the run read them.

    Returns:
        The folder written.

    Raises:
        RunError: No finished run, or `to` has no name or is a file.
        InputError: `to` cannot be written.
        DataError: The run's images are not to be had, or they are others.
        ExportError: The exported model does not answer as the run does; then
            nothing is left behind.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    to = Path(to)
    _check_to(to)
    recipe = run.recipe
    with suppress_stderr():
        import tensorflow  # noqa: F401
    source = _open_images(run, data, to)
    model = run.load_model()
    predictions = compute_predictions(model, recipe, source.val, run.tasks)
    logger.info(f"writing and proving {to} on {len(source.val)} validation images")
    with _as_files(source.val) as images:
        version = export_savedmodel(
            model,
            recipe.input.preprocessing,
            run.tasks,
            to,
            images=images,
            predictions=predictions,
        )
    logger.info(f"a fresh process answers all {len(source.val)} within {TOLERANCE:g} of the run")
    return version


def _check_to(to: Path) -> None:
    """Checks that a version can be written into `to`, before anything is computed for it."""
    if not to.name:
        raise RunError(
            "the model has no name",
            expected="a folder called as the model is to be",
            received=repr(str(to)),
            mend="--to saved_models/NAME",
        )
    check_destination(to, "--to")
    check_destination(next_version(to), "--to")


def _open_images(run: RunFolder, data: str | Path | None, to: Path) -> Source:
    """Reads the images a run was validated on, and checks that they are those."""
    recipe = run.recipe
    try:
        source = open_source(
            str(data or recipe.data.source), recipe.data, seed=recipe.seed, tasks=recipe.asked_tasks
        )
    except InputError as error:
        if data:
            raise
        raise DataError(
            f"the images of {run.path} are not to be had: {error}",
            mend=f"say where they are now: zoo export {run.path} --to {to} --data DATA",
        ) from error
    for had_task, task in zip(run.tasks, source.tasks, strict=True):
        if task.class_names != had_task.class_names:
            raise DataError(
                f"{source.name} has other classes than {run.path}",
                expected=", ".join(had_task.class_names),
                received=", ".join(task.class_names),
                mend="give --data the images it was trained on",
            )
    had, has = frozenset(run.digests("val")), frozenset(source.val.digests)
    if had != has:
        raise DataError(
            f"the validation images of {source.name} are not those of {run.path}",
            expected=f"the same {len(had)} files",
            received=f"{len(has & had)} of them and {len(has - had)} others",
            mend="give --data the images it was trained on",
        )
    return source


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
