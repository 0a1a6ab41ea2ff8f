"""Multinomial logistic regression with an L2 penalty, by L-BFGS.

Minimizes Σᵢ wᵢ · CE(yᵢ, softmax(xᵢW + b)) / N + l2 · ΣW², which is what a linear head with the
same penalty minimizes by mini-batches, from W = 0 and b = 0: the first loss is ln C. In
scikit-learn's terms C = 1 / (2 · N · l2). Reference: Liu and Nocedal, 1989,
https://doi.org/10.1007/BF01589116
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuning.linear_heads.row_blocks import map_blocks
from zoo.blas_threads import one_blas_thread

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

MAX_ITERATIONS = 200
"""Iterations, at most; heads on standardized features converge in 20 to 100."""


_GRADIENT, _LOSS = 1e-5, 1e-8
"""A fit ends when no component of the gradient is larger, or the loss falls by a smaller share.

Both are tight: a fit that starts from that of a similar penalty lowers the loss little at first.
"""


@dataclass(frozen=True)
class LinearHead:
    """A linear head.

    Args:
        kernel: float32 [F, C].
        bias: float32 [C].
    """

    kernel: Floats
    bias: Floats

    @classmethod
    def zeros(cls, num_features: int, num_classes: int) -> LinearHead:
        """Returns the head that gives every class the same probability."""
        shape = (num_features, num_classes)
        return cls(np.zeros(shape, np.float32), np.zeros(num_classes, np.float32))

    def log_probabilities(self, rows: Floats) -> Floats:
        """Maps features float32 [N, F] to log-probabilities float32 [N, C]."""
        if not len(rows):
            return np.zeros((0, len(self.bias)), np.float32)
        with one_blas_thread():
            parts = map_blocks(lambda block: _log_softmax(self, rows[block]), len(rows))
        return np.concatenate(parts)


def _log_softmax(head: LinearHead, rows: Floats) -> Floats:
    logits = rows @ head.kernel + head.bias
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def compute_log_losses(log_probabilities: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Returns the cross-entropy of each row, float32 [N].

    Args:
        log_probabilities: float32 [N, C].
        labels: int64 [N].
    """
    return -log_probabilities[np.arange(len(labels)), labels]


def one_hot(
    labels: npt.NDArray[np.int64], num_classes: int, label_smoothing: float = 0.0
) -> Floats:
    """Returns targets float32 [N, C], a share of each spread over all classes.

    Args:
        labels: int64 [N].
        num_classes: C.
        label_smoothing: That share, 0 to below 1.
    """
    targets = np.eye(num_classes, dtype=np.float32)[labels]
    return targets * np.float32(1 - label_smoothing) + np.float32(label_smoothing / num_classes)


def fit_logistic_regression(
    rows: Floats,
    targets: Floats,
    l2: float,
    *,
    sample_weights: Floats | None = None,
    max_iterations: int = MAX_ITERATIONS,
    on_iteration: Callable[[LinearHead, Floats], None] | None = None,
) -> LinearHead:
    """Fits a linear head to convergence, from zeros.

    Args:
        rows: float32 [N, F], standardized.
        targets: float32 [N, C], rows that sum to 1.
        l2: Strength of ΣW², at least 0; biases are not penalized.
        sample_weights: float32 [N]; None weighs all rows by 1.
        max_iterations: Iterations, at most.
        on_iteration: Receives the head after each iteration, and its log-probabilities of
            `rows`, float32 [N, C].
    """
    coordinates, rows = _Coordinates.of(rows)
    start = LinearHead.zeros(rows.shape[1], targets.shape[1])
    problem = _Problem(rows, targets, l2, sample_weights)

    def report(head: LinearHead) -> None:
        if on_iteration:
            on_iteration(coordinates.lift(head), problem.log_probabilities_of(head))

    return coordinates.lift(problem.solve(start, max_iterations, report))


def fit_path(
    rows: Floats,
    targets: Floats,
    strengths: Sequence[float],
    *,
    sample_weights: Floats | None = None,
) -> Iterator[LinearHead]:
    """Fits a head for each strength.

    Each fit starts from the head before it, which from the strongest penalty to the weakest is
    far less work than separate fits.

    Args:
        rows: float32 [N, F], standardized.
        targets: float32 [N, C].
        strengths: Strengths of ΣW², in falling order.
        sample_weights: float32 [N]; None weighs all rows by 1.

    Yields:
        The head of each strength, fitted when it is asked for.
    """
    coordinates, rows = _Coordinates.of(rows)
    head = LinearHead.zeros(rows.shape[1], targets.shape[1])
    for strength in strengths:
        problem = _Problem(rows, targets, strength, sample_weights)
        head = problem.solve(head, MAX_ITERATIONS)
        yield coordinates.lift(head)


