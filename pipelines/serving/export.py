"""Export a run or a pretrained network as a SavedModel, checked on images.

Those of a run are its own validation images; those of a pretrained network are any others.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path

from pipelines.evaluation.predictions import compute_answers
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.runtime.output_paths import check_destination
from pipelines.sources.opening.recorded import find_recorded
from pipelines.sources.opening.unlabeled import open_unlabeled
from pipelines.sources.source import Examples
from pipelines.storage.pretrained_network import open_run_or_network
from pipelines.storage.run_folder import RunFolder
from zoo.errors import DataError, InputError, RunError
from zoo.export.savedmodel import export_savedmodel, next_version
from zoo.export.signature import open_signer
from zoo.export.signatures import TOLERANCE
from zoo.files import scratch_folder

logger = logging.getLogger(__name__)

SAMPLE_DATA = "signs"
"""The images that the export of a pretrained network is checked on, unless others are given."""

MAX_SAMPLE = 200
"""How many of them, at most."""

MAX_TRAINED = 500
"""Training images that the mean of fold heads is checked on, at most: it validated on them."""


@isolated()
def export(
    model: RunFolder | str | Path,
    to: str | Path,
    *,
    data: str | Path | None = None,
    sign: str | Path | None = None,
) -> Path:
    """Writes a model as `to`/VERSION and checks it on images.

    A run is checked on its validation images, of the mean of fold heads on up to 500 of them; a
    pretrained network, whose validation images are not here, on up to 200 images of `data`.

    Args:
        model: A finished run, or a pretrained network with a top, by name
            (`efficientnet_lite0.imagenet`) or as a file that `zoo pretrain` wrote. A run at
            a path of that name comes first.
        to: The model's folder, such as `saved_models/photos`; earlier versions in it stay.
        data: The data set with the run's images, if it has moved; None takes the run's own.
            For a pretrained network any images, with or without classes; None takes embedded
            photographs.
        sign: A private key to sign the export with, a PEM file of the curve P-256, P-384 or
            P-521; see `zoo.export.signature`.

    Returns:
        The version's folder.

    Raises:
        RunError: `model` is neither, or `to` has no name or is a file.
        UnknownNameError: `model` is nearly the name of a pretrained network.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
        InputError: `to` cannot be written; or `sign` is no such key, or the extra `sign` is not
            installed.
        DataError: The images cannot be read, or have changed since the run.
        ExportError: The exported model predicts otherwise than the original; then nothing
            is left behind.
    """
    to = Path(to)
    _check_to(to)
    signer = open_signer(Path(sign)) if sign else None
    start_keras()
    opened = open_run_or_network(model)
    if isinstance(opened, RunFolder):
        examples = _open_validation_images(opened, data, to)
        described = f"{len(examples)} validation images"
    else:
        sample = open_unlabeled(str(data or SAMPLE_DATA), at_most=MAX_SAMPLE)
        examples = sample.splits["all"]
        described = f"{len(examples)} images of {data or SAMPLE_DATA}"
    network = opened.model
    scorer = opened.unknown_scorer if isinstance(opened, RunFolder) else None
    rules = opened.decision_rules if isinstance(opened, RunFolder) else {}
    answers = compute_answers(network, scorer, opened.recipe, examples, opened.tasks)
    logger.info(f"writing {to} and checking it on {described}")
    with _as_files(examples) as images:
        version = export_savedmodel(
            network,
            opened.recipe.input.preprocessing,
            opened.tasks,
            to,
            images=images,
            predictions=answers.predictions,
            scorer=scorer,
            unknown_scores=answers.unknown_scores,
            rules=rules,
            sign=signer,
        )
    logger.info(
        f"a fresh process predicts all {len(examples)} within {TOLERANCE:g} of "
        + ("the run" if isinstance(opened, RunFolder) else opened.name)
    )
    if sign:
        logger.info(f"signed with {sign}")
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


def _open_validation_images(run: RunFolder, data: str | Path | None, to: Path) -> Examples:
    """Finds a run's validation images by their content, whatever was added beside them.

    Raises:
        DataError: The images cannot be read, or some are gone or have changed.
    """
    recipe = run.recipe
    name = str(data or recipe.source)
    # With folds, the validation images are the training images.
    recorded = frozenset(run.digests("val") or run.digests("train")[:MAX_TRAINED])
    try:
        found = find_recorded(name, recorded, recipe.data, recipe.unbound_tasks)
    except InputError as error:
        if data:
            raise
        raise DataError(
            f"the images of {run.path} cannot be read: {error}",
            mend="say where they are now: zoo export "
            f"{shlex.quote(str(run.path))} --to {shlex.quote(str(to))} --data DATA",
        ) from error
    if found is None or len(found) < len(recorded):
        raise DataError(
            f"validation images of {run.path} are not in {name}",
            expected=f"the same {len(recorded)} files, and perhaps others",
            received=f"{0 if found is None else len(found)} of them",
            mend="give --data the images it was trained on",
        )
    return found


@contextlib.contextmanager
def _as_files(examples: Examples) -> Iterator[list[Path]]:
    """Yields the images' files; images without files are written to a temporary folder."""
    if examples.files is not None:
        yield list(examples.files)
        return
    with scratch_folder() as folder:
        paths = [folder / f"{index:08d}" for index in range(len(examples))]
        for index, path in enumerate(paths):
            path.write_bytes(examples.read(index))
        yield paths
