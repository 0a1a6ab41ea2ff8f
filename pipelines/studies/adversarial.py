"""Study: a small step along the gradient's sign, against random noise of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import network, trained_model
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, line_style, plain_axes

SIZES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Change of every pixel, of a range of 0 to 1."""
SHOWN = 0.15


def _as_they_are(shown: Any, rows: Any) -> Any:
    return rows


def gradient_signs(
    model: Any, rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Returns the sign of the loss' gradient by each pixel (Goodfellow et al., 2015).

    Args:
        model: Maps rows to logits.
        rows: float32 [rows, pixels].
        labels: int64 [rows].
    """
    import tensorflow as tf

    x = tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch(x)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(x, training=False))
    return np.sign(tape.gradient(losses, x).numpy())


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def measure(seed: int) -> dict[str, Any]:
        data = Digits(seed, train=1200, prepare=_as_they_are)
        model = trained_model(network(seed=seed, optimizer={"learning_rate": 0.03}), data)
        rows, labels = data.validation_rows, data.validation_labels
        signs = gradient_signs(model, rows, labels)
        noise = np.sign(np.random.default_rng(seed).normal(size=rows.shape)).astype(np.float32)

        def accuracy(direction: npt.NDArray[np.float32], size: float) -> float:
            changed = np.clip(rows + np.float32(size) * direction, 0, 1)
            answers = np.argmax(np.asarray(model(changed, training=False)), axis=1)
            return float((answers == labels).mean())

        images = [np.clip(rows[:6] + SHOWN * d[:6], 0, 1) for d in (0 * noise, noise, signs)]
        answers = [np.argmax(np.asarray(model(part)), axis=1).tolist() for part in images]
        return {
            "gradient": [accuracy(signs, size) for size in SIZES],
            "noise": [accuracy(noise, size) for size in SIZES],
            "images": [np.round(part, 3).tolist() for part in images],
            "answers": answers,
        }

    return {"seeds": [steps(f"seed {s}", partial(measure, s)) for s in range(effort.seeds)]}


def _judge(numbers: Numbers) -> Sequence[Check]:
    place = SIZES.index(SHOWN)
    by_noise, by_gradient, before = (
        [seed[kind][at] for seed in numbers["seeds"]]
        for kind, at in (("noise", place), ("gradient", place), ("noise", 0))
    )
    harm, half = mean_gain(before, by_noise)
    more, spread = mean_gain(by_noise, by_gradient)
    return [
        Check(f"random noise of {SHOWN} costs less than 5 points", f"{100 * harm:.1f} ± "
              f"{100 * half:.1f}", harm < 0.05),
        Check("a step of the same size along the gradient's sign costs 30 points more, its "
              "interval above that", f"{100 * more:.1f} ± {100 * spread:.1f}",
              more - spread > 0.3),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    for index, (kind, label) in enumerate(
        (("noise", "random signs"), ("gradient", "signs of the gradient"))
    ):
        means = [mean_interval(v) for v in zip(*[s[kind] for s in numbers["seeds"]], strict=True)]
        axes.errorbar(SIZES, [100 * m for m, _ in means], [100 * h for _, h in means],
                      label=label, capsize=3, **line_style(index))  # fmt: skip
    axes.legend(frameon=False)
    plain_axes(axes, "change of every pixel, of a range of 1", "validation accuracy, %")
    first = numbers["seeds"][0]
    grid = right.subplots(3, 6)
    for row, label in enumerate(("unchanged", f"noise of {SHOWN}", f"gradient, {SHOWN}")):
        for column in range(6):
            cell = grid[row, column]
            cell.imshow(np.reshape(first["images"][row][column], (8, 8)), cmap="gray_r",
                        vmin=0, vmax=1)  # fmt: skip
            wrong = first["answers"][row][column] != first["answers"][0][column]
            cell.set_title(f"{first['answers'][row][column]}", fontsize=10,
                           color=COLORS[6] if wrong else "black",
                           fontweight="bold" if wrong else "normal")  # fmt: skip
            cell.set_xticks([])
            cell.set_yticks([])
        grid[row, 0].set_ylabel(label, fontsize=9)


STUDY = Study(
    "adversarial_noise",
    "A small change turns answers if it follows the gradient; random noise of the same size does "
    "not",
    "Goodfellow et al., 2015, https://arxiv.org/abs/1412.6572",
    _measure,
    _judge,
    _draw,
    figure_size=(11.5, 4.5),
)
