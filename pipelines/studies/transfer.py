"""Study: a pretrained backbone against none, by the number of labels and the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipelines.studies.experiments.images import train_on, write_table
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, log_ticks, plain_axes

COUNTS, TESTS, FEW = (5, 20, 40), 30, 5
"""Training images of each class, one of them at least for validation; test images of each; with
how many the sources are compared."""

SCRATCH, SMALL, LARGE = "from scratch", "CIFAR-10", "ImageNet"
STARTS: Mapping[str, Mapping[str, Any]] = {
    LARGE: {
        "backbone.name": "efficientnet_lite0.imagenet",
        "backbone.levels": 1,
        "input.size": 128,
    },
    SMALL: {"backbone.name": "micro_resnet_s.cifar10", "backbone.levels": 1},
    SCRATCH: {
        "backbone.name": "micro_resnet_s",
        "backbone.frozen": False,
        "optimizer.name": "adam",
        "stopping.patience": 0,
        "stopping.every": 4,
    },
}
EPOCHS = {5: 24, 20: 10, 40: 6}
"""From scratch, by the number of images of each class: 50 to 80 steps."""

TARGETS = {"signs": "photographs of hand signs", "digits": "scans of digits"}


def _measure(steps: Steps, effort: Effort) -> Numbers:
    seeds = range(effort.seeds if effort.full else 2)

    def measure(data: str, start: str, count: int, seed: int) -> float:
        table = write_table(data, steps.folder, per_label=count, tests=TESTS, seed=seed)
        settings = {"seed": seed, **STARTS[start]}
        if start == SCRATCH:
            settings["train.epochs"] = EPOCHS[count]
        return train_on(table, settings)["accuracy"]

    def repeat(data: str, start: str, count: int) -> list[float]:
        return [
            steps(f"{data}, {start}, {count} a class, seed {seed}",
                  partial(measure, data, start, count, seed))
            for seed in seeds
        ]  # fmt: skip

    return {
        "signs": {
            start: {str(count): repeat("signs", start, count) for count in COUNTS}
            for start in STARTS
        },
        "digits": {start: {str(FEW): repeat("digits", start, FEW)} for start in (SMALL, SCRATCH)},
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    def gain(data: str, start: str, count: int, other: str = SCRATCH) -> tuple[float, float]:
        return mean_gain(numbers[data][start][str(count)], numbers[data][other][str(count)])

    few, middle, many = (gain("signs", LARGE, count) for count in (FEW, 20, COUNTS[-1]))
    source = gain("signs", LARGE, 20, SMALL)
    near, far = gain("signs", SMALL, FEW)[0], gain("digits", SMALL, FEW)[0]
    return [
        *(
            Check(f"with {count} labels a class ImageNet's network is 10 points better than none",
                  f"{100 * mean:+.1f} ± {100 * half:.1f} points", mean > 0.1)
            for count, (mean, half) in ((FEW, few), (20, middle))
        ),
        Check(f"the gain shrinks with the number of labels, from {FEW} to {COUNTS[-1]} a class",
              f"from {100 * few[0]:.1f} to {100 * many[0]:.1f} points", many[0] < few[0]),
        Check("a network of ImageNet's photographs helps more than one of CIFAR-10's small images",
              f"{100 * source[0]:+.1f} ± {100 * source[1]:.1f} points", source[0] > 0),
        Check(f"with {FEW} labels a class CIFAR-10's network gains more on {TARGETS['signs']} than "
              f"on {TARGETS['digits']}, which are less like its images",
              f"{100 * near:+.1f} against {100 * far:+.1f} points", near > far),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for index, (start, counts) in enumerate(numbers["signs"].items()):
        means = [100 * mean_interval(counts[str(count)])[0] for count in COUNTS]
        label = start if start == SCRATCH else f"pretrained on {start}, frozen"
        left.plot(COUNTS, means, label=label, **line_style(index))
    log_ticks(left, COUNTS)
    left.legend(frameon=False)
    plain_axes(left, "labeled images of each class", "test accuracy, %", TARGETS["signs"])
    for offset, start, color, hatch in ((-0.2, SMALL, "#e69f00", ""),
                                        (0.2, SCRATCH, "#009e73", "//")):  # fmt: skip
        means = [100 * mean_interval(numbers[data][start][str(FEW)])[0] for data in TARGETS]
        right.bar([place + offset for place in range(2)], means, 0.38, color=color, hatch=hatch,
                  label=start)  # fmt: skip
    right.set_xticks(range(2), [text.replace(" of ", "\nof ") for text in TARGETS.values()])
    right.legend(frameon=False)
    plain_axes(right, f"{FEW} labeled images of each class", "")


STUDY = Study(
    "transfer",
    "A pretrained network needs fewer labels than one from scratch, and helps the more the more "
    "its images are like the new ones",
    "Yosinski et al., 2014, https://arxiv.org/abs/1411.1792; Kornblith et al., 2019, "
    "https://arxiv.org/abs/1805.08974",
    _measure,
    _judge,
    _draw,
    figure_size=(10.5, 4.5),
)
