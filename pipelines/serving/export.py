"""Export a run or a pretrained network in a row of FORMATS, checked on images.

Those of a run are its own validation images; those of a pretrained network are any others.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path

from pipelines.evaluation.predictions import compute_answers
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.runtime.output_paths import check_destination
from pipelines.serving.calibration_images import check_measurable, open_labeled
from pipelines.serving.export_source import ExportSource, as_files, open_export_source
from pipelines.serving.model_card import describe_integers, format_model_card
from pipelines.storage.run_folder import RunFolder
from zoo.errors import InputError, RunError
from zoo.export.calibration import MAX_DROP, Calibration
from zoo.export.formats import FORMATS, Format
from zoo.export.portable import export_portable
from zoo.export.portable_proof import TOLERANCES
from zoo.export.savedmodel import export_savedmodel
from zoo.export.signature import Signer, open_signer
from zoo.export.signatures import TOLERANCE
from zoo.export.versions import next_version

logger = logging.getLogger(__name__)


@isolated()
def export(
    model: RunFolder | str | Path,
    to: str | Path,
    *,
    data: str | Path | None = None,
    sign: str | Path | None = None,
    format: str = "savedmodel",
    quantize: str = "none",
    max_drop: float = MAX_DROP,
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
        quantize: One of the format's quantizations: `none`, `float16` or `int8`. The latter is for
            runs, is calibrated on their training images, and keeps layers in single precision
            where it would lose more accuracy than it may; see `zoo.export.integers`.
        max_drop: Points of accuracy that `int8` may lose on the images, at least 0.

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
        ExportError: The exported model predicts otherwise than the original, or loses more
            accuracy than `max_drop`; then nothing is left behind.
    """
    to = Path(to)
    row = choose_format(format, quantize)
    check_max_drop(max_drop)
    check_to(to)
    signer = open_signer(Path(sign)) if sign else None
    start_keras()
    source = open_export_source(model, data, to)
    return write_export(source, row, quantize, to, signer, data=data, max_drop=max_drop)


def write_export(
    source: ExportSource,
    row: Format,
    quantize: str,
    to: Path,
    signer: Signer | None = None,
    *,
    data: str | Path | None = None,
    max_drop: float = MAX_DROP,
) -> Path:
    """Writes an opened model in one format, and checks it; see `export`.

    Args:
        source: The model and its images.
        row: The format.
        quantize: One of its quantizations.
        to: The model's folder.
        signer: Signs it; None leaves it unsigned.
        data: The data set with the run's images, if it has moved.
        max_drop: Points of accuracy that `int8` may lose.

    Returns:
        The version's folder.

    Raises:
        ZooError: As `export`.
    """
    if quantize == "int8":
        _check_run(source)
    logger.info(f"writing {to} and checking it on {source.described}")
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(as_files(source.examples))
        if row.convert is None:
            version = _export_savedmodel(source, to, images, signer)
        else:
            calibration = None
            if quantize == "int8" and source.run:
                examples, targets = open_labeled(source.run, data, source.examples)
                files = stack.enter_context(as_files(examples))
                logger.info(f"calibrating 8-bit integers on {len(files)} training images")
                calibration = Calibration(files, targets, max_drop)
            version = export_portable(
                source.exported,
                row,
                to,
                images=images,
                quantize=quantize,
                calibration=calibration,
                card=partial(format_model_card, source.opened, row, quantize, source.described),
                sign=signer,
            )
    if quantize == "int8":
        for line in describe_integers(version):
            logger.info(line)
    else:
        tolerance = TOLERANCE if row.convert is None else TOLERANCES[quantize]
        logger.info(
            f"a fresh process predicts all {len(source.examples)} within {tolerance:g} of "
            f"{source.name}"
        )
    if signer:
        logger.info(f"signed {version}")
    return version


def _check_run(source: ExportSource) -> None:
    """Checks that a model has the labeled images that 8-bit integers need.

    Raises:
        InputError: It has none.
    """
    if source.run is None:
        raise InputError(
            "8-bit integers are calibrated on training images and held to the accuracy on others",
            expected="a run, which has both",
            received=source.name,
            mend="--quantize float16",
        )
    check_measurable(source.run)


def choose_format(name: str, quantize: str) -> Format:
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
    row.check_installed(row.packages_for(quantize))
    return row


def check_max_drop(max_drop: float) -> None:
    """Checks how many points of accuracy may be lost.

    Raises:
        InputError: It is below 0, or no number.
    """
    if not max_drop >= 0:
        raise InputError(
            "no export can be held to that accuracy",
            expected="0 or more points that it may lose",
            received=f"{max_drop:g}",
            mend=f"--max-drop {MAX_DROP:g}",
        )


def _export_savedmodel(
    source: ExportSource, to: Path, images: list[Path], signer: Signer | None
) -> Path:
    exported, recipe = source.exported, source.opened.recipe
    answers = compute_answers(
        exported.model, exported.scorer, recipe, source.examples, exported.tasks
    )
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


def check_to(to: Path) -> None:
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
