"""Vector scaling: a factor and a shift of each class's logit, fitted to held-out images.

A temperature is one number for all classes. Where a model is surer of some classes than of others,
or names some too often, each logit z becomes w · z + b with numbers of its own. The log loss is
convex in both; with few images of a class they are noise, and predicted classes may change.

Reference: Guo et al., 2017, section 4.2, https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tuning.temperature import Floats, LabeledLogits, divide_answers

_MIN, _MAX = 0.05, 20.0
"""Least and largest factor, as of 1 / T."""


@dataclass(frozen=True)
class VectorScaling:
    """Factors and shifts of logits.

    Args:
        scale: w, float64 [K], 0.05 to 20.
        shift: b, float64 [K].
    """

    scale: Floats
    shift: Floats

    def apply(self, answers: LabeledLogits) -> LabeledLogits:
        """Returns the same images with scaled logits."""
        return replace(answers, logits=answers.logits * self.scale + self.shift)


def fit_vector_scaling(answers: LabeledLogits) -> VectorScaling:
    """Computes the factors and shifts of the lowest mean loss.

    Args:
        answers: Logits of at least one image, finite; `LabeledLogits.smoothed` keeps shifts of
            classes that no image has finite.
    """
    from scipy.optimize import minimize

    num_classes = answers.logits.shape[1]

    def evaluate(flat: Floats) -> tuple[float, Floats]:
        scaled = VectorScaling(flat[:num_classes], flat[num_classes:]).apply(answers)
        errors = (scaled.probabilities() - answers.targets) / len(answers)
        by_scale, by_shift = (errors * answers.logits).sum(axis=0), errors.sum(axis=0)
        return float(scaled.losses().mean()), np.concatenate([by_scale, by_shift])

    start = np.concatenate([np.ones(num_classes), np.zeros(num_classes)])
    bounds = [(_MIN, _MAX)] * num_classes + [(None, None)] * num_classes
    found = minimize(
        evaluate,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 1000, "gtol": 1e-7, "ftol": 1e-12},
    ).x
    return VectorScaling(found[:num_classes], found[num_classes:])


def scale_on_folds(
    answers: LabeledLogits, seed: int, groups: npt.NDArray[np.int64] | None = None
) -> LabeledLogits:
    """Scales the logits of each fold by what was fitted to the images of the others.

    Args:
        answers: Logits of N images.
        seed: Seed of the division.
        groups: As `tuning.temperature.divide_answers` takes them.

    Returns:
        The images with logits that were scaled without them; where all are of one group, by what
        was fitted to all.
    """
    logits = np.empty_like(answers.logits)
    for held, rest in divide_answers(len(answers), seed, groups):
        scaling = fit_vector_scaling(answers.take(rest).smoothed())
        logits[held] = scaling.apply(answers.take(held)).logits
    return replace(answers, logits=logits)
