"""Export a run or a pretrained network in a row of FORMATS, checked on images.

Those of a run are its own validation images; those of a pretrained network are any others.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipelines.evaluation.predictions import compute_answers
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.runtime.output_paths import check_destination
from pipelines.serving.model_card import format_model_card
from pipelines.sources.opening.recorded import find_recorded
from pipelines.sources.opening.unlabeled import open_unlabeled
from pipelines.sources.source import Examples
from pipelines.storage.pretrained_network import PretrainedNetwork, open_run_or_network
from pipelines.storage.run_folder import RunFolder
from zoo.errors import DataError, InputError, RunError
from zoo.export.formats import FORMATS, Format
from zoo.export.portable import Exported, export_portable
from zoo.export.portable_proof import TOLERANCES
from zoo.export.savedmodel import export_savedmodel
from zoo.export.signature import Signer, open_signer
from zoo.export.signatures import TOLERANCE
from zoo.export.versions import next_version
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
    format: str = "savedmodel",
    quantize: str = "none",
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
        format: A row of FORMATS.
        quantize: One of the format's quantizations: `none` or `float16`.

    Returns:
        The version's folder.

    Raises:
        RunError: `model` is neither, or `to` has no name or is a file.
        UnknownNameError: `model` is nearly the name of a pretrained network; or there is no
            such format.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
        InputError: `to` cannot be written; or `sign` is no such key, or the extra `sign` is not
            installed; or the format has no such quantization, or its extra is not installed.
        DataError: The images cannot be read, or have changed since the run.
        ExportError: The exported model predicts otherwise than the original; then nothing
            is left behind.
    """
    to = Path(to)
    row = _choose_format(format, quantize)
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
    run = opened if isinstance(opened, RunFolder) else None
    exported = Exported(
        opened.model,
        opened.recipe.input.preprocessing,
        opened.tasks,
        run.unknown_scorer if run else None,
        run.decision_rules if run else {},
    )
    logger.info(f"writing {to} and checking it on {described}")
    with _as_files(examples) as images:
        if row.convert is None:
            version = _export_savedmodel(exported, opened.recipe, examples, to, images, signer)
            tolerance = TOLERANCE
        else:
            card = partial(format_model_card, opened, row, quantize, described)
            version = export_portable(
                exported, row, to, images=images, quantize=quantize, card=card, sign=signer
            )
            tolerance = TOLERANCES[quantize]
    logger.info(
        f"a fresh process predicts all {len(examples)} within {tolerance:g} of "
        + (opened.name if isinstance(opened, PretrainedNetwork) else "the run")
    )
    if sign:
        logger.info(f"signed with {sign}")
    return version


def _choose_format(name: str, quantize: str) -> Format:
    """Returns a row of FORMATS that can be written here.

    Raises:
        UnknownNameError: There is no such format.
        InputError: It has no such quantization, or its extra is not installed.
    """
    row = FORMATS[name]
    if quantize not in row.quantizations:
        raise InputError(
            f"the format {row.name} has no quantization {quantize!r}",
            expected=" or ".join(row.quantizations),
            received=quantize,
            mend=f"--quantize {row.quantizations[-1]}",
        )
    row.check_installed()
    return row


def _export_savedmodel(
    exported: Exported,
    recipe: ResolvedRecipe,
    examples: Examples,
    to: Path,
    images: list[Path],
    signer: Signer | None,
) -> Path:
    answers = compute_answers(exported.model, exported.scorer, recipe, examples, exported.tasks)
    return export_savedmodel(
        exported.model,
        exported.preprocessing,
        exported.tasks,
        to,
        images=images,
        predictions=answers.predictions,
        scorer=exported.scorer,
        unknown_scores=answers.unknown_scores,
        rules=exported.rules,
        sign=signer,
    )


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
