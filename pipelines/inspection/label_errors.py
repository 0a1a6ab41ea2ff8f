"""Label errors: images that a linear head on features gives another class than their label."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipelines.inspection.probe import Indices, predict_out_of_fold
from tuning.confident_learning import DoubtedLabels, find_doubted_labels
from tuning.folds import count_folds, stratified_folds, stratified_subset
from tuning.linear_heads.strengths import STRENGTHS

NUM_FOLDS = 5

_MANY = 5000
"""Images from which on the strength of L2 is sought on so many of them."""

_WEAKER = 2
"""Strengths below that one which are tried on all images."""


@dataclass(frozen=True)
class JudgedLabels:
    """The labels that a head doubts, worst first, and the classes that were too small to judge.

    Args:
        doubted: Images by their index in the data set; None where no two classes are large enough.
        too_small: Classes with fewer than NUM_FOLDS different images.
    """

    doubted: DoubtedLabels | None
    too_small: tuple[int, ...]


def judge_labels(
    rows: npt.NDArray[np.float32], labels: Indices, groups: Indices, num_classes: int, seed: int
) -> JudgedLabels:
    """Judges each label by a head that was fitted to the other folds.

    Near-duplicates and groups go to one fold: otherwise a copy with the same wrong label would
    confirm it.

    Args:
        rows: float32 [N, F], features as they are.
        labels: int64 [N].
        groups: int64 [N], the same number for near-duplicates and images of one group.
        num_classes: C.
        seed: Seeds the folds.
    """
    different = np.unique(np.stack([labels, groups], axis=1), axis=0)[:, 0]
    counts = np.bincount(different, minlength=num_classes)
    too_small = tuple(np.flatnonzero(counts < NUM_FOLDS).tolist())
    classes = np.flatnonzero(counts >= NUM_FOLDS)
    if len(classes) < 2:
        return JudgedLabels(None, too_small)
    judged = np.flatnonzero(np.isin(labels, classes))
    # Of the classes that are judged, from 0 on.
    codes = np.searchsorted(classes, labels[judged])
    own = groups[judged]
    grouped = own if len(np.unique(own)) < len(own) else None
    folds = stratified_folds(codes, NUM_FOLDS, seed, grouped)
    strengths = _choose_strengths(rows[judged], codes, grouped, len(classes), seed)
    _, log_probabilities = predict_out_of_fold(
        rows[judged], codes, folds, len(classes), strengths=strengths
    )
    found = find_doubted_labels(codes, log_probabilities)
    named = replace(found, images=judged[found.images], suggested=classes[found.suggested])
    return JudgedLabels(named, too_small)


def _choose_strengths(
    rows: npt.NDArray[np.float32],
    labels: Indices,
    groups: Indices | None,
    num_classes: int,
    seed: int,
) -> tuple[float, ...]:
    """Returns the strengths of L2 to try, in falling order: of many images, few of them.

    More images want a weaker penalty than the part of them that is tried first, if another one.
    """
    if len(rows) <= _MANY:
        return STRENGTHS
    part = stratified_subset(labels, _MANY, seed)
    own = None if groups is None else groups[part]
    if count_folds(labels[part], num_classes, own) < NUM_FOLDS:
        return STRENGTHS  # a class is too rare for a part
    folds = stratified_folds(labels[part], NUM_FOLDS, seed, own)
    l2, _ = predict_out_of_fold(rows[part], labels[part], folds, num_classes)
    first = STRENGTHS.index(l2)
    return STRENGTHS[first : first + _WEAKER + 1]
