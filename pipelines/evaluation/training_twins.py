"""Images with a near-duplicate among those that a model was trained on: which, and how many."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.classification import wilson_interval
from pipelines.sources.columns import Digests, sortable
from pipelines.sources.scanning.hashed_images import HashedImages, are_comparable, hash_examples
from pipelines.sources.source import Examples
from pipelines.sources.splitting.near_duplicates import find_near_duplicates_of
from pipelines.storage.held_out_answers import HeldOutAnswers
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.trained_hashes import load_trained_hashes

logger = logging.getLogger(__name__)

MAX_IMAGES = 20_000
"""Images that are compared, trained on or measured, at most: some seconds of work."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingTwins:
    """Which of N measured images have a twin among those that a model was trained on.

    Args:
        near: Whether there is a near-duplicate, copies included, bool [N].
        copies: Whether there is a copy, byte for byte, bool [N].
    """

    near: Bools
    copies: Bools


def hash_comparable(examples: Examples) -> HashedImages:
    """Hashes those images that have the pixels for it.

    Args:
        examples: Scanned images.

    Raises:
        DataError: An image changed after it was scanned.
    """
    compared = examples.take(np.flatnonzero(are_comparable(examples)))
    return HashedImages(compared.binary_digests, hash_examples(compared))


def find_twins_in_run(
    run: RunFolder, examples: Examples, held_out: HeldOutAnswers | None
) -> TrainingTwins | None:
    """Finds the images of a split that have a twin among those that a run was trained on.

    Args:
        run: A finished run.
        examples: The split, N images.
        held_out: What answered them, where fold heads did: only what these were fitted to counts.

    Returns:
        The twins; None where the run has no hashes, as of many images.

    Raises:
        DataError: An image changed after it was scanned.
        RunError: A file of the run is damaged.
    """
    found = None
    if held_out is not None:
        if (near := held_out.near_of(examples.digests)) is not None:
            found = TrainingTwins(near, np.zeros(len(near), bool))
    elif (trained := load_trained_hashes(run.hashes_file)) is not None:
        found = find_training_twins(examples, trained, run.trained_on)
    if found is None:
        logger.info("near-duplicates of training images are not counted: the run has no hashes")
    return found


def find_training_twins(
    examples: Examples, trained: HashedImages, digests: Collection[str]
) -> TrainingTwins | None:
    """Finds the images of a split that have a twin among those that a model was trained on.

    Args:
        examples: The split, N images.
        trained: The hashes of the images that the model was trained on.
        digests: The digests of these, of those without a hash, too.

    Returns:
        The twins; None if there are too many images to compare.

    Raises:
        DataError: An image changed after it was scanned.
    """
    if len(examples) + len(digests) > MAX_IMAGES:
        return None
    known = sortable(Digests.of(digests).binary)
    copies = np.isin(sortable(examples.binary_digests), known)
    near = copies.copy()
    # A copy needs no comparison.
    compared = np.flatnonzero(are_comparable(examples) & ~copies)
    pairs = find_near_duplicates_of(hash_examples(examples.take(compared)), trained.hashes)
    near[compared[np.unique(pairs[:, 0])]] = True
    return TrainingTwins(near, copies)


def compute_accuracy_without(twins: TrainingTwins, right: Bools, name: str) -> dict[str, Any]:
    """Computes what share of the images without a twin is right.

    Args:
        twins: Of N images.
        right: Whether each is answered correctly, bool [N].
        name: What the share is called, such as `accuracy`.

    Returns:
        JSON values, see `pipelines.storage.split_metrics.DistinctMetrics`.
    """
    left = right[~twins.near]
    hits, count = int(left.sum()), len(left)
    return {
        **_count(twins),
        name: hits / count if count else None,
        f"{name}_interval": wilson_interval(hits, count) if count else None,
    }


def compute_error_without(twins: TrainingTwins, errors: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Computes the mean absolute error of the images without a twin.

    Args:
        twins: Of N images.
        errors: Of each, float64 [N].
    """
    left = np.abs(errors[~twins.near])
    return {**_count(twins), "mae": float(left.mean()) if len(left) else None}


def _count(twins: TrainingTwins) -> dict[str, Any]:
    return {
        "num_images": int((~twins.near).sum()),
        "num_near_duplicates": int(twins.near.sum()),
        "num_copies": int(twins.copies.sum()),
    }
