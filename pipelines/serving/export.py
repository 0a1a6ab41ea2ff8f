"""Export a finished run as a SavedModel, checked on the run's own validation images."""

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
    """Writes a run's model as `to`/VERSION and checks it on the validation images.

    Args:
        run: A finished run.
        to: The model's folder, such as `saved_models/photos`; earlier versions in it stay.
        data: The data set with the run's images, if it has moved; None takes the run's own.

    Returns:
        The version's folder.

    Raises:
        RunError: `run` is not a finished run, or `to` has no name or is a file.
        InputError: `to` cannot be written.
        DataError: The run's images cannot be read, or have changed.
        ExportError: The exported model predicts otherwise than the run; then nothing is
            left behind.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    to = Path(to)
    _check_to(to)
    recipe = run.recipe
    with suppress_stderr():
        import tensorflow  # noqa: F401
    source = _open_images(run, data, to)
    model = run.model
    predictions = compute_predictions(model, recipe, source.val, run.tasks)
    logger.info(f"writing {to} and checking it on {len(source.val)} validation images")
    with _as_files(source.val) as images:
        version = export_savedmodel(
            model,
            recipe.input.preprocessing,
            run.tasks,
            to,
            images=images,
            predictions=predictions,
        )
    logger.info(f"a fresh process predicts all {len(source.val)} within {TOLERANCE:g} of the run")
    return version


def _check_to(to: Path) -> None:
    """Checks that a version can be written into `to`, before anything is computed for it.

    Raises:
        RunError: `to` has no name, or it or a version in it is a file.
        InputError: `to` cannot be written.
    """
    if not to.name:
        raise RunError(
            "the model has no name",
            expected="a folder with the name of the model",
            received=repr(str(to)),
            mend="--to saved_models/NAME",
        )
    check_destination(to, "--to")
    check_destination(next_version(to), "--to")


def _open_images(run: RunFolder, data: str | Path | None, to: Path) -> Source:
    """Reads a run's images, and checks that its validation images are still the same.

    Raises:
        DataError: The images cannot be read, or have changed.
    """
    recipe = run.recipe
    try:
        source = open_source(
            str(data or recipe.source),
            recipe.data,
            seed=recipe.seed,
            tasks=recipe.unbound_tasks,
        )
    except InputError as error:
        if data:
            raise
        raise DataError(
            f"the images of {run.path} cannot be read: {error}",
            mend=f"say where they are now: zoo export {run.path} --to {to} --data DATA",
        ) from error
    for trained, task in zip(run.tasks, source.tasks, strict=True):
        if task.class_names != trained.class_names:
            raise DataError(
                f"{source.name} has other classes than {run.path}",
                expected=", ".join(trained.class_names),
                received=", ".join(task.class_names),
                mend="give --data the images it was trained on",
            )
    recorded, present = frozenset(run.digests("val")), frozenset(source.val.digests)
    if recorded != present:
        raise DataError(
            f"the validation images of {source.name} are not those of {run.path}",
            expected=f"the same {len(recorded)} files",
            received=f"{len(present & recorded)} of them and {len(present - recorded)} others",
            mend="give --data the images it was trained on",
        )
    return source


@contextlib.contextmanager
def _as_files(examples: Examples) -> Iterator[list[Path]]:
    """Yields the images' files; images without files are written to a temporary folder."""
    if examples.files is not None:
        yield list(examples.files)
        return
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{index:08d}" for index in range(len(examples))]
        for index, path in enumerate(paths):
            path.write_bytes(examples.read(index))
        yield paths
