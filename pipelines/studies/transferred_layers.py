"""Study: which layers transfer, and what fine-tuning adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipelines.studies.experiments.images import train_on, write_table
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, line_style, plain_axes

COUNT, TESTS, CUTS = 20, 30, (0, 4, 8, 10)
"""Training and test images of each of ten hand signs; blocks left out from the top."""

NETWORK, SMALL = "efficientnet_lite0", "micro_resnet_s.cifar10"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "frozen": {},
    "fine-tuned": {"fine_tune.blocks": 3, "fine_tune.epochs": 20},
    "lower blocks": {"backbone.truncate_blocks": 2},
}


def _measure(steps: Steps, effort: Effort) -> Numbers:
    seeds = range(effort.seeds if effort.full else 2)

    def repeat(name: str, settings: Mapping[str, Any]) -> list[float]:
        def measure(seed: int) -> float:
            table = write_table("signs", steps.folder, per_label=COUNT, tests=TESTS, seed=seed)
            return train_on(table, {"seed": seed, **settings})["accuracy"]

        return [steps(f"{name}, seed {seed}", partial(measure, seed)) for seed in seeds]

    def cut(name: str, blocks: int) -> list[float]:
        settings = {"backbone.name": name, "backbone.truncate_blocks": blocks, "input.size": 128}
        return repeat(f"{name} without {blocks}", {**settings, "backbone.frozen": True})

    return {
        "pretrained": {str(blocks): cut(f"{NETWORK}.imagenet", blocks) for blocks in CUTS},
        "random": {str(blocks): cut(NETWORK, blocks) for blocks in (CUTS[0], CUTS[-1])},
        "ways": {name: repeat(name, {"backbone.name": SMALL, **settings})
                 for name, settings in WAYS.items()},
    }  # fmt: skip


def _judge(numbers: Numbers) -> Sequence[Check]:
    cuts = {blocks: mean_interval(values)[0] for blocks, values in numbers["pretrained"].items()}
    best = max(cuts, key=lambda blocks: cuts[blocks])
    lowest = str(CUTS[-1])
    gain, half = mean_gain(numbers["pretrained"][lowest], numbers["random"][lowest])
    tuned, around = mean_gain(numbers["ways"]["fine-tuned"], numbers["ways"]["frozen"])
    return [
        Check("upper blocks are specific: without some of them the frozen network is better",
              f"without {best}: {100 * cuts[best]:.1f}, with all {100 * cuts['0']:.1f} %",
              best != "0"),
        Check(f"lower blocks transfer: without {lowest} blocks it is 5 points better than with "
              "random weights", f"{100 * gain:+.1f} ± {100 * half:.1f} points", gain > 0.05),
        Check("fine-tuning CIFAR-10's network is better than leaving it frozen",
              f"{100 * tuned:+.1f} ± {100 * around:.1f} points", tuned > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for index, (kind, cuts) in enumerate(
        (("ImageNet's weights", numbers["pretrained"]), ("random weights", numbers["random"]))
    ):
        means = [100 * mean_interval(values)[0] for values in cuts.values()]
        left.plot([int(blocks) for blocks in cuts], means, label=kind, **line_style(index))
    left.set_xticks(CUTS)
    left.set_ylim(bottom=0)
    left.legend(frameon=False)
    plain_axes(left, "blocks left out from the top", "test accuracy, %", f"{NETWORK}, frozen")
    means = [100 * mean_interval(values)[0] for values in numbers["ways"].values()]
    right.bar(range(len(means)), means, 0.6, color=COLORS[5])
    for place, mean in enumerate(means):
        right.text(place, mean, f"{mean:.1f}", ha="center", va="bottom")
    right.set_xticks(range(len(means)), list(numbers["ways"]))
    plain_axes(right, "", "test accuracy, %", "micro_resnet_s of CIFAR-10")


STUDY = Study(
    "transferred_layers",
    "Lower layers transfer, upper ones are specific to their source, and fine-tuning adds to both",
    "Yosinski et al., 2014, https://arxiv.org/abs/1411.1792",
    _measure,
    _judge,
    _draw,
    figure_size=(10.5, 4.5),
)
