"""Which images of each split have a near-duplicate among those that are trained on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.training_twins import (
    MAX_IMAGES,
    TrainingTwins,
    find_training_twins,
    hash_comparable,
)
from pipelines.sources.config import NEAR_DUPLICATES
from pipelines.sources.scanning.changes import are_present
from pipelines.sources.scanning.hashed_images import HashedImages, are_comparable
from pipelines.sources.source import Examples, Source
from pipelines.sources.splitting.near_duplicates import find_near_duplicates

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitTwins:
    """The twins of the splits that are held out.

    Args:
        trained: The hashes of the images that are trained on; None where there are too many.
        by_split: The twins of `val` and `test`; empty then.
    """

    trained: HashedImages | None = None
    by_split: dict[str, TrainingTwins] = field(default_factory=dict)


def find_split_twins(
    source: Source, trained: Examples, folds: npt.NDArray[np.int64] | None
) -> SplitTwins:
    """Finds the images of each split that have a near-duplicate among those that are trained on.

    Args:
        source: The splits.
        trained: The images that are trained on, those without labels last.
        folds: The fold that each of these is held out with, int64 [N], where `val` is the first
            of them, each answered by the head of its fold: only near-duplicates in another fold
            count. None where `val` is not trained on.

    Raises:
        DataError: An image changed after it was scanned.
    """
    held_out = {name: part for name, part in source.splits.items() if name != "train"}
    if folds is not None:
        del held_out["val"]
    if len(trained) + sum(map(len, held_out.values())) > MAX_IMAGES:
        logger.info(
            f"of more than {MAX_IMAGES:,} images, the near-duplicates of training images are not "
            "counted"
        )
        return SplitTwins()
    if not all(map(are_present, (trained, *held_out.values()))):
        logger.info("the images are not there: near-duplicates of training images are not counted")
        return SplitTwins()
    hashed = hash_comparable(trained)
    found = {
        name: find_training_twins(part, hashed, trained.digests) for name, part in held_out.items()
    }
    by_split = {name: twins for name, twins in found.items() if twins is not None}
    if folds is not None:
        near = _find_between_folds(trained, hashed, folds)[: len(source.val)]
        # A fold does not divide copies.
        by_split["val"] = TrainingTwins(near, np.zeros(len(near), bool))
    if not source.own_val and (count := int(by_split["val"].near.sum())):
        logger.info(
            f"{count} of {len(source.val)} val images have a near-duplicate among those that their "
            f"model is trained on; --set data.group={NEAR_DUPLICATES} keeps these together"
        )
    return SplitTwins(hashed, by_split)


def _find_between_folds(
    trained: Examples, hashed: HashedImages, folds: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Returns which images have a near-duplicate in another fold, bool [N]."""
    near = np.zeros(len(trained), bool)
    pairs = np.flatnonzero(are_comparable(trained))[find_near_duplicates(hashed.hashes)]
    divided = folds[pairs[:, 0]] != folds[pairs[:, 1]]
    near[pairs[divided]] = True
    return near
