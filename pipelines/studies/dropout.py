"""Study: dropout and the gap between training and validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import last_values, network, train_settings
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes

HIDDEN = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8)
INPUT = (0.0, 0.2, 0.5)
_IMAGES = 200


def _measure(steps: Steps, effort: Effort) -> Numbers:
    settings = {
        f"{hidden}, {shown}": network(
            head={"hidden": (128, 128), "dropout": hidden, "input_dropout": shown}, epochs=40
        )
        for hidden in HIDDEN
        for shown in INPUT
    }

    def images(seed: int) -> Digits:
        return Digits(seed, train=_IMAGES, batch_size=20, mislabeled=0.1)

    def seen(seed: int) -> Digits:
        return images(seed).validated_on_training_rows()

    unseen = train_settings(steps, settings, effort.seeds, images)
    # What is recorded while training has units dropped, so training images are validated, too.
    fitted = train_settings(steps, settings, effort.seeds, seen, name="training images, ")
    return {
        "loss": {name: last_values(fitted, name, "val_loss") for name in settings},
        "val_loss": {name: last_values(unseen, name, "val_loss") for name in settings},
        "val_accuracy": {name: last_values(unseen, name) for name in settings},
    }


def gaps(numbers: Numbers, hidden: float, shown: float = 0.0) -> list[float]:
    """Returns how much higher the loss of unseen images is, one value for each seed.

    Args:
        numbers: The losses by setting.
        hidden: Dropout of hidden units.
        shown: Dropout of inputs.
    """
    name = f"{hidden}, {shown}"
    pairs = zip(numbers["val_loss"][name], numbers["loss"][name], strict=True)
    return [unseen - seen for unseen, seen in pairs]


def _judge(numbers: Numbers) -> Sequence[Check]:
    accuracy = numbers["val_accuracy"]
    smaller, half = mean_gain(gaps(numbers, 0.0), gaps(numbers, 0.5))
    gain, spread = mean_gain(accuracy["0.5, 0.0"], accuracy["0.0, 0.0"])
    inputs, around = mean_gain(accuracy["0.5, 0.2"], accuracy["0.0, 0.0"])
    return [
        Check("dropout of 0.5 narrows the gap between the losses, its interval above 0",
              f"by {smaller:.3f} ± {half:.3f}", smaller - half > 0),
        Check("0.5 in hidden layers raises validation accuracy, its interval above 0",
              f"{100 * gain:+.1f} ± {100 * spread:.1f} points", gain - spread > 0),
        Check("with 0.2 of the inputs, too", f"{100 * inputs:+.1f} ± {100 * around:.1f} points",
              inputs - around > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    for index, shown in enumerate(INPUT):
        label = f"{shown:g} of the inputs dropped"
        means = [mean_interval(gaps(numbers, hidden, shown)) for hidden in HIDDEN]
        left.errorbar(HIDDEN, [m for m, _ in means], [h for _, h in means], label=label,
                      capsize=3, **line_style(index))  # fmt: skip
        means = [mean_interval(numbers["val_accuracy"][f"{h}, {shown}"]) for h in HIDDEN]
        right.errorbar(HIDDEN, [100 * m for m, _ in means], [100 * h for _, h in means],
                       label=label, capsize=3, **line_style(index))  # fmt: skip
    plain_axes(left, "dropout of hidden units", "validation loss − training loss,\nnothing dropped")
    plain_axes(right, "dropout of hidden units", "validation accuracy, % (95 % interval)")
    right.legend(frameon=False, fontsize=9)


STUDY = Study(
    "dropout",
    "Dropout of half of the hidden units narrows the gap between training and validation",
    "Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html",
    _measure,
    _judge,
    _draw,
)
