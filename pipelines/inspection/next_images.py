"""Images to label next, of those without a label, as a table to fill in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.inspection.audit_tables import write_table
from pipelines.inspection.probe import Indices, predict_out_of_fold
from tuning.folds import count_folds, stratified_folds
from tuning.linear_heads.strengths import STRENGTHS, Division
from tuning.nearest_neighbors import Floats, shorten_rows
from tuning.next_labels import choose_next_labels
from zoo.blas_threads import one_blas_thread
from zoo.errors import InputError
from zoo.models.standardization import Standardization

COLUMNS = ("path", "label", "suggested", "probability")

_USUAL_STRENGTH = STRENGTHS[len(STRENGTHS) // 2]
"""Of L2, where a class has too few images for folds."""


@dataclass(frozen=True)
class NextImage:
    """An image whose label would teach a classifier much.

    Args:
        image: Its absolute path, or its name where there are no files.
        suggested: The class that a linear head thinks likeliest.
        probability: Of that class, 0 to 1.
    """

    image: str
    suggested: str
    probability: float


@dataclass(frozen=True)
class LabeledRows:
    """Features of labeled images.

    Args:
        rows: float32 [N, F], as they are.
        labels: int64 [N].
        groups: int64 [N], the same number for images of one group; None if all stand alone.
        class_names: In the order of the labels.
    """

    rows: Floats
    labels: Indices
    groups: Indices | None
    class_names: Sequence[str]


def check_both(unlabeled: object, table: object) -> None:
    """Checks that there are images to choose from as well as a table for them, or neither.

    Args:
        unlabeled: The images; None if there are none.
        table: The file; None if there is none.

    Raises:
        InputError: One of the two is missing.
    """
    if (unlabeled is None) != (table is None):
        raise InputError(
            "to choose what to label next takes images without labels, and a table for them",
            expected="both --unlabeled DATA and --next-labels FILE.csv",
            received="--unlabeled alone" if table is None else "--next-labels alone",
            mend="--next-labels next.csv" if table is None else "--unlabeled more/",
        )


def choose_next_images(
    known: LabeledRows, names: Sequence[str], rows: Floats, count: int, seed: int
) -> tuple[NextImage, ...]:
    """Chooses images to label, by a linear head that is fitted to those with a label.

    Args:
        known: The images with a label, of two classes or more.
        names: Of the M images without one.
        rows: float32 [M, F], their features, as they are.
        count: How many to choose, at most.
        seed: Seeds folds and clusters.

    Returns:
        The chosen images, those that the head is least sure of first; see
        `tuning.next_labels.choose_next_labels`.
    """
    probabilities = np.exp(_predict(known, rows, seed))
    standardization = Standardization.fit(np.concatenate([known.rows, rows]))
    chosen = choose_next_labels(
        shorten_rows(standardization.apply(rows)), probabilities, count, seed
    )
    best = probabilities.argmax(axis=1)
    return tuple(
        NextImage(
            names[index],
            known.class_names[best[index]],
            round(float(probabilities[index, best[index]]), 4),
        )
        for index in chosen.tolist()
    )


def _predict(known: LabeledRows, rows: Floats, seed: int) -> npt.NDArray[np.float32]:
    """Returns log-probabilities of images, float32 [M, C]."""
    num_classes = len(known.class_names)
    l2 = _USUAL_STRENGTH
    if num_folds := count_folds(known.labels, num_classes, known.groups):
        folds = stratified_folds(known.labels, num_folds, seed, known.groups)
        l2, _ = predict_out_of_fold(known.rows, known.labels, folds, num_classes)
    unknown = np.zeros(len(rows), np.int64)  # fitting reads no labels of what is held out
    division = Division(known.rows[None], known.labels, rows, unknown)
    with one_blas_thread():
        return next(division.fit((l2,), num_classes))


def write_next_images(file: Path, images: Sequence[NextImage]) -> None:
    """Writes a table of images whose column `label` is to be filled in.

    Filled in, it is a data set: DATA on the command line.

    Args:
        file: The .csv file.
        images: The first to be labeled first.
    """
    write_table(file, COLUMNS, [(i.image, "", i.suggested, i.probability) for i in images])