@dataclass(frozen=True)
class _Coordinates:
    """Coordinates of the space that rows span.

    A penalized kernel lies in that space: anything orthogonal to all rows changes no logit
    and costs a penalty. Of N < F rows, N coordinates then stand for F.

    Args:
        basis: Orthonormal, float32 [F, N]; None leaves features as they are.
    """

    basis: Floats | None

    @classmethod
    def of(cls, rows: Floats) -> tuple[_Coordinates, Floats]:
        """Returns the coordinates, and the rows in them."""
        if len(rows) >= rows.shape[1]:
            return cls(None), rows
        with one_blas_thread():
            basis = np.asarray(np.linalg.qr(rows.T, mode="reduced")[0])
            return cls(basis), rows @ basis

    def lift(self, head: LinearHead) -> LinearHead:
        """Returns the head of features that is a given one of coordinates."""
        if self.basis is None:
            return head
        with one_blas_thread():
            return LinearHead(self.basis @ head.kernel, head.bias)


class _Problem:
    """The penalized loss and its gradient, as a function of one flat vector of weights."""

    def __init__(
        self, rows: Floats, targets: Floats, l2: float, sample_weights: Floats | None
    ) -> None:
        self.rows, self.targets, self.l2 = rows, targets, l2
        ones = np.ones(len(rows), np.float32)
        weights = ones if sample_weights is None else sample_weights
        self.weights = (weights / np.float32(len(rows))).astype(np.float32)
        self.num_features, self.num_classes = rows.shape[1], targets.shape[1]
        self._latest: tuple[LinearHead, Floats] | None = None

    def solve(
        self,
        start: LinearHead,
        max_iterations: int,
        on_iteration: Callable[[LinearHead], None] | None = None,
    ) -> LinearHead:
        from scipy.optimize import minimize

        with one_blas_thread():
            result = minimize(
                self,
                np.concatenate([start.kernel.ravel(), start.bias]).astype(np.float64),
                jac=True,
                method="L-BFGS-B",
                callback=(lambda flat: on_iteration(self._head(flat))) if on_iteration else None,
                options={
                    "maxiter": max_iterations,
                    "maxfun": 2 * max_iterations,
                    "gtol": _GRADIENT,
                    "ftol": _LOSS,
                    "maxcor": 20,
                },
            )
        return self._head(result.x)

    def __call__(self, flat: Doubles) -> tuple[float, Doubles]:
        """Returns the loss and its gradient."""
        head = self._head(flat)
        kernel = flat[: head.kernel.size]
        parts = map_blocks(lambda block: self._compute(head, block), len(self.rows))
        self._latest = head, np.concatenate([log_probabilities for log_probabilities, *_ in parts])
        gradient = np.zeros_like(flat)
        for _, _, kernel_part, bias_part in parts:
            gradient[: kernel.size] += kernel_part.ravel()
            gradient[kernel.size :] += bias_part
        gradient[: kernel.size] += 2 * self.l2 * kernel
        loss = sum(part for _, part, _, _ in parts)
        return float(loss + self.l2 * np.dot(kernel, kernel)), gradient

    def _compute(self, head: LinearHead, block: slice) -> tuple[Floats, float, Floats, Doubles]:
        """Returns a block's log-probabilities, and its part of the loss and of the gradient."""
        rows, targets, weights = self.rows[block], self.targets[block], self.weights[block]
        log_probabilities = _log_softmax(head, rows)
        losses = -np.einsum("nc,nc->n", targets, log_probabilities)
        # [n, C], the gradient by the logits.
        errors = (np.exp(log_probabilities) - targets) * weights[:, None]
        loss = float(np.dot(losses.astype(np.float64), weights.astype(np.float64)))
        return log_probabilities, loss, rows.T @ errors, errors.sum(axis=0, dtype=np.float64)

    def log_probabilities_of(self, head: LinearHead) -> Floats:
        """Returns the log-probabilities of all rows, float32 [N, C].

        Those of the latest head are known: the line search ends with the step that it takes.
        """
        if self._latest is not None:
            latest, log_probabilities = self._latest
            same = np.array_equal(latest.kernel, head.kernel)
            if same and np.array_equal(latest.bias, head.bias):
                return log_probabilities
        return head.log_probabilities(self.rows)

    def _head(self, flat: Doubles) -> LinearHead:
        size = self.num_features * self.num_classes
        kernel = flat[:size].reshape(self.num_features, self.num_classes)
        return LinearHead(kernel.astype(np.float32), flat[size:].astype(np.float32))
