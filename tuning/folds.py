"""Stratified folds and subsets of images, for cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_NUM_FOLDS = 5


def count_folds(
    labels: npt.NDArray[np.int64],
    num_classes: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> int:
    """Returns how many folds images are divided into where nobody says it.

    Args:
        labels: int64 [N], the class of each image.
        num_classes: C.
        groups: As `stratified_folds` takes them.

    Returns:
        5, or as many as the rarest class has images or groups; 0 where it has fewer than two.
    """
    rarest = int(_count_groups(labels, num_classes, groups).min())
    return min(_NUM_FOLDS, rarest) if rarest > 1 else 0


def stratified_folds(
    labels: npt.NDArray[np.int64],
    num_folds: int,
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Splits images into folds of the same class frequencies.

    Args:
        labels: int64 [N], the class of each image.
        num_folds: K, at least 2.
        seed: Seeds the shuffling.
        groups: int64 [N], the same number for images that go to one fold, as copies do and
            those of one patient; None if each stands alone. Class frequencies are then only
            about the same.

    Returns:
        K pairs of int64 indices, for training and for validation. Each image is in the
        validation part of exactly one fold.

    Raises:
        DataError: A class has fewer images, or groups of them, than there are folds.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    sizes = _count_groups(labels, int(labels.max()) + 1, groups)
    fewest = int(sizes[np.unique(labels)].min())
    if fewest < num_folds:
        what = "images" if groups is None else "groups of images, of which copies are one,"
        raise DataError(
            f"a class has fewer {what} than there are folds",
            expected=f"at least {num_folds} of each class",
            received=str(fewest),
            mend="lower --folds, or add images",
        )
    if groups is not None:
        grouped = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
        return list(grouped.split(np.zeros(len(labels)), labels, groups))
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros(len(labels)), labels))


def _count_groups(
    labels: npt.NDArray[np.int64], num_classes: int, groups: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """Returns the number of groups with images of each class, int64 [C]."""
    import numpy as np

    if groups is not None:
        labels = np.unique(np.stack([labels, groups], axis=1), axis=0)[:, 0]
    return np.bincount(labels, minlength=num_classes)


def stratified_subset(
    labels: npt.NDArray[np.int64], max_images: int, seed: int
) -> npt.NDArray[np.int64]:
    """Draws images of all classes by their shares.

    A smaller subset of the same images is part of a larger one.

    Args:
        labels: int64 [N], the class of each image.
        max_images: Images to draw, at most.
        seed: Seeds the drawing.

    Returns:
        int64 indices in rising order; all of them if N is not above `max_images`.
    """
    import numpy as np

    if len(labels) <= max_images:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    # Images in order of their rank within their class, relative to its size.
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(ranks, kind="stable")[:max_images])
