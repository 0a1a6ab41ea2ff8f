"""Study: augmentation by the number of labels, and operations that hurt digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipelines.studies.experiments.images import train_on, write_table
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, log_ticks, plain_axes

COUNTS, TESTS, FEW, MANY = (2, 5, 20, 80), 40, 5, 30
POLICIES: Mapping[str, str] = {
    "none": "none",
    "mild crops": "digits",
    "flips": "flip_lr(0.5)|flip_ud(0.5)",
    "rotation by up to 90°": "rotate(90)",
    "heavy crops": "crop(0.2)",
}
HARMFUL = ("flips", "rotation by up to 90°", "heavy crops")
_SETTINGS = {"backbone.name": "micro_resnet_s.cifar10"}


def false_positives(steps: Steps, policy: str, seed: int) -> float:
    """Returns the share of other digits that a detector of threes takes for one.

    Args:
        steps: The study's steps, whose folder holds the images.
        policy: The augmentation in the shorthand.
        seed: Seed of the training images and of the training.
    """
    table = write_table("digits", steps.folder, per_label=MANY, tests=TESTS, seed=seed,
                        label_of=lambda name: name if name == "3" else "other")  # fmt: skip
    metrics = train_on(table, {"seed": seed, "augment.policy": policy, **_SETTINGS})
    return 1 - metrics["per_class"]["other"]["recall"]


def _measure(steps: Steps, effort: Effort) -> Numbers:
    seeds = range(effort.seeds if effort.full else 3)

    def accuracy(policy: str, count: int, seed: int) -> float:
        table = write_table("digits", steps.folder, per_label=count, tests=TESTS, seed=seed)
        return train_on(table, {"seed": seed, "augment.policy": policy, **_SETTINGS})["accuracy"]

    def repeat(name: str, count: int) -> list[float]:
        return [
            steps(f"{name}, {count} a class, seed {seed}",
                  partial(accuracy, POLICIES[name], count, seed))
            for seed in seeds
        ]  # fmt: skip

    return {
        "counts": {
            name: {str(count): repeat(name, count) for count in COUNTS}
            for name in ("none", "mild crops")
        },
        "policies": {name: repeat(name, FEW) for name in POLICIES},
        "false positives": {
            name: [steps(f"threes, {name}, seed {seed}",
                         partial(false_positives, steps, POLICIES[name], seed))
                   for seed in seeds]
            for name in ("none", "mild crops", "heavy crops")
        },
    }  # fmt: skip


def _judge(numbers: Numbers) -> Sequence[Check]:
    plain, suited = numbers["counts"].values()
    few, many = (mean_gain(suited[str(n)], plain[str(n)]) for n in (COUNTS[0], COUNTS[-1]))
    checks = [
        Check(f"with {COUNTS[0]} labels a class mild crops help, with {COUNTS[-1]} less",
              f"{100 * few[0]:+.1f} ± {100 * few[1]:.1f} and {100 * many[0]:+.1f} ± "
              f"{100 * many[1]:.1f} points", few[0] > max(0.0, many[0]))
    ]  # fmt: skip
    for name in HARMFUL:
        loss, half = mean_gain(numbers["policies"]["mild crops"], numbers["policies"][name])
        checks.append(
            Check(f"{name} hurt digits: worse than mild crops, the interval above 0",
                  f"by {100 * loss:.1f} ± {100 * half:.1f} points", loss - half > 0)
        )  # fmt: skip
    wrong = numbers["false positives"]
    more, half = mean_gain(wrong["heavy crops"], wrong["none"])
    return [
        *checks,
        Check("heavy crops raise the share of other digits that are taken for a 3, the interval "
              "above 0", f"by {100 * more:.1f} ± {100 * half:.1f} points", more - half > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, *bars = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    for index, (name, counts) in enumerate(numbers["counts"].items()):
        means = [mean_interval(counts[str(count)]) for count in COUNTS]
        left.errorbar(COUNTS, [100 * m for m, _ in means], [100 * h for _, h in means],
                      label=name, capsize=3, **line_style(index))  # fmt: skip
    log_ticks(left, COUNTS)
    left.legend(frameon=False)
    plain_axes(left, "labeled images of each class", "test accuracy, %")
    labels = (f"test accuracy with {FEW} images a class, %", "other digits taken for a 3, %")
    for axes, part, label in zip(bars, ("policies", "false positives"), labels, strict=True):
        means = [mean_interval(values) for values in numbers[part].values()]
        axes.barh(range(len(means)), [100 * m for m, _ in means],
                  xerr=[100 * h for _, h in means], color="#56b4e9", capsize=3)  # fmt: skip
        axes.set_yticks(range(len(means)), list(numbers[part]))
        axes.set_xlim(left=0)
        axes.invert_yaxis()
        plain_axes(axes, label, "")


STUDY = Study(
    "augmentation",
    "Augmentation helps most where labels are few; flips, wide rotations and heavy crops hurt "
    "digits, and heavy crops raise false positives",
    "Simard et al., 2003, https://doi.org/10.1109/ICDAR.2003.1227801; Shorten and Khoshgoftaar, "
    "2019, https://doi.org/10.1186/s40537-019-0197-0",
    _measure,
    _judge,
    _draw,
    figure_size=(14.0, 4.5),
)
