"""Confident learning: labels that a classifier doubts, by probabilities it was not fitted to.

An image counts as one of class j if j has the largest probability of those classes whose
probability reaches their threshold t_j, the mean probability of j over the images labeled j. The
thresholds are what makes it robust: of a class that the classifier is never sure of, they ask for
less. How many images of a label count as others says how many labels are wrong; a score ranks them.

Reference: Northcutt, Jiang and Chuang, 2021, Confident Learning, Journal of Artificial Intelligence
Research 70, https://doi.org/10.1613/jair.1.12125, equations 1 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

UNSURE = -1
"""Stands for the class of an image none of whose probabilities reaches its threshold."""


@dataclass(frozen=True)
class ConfidentClasses:
    """What N images seem to be of.

    Args:
        thresholds: t, float64 [C]; 2, which nothing reaches, for a class without images.
        classes: int64 [N], the class that each image counts as, or UNSURE.
        joint: The confident joint, int64 [C, C]: images by label and by class they count as.
        num_labels: int64 [C], images by label, whether they count as any class or not.
    """

    thresholds: Doubles
    classes: Labels
    joint: npt.NDArray[np.int64]
    num_labels: npt.NDArray[np.int64]

    @property
    def num_errors(self) -> float:
        """How many labels are wrong: the joint off its diagonal, each row scaled to its label."""
        sums = self.joint.sum(axis=1)
        wrong = (sums - np.diag(self.joint)) / np.maximum(sums, 1)
        return float((wrong * self.num_labels).sum())


@dataclass(frozen=True)
class DoubtedLabels:
    """The M images that the classifier gives another class than their label, worst first.

    Args:
        images: int64 [M], their indices.
        suggested: int64 [M], the class with the largest probability.
        scores: float64 [M], of `score_labels`, in rising order.
        num_errors: How many labels are wrong, as the confident joint has it: 0 to M.
    """

    images: Labels
    suggested: Labels
    scores: Doubles
    num_errors: int


def count_confidently(labels: Labels, probabilities: npt.NDArray[np.floating]) -> ConfidentClasses:
    """Counts images by their label and by the class that they are confidently of.

    Args:
        labels: int64 [N], in 0 to C - 1.
        probabilities: [N, C], each row by a classifier that was fitted without it.

    Example:
        >>> first = np.array([0.9, 0.8, 0.1, 0.2, 0.3])
        >>> found = count_confidently(np.array([0, 0, 0, 1, 1]), np.stack([first, 1 - first], 1))
        >>> found.thresholds.round(2).tolist()
        [0.6, 0.75]
        >>> found.joint.tolist()
        [[2, 1], [0, 1]]
        >>> found.classes.tolist()
        [0, 0, 1, 1, -1]
    """
    num_classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, weights=own, minlength=num_classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), 2.0)
    reaches = probabilities >= thresholds
    best = np.where(reaches, probabilities, -1.0).argmax(axis=1)
    classes = np.where(reaches.any(axis=1), best, UNSURE)
    joint = np.zeros((num_classes, num_classes), np.int64)
    sure = classes != UNSURE
    np.add.at(joint, (labels[sure], classes[sure]), 1)
    return ConfidentClasses(thresholds, classes, joint, counts)


def score_labels(labels: Labels, log_probabilities: Floats) -> Doubles:
    """Scores labels by p · exp(−q / 5), in 0 to 1: the lower, the likelier is the label wrong.

    p is the probability of the label, q the largest of the other classes. By p alone ("self
    confidence"), a label whose image could be of two other classes is as suspicious as one whose
    image is surely of one other class; by p − q ("normalized margin") it is hardly suspicious. Of
    5 % flipped labels of CIFAR-10 and of photographs of hand signs, the average precision of this
    score is that of p where the flips are random, and above it where they are between the two
    likeliest classes: 0.304 against 0.296, and 0.648 against 0.642. A larger share of q has more
    there (0.331 and 0.664 with exp(−q)), and less where flips are random (0.806 against 0.810).

    Args:
        labels: int64 [N], in 0 to C - 1.
        log_probabilities: float32 [N, C], each row by a classifier that was fitted without it.

    Returns:
        float64 [N].
    """
    probabilities = np.exp(log_probabilities.astype(np.float64))
    rows = np.arange(len(labels))
    given = probabilities[rows, labels]
    probabilities[rows, labels] = 0
    return given * np.exp(-probabilities.max(axis=1) / 5)


def find_doubted_labels(labels: Labels, log_probabilities: Floats) -> DoubtedLabels:
    """Finds the images that are classified otherwise than their label says, worst first.

    Args:
        labels: int64 [N], in 0 to C - 1.
        log_probabilities: float32 [N, C], each row by a classifier that was fitted without it.

    Example:
        >>> second = np.array([0.01, 0.02, 0.97, 0.98, 0.45], np.float32)
        >>> found = find_doubted_labels(
        ...     np.array([0, 0, 0, 1, 1]), np.log(np.stack([1 - second, second], 1))
        ... )
        >>> found.images.tolist(), found.suggested.tolist(), found.num_errors
        ([2, 4], [1, 0], 1)
    """
    likeliest = log_probabilities.argmax(axis=1)
    counted = count_confidently(labels, np.exp(log_probabilities.astype(np.float64)))
    scores = score_labels(labels, log_probabilities)
    doubted = np.flatnonzero(likeliest != labels)
    images = doubted[np.argsort(scores[doubted], kind="stable")]
    num_errors = min(round(counted.num_errors), len(images))
    return DoubtedLabels(images, likeliest[images], scores[images], num_errors)
