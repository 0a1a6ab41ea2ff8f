"""Two runs on the same images: paired differences, and the images that changed sides."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.classification import wilson_interval
from pipelines.inspection.paired_tests import bootstrap_mean_interval, mcnemar_p_value
from pipelines.inspection.report.measured_run import MeasuredRun
from pipelines.inspection.report.report_data import ComparedTask, PairCard
from pipelines.inspection.report.thumbnails import Thumbnails
from pipelines.inspection.report.verdict import judge_comparison
from pipelines.sources.source import Examples
from zoo.errors import InputError
from zoo.printable import printable
from zoo.tasks import Task

MAX_SWITCHED = 48
"""Images shown in each direction."""

_SIDE = 200

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairing:
    """The images of two measured runs, brought into one order.

    Args:
        first: The first run.
        second: The second run.
        rows: int64 [2, N], the row of each image in the examples of both.
        note: What the reader has to know of these images; empty where they are all.
    """

    first: MeasuredRun
    second: MeasuredRun
    rows: Rows
    note: str = ""


def pair_runs(first: MeasuredRun, second: MeasuredRun) -> Pairing:
    """Finds the images of one run among those of another, by content.

    Where both held out images, as validation images of fold heads and those of another run, they
    are compared on the images that both did.

    Raises:
        InputError: The images of one are not at hand, or none of them is the same, or one was
            trained on its images and they are not all the same, or the runs have other classes.
    """
    names = f"{first.run.path} and {second.run.path}"
    again = "zoo report " + " ".join(shlex.quote(str(one.run.path)) for one in (first, second))
    again += " --data DATA"
    if first.examples is None or second.examples is None:
        raise InputError(
            f"{names} cannot be compared without images",
            received=" ".join((first if first.examples is None else second).notes),
            mend=f"say where they are: {again}",
        )
    if _classes(first) != _classes(second):
        raise InputError(
            f"{names} predict other things",
            expected="the same tasks and classes",
            received=f"{_classes(first)} and {_classes(second)}",
        )
    rows = [_order(one.examples) for one in (first, second) if one.examples is not None]
    digests = [
        [one.examples.digests[row] for row in order.tolist()]
        for one, order in zip((first, second), rows, strict=True)
        if one.examples is not None
    ]
    if digests[0] == digests[1]:
        return Pairing(first, second, np.stack(rows))
    shared = sorted(set(digests[0]) & set(digests[1]))
    counts = (
        f"{len(digests[0])} {first.split_word} and {len(digests[1])} {second.split_word} images"
    )
    if not shared or first.trained_on or second.trained_on:
        raise InputError(
            f"{names} were measured on different images",
            expected="the same",
            received=f"{counts}, {len(shared)} of them in both",
            mend=f"give images that neither was trained on: {again}",
        )
    found = [row[np.searchsorted(one, shared)] for row, one in zip(rows, digests, strict=True)]
    note = f"The runs held out {counts}; they are compared on the {len(shared)} that both did."
    return Pairing(first, second, np.stack(found), note)


def _order(examples: Examples) -> Rows:
    """Returns the rows by content; of copies, by name."""
    keys = list(zip(examples.digests, examples.names, strict=True))
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _classes(measured: MeasuredRun) -> list[tuple[str, ...]]:
    return [(task.name, task.kind, *task.class_names) for task in measured.tasks]


def compare_task(
    pairing: Pairing, task: Task, prefix: str, names: tuple[str, str], thumbnails: Thumbnails
) -> ComparedTask:
    """Compares two runs on one task of classes.

    Args:
        pairing: Both on the same images.
        task: One of their tasks, of the kind `single_label`.
        prefix: Of the ids of the elements.
        names: What the runs are called.
        thumbnails: Embeds images.

    Raises:
        InputError: An image has other labels in one of them.
    """
    runs, rows = (pairing.first, pairing.second), pairing.rows
    examples = [run.examples for run in runs if run.examples is not None]
    labels, other = (one.target(task)[row] for one, row in zip(examples, rows, strict=True))
    if (labels != other).any():
        raise InputError(
            f"{int((labels != other).sum())} images have other labels in the two runs",
            expected="the same labels",
            mend="give labeled images for both: --data DATA",
        )
    predictions = [run.predictions[task.name] for run in runs if run.predictions is not None]
    probabilities = [one[row] for one, row in zip(predictions, rows, strict=True)]
    right = [p.argmax(axis=1) == labels for p in probabilities]
    count = np.arange(len(labels))
    losses = [
        -np.log(np.maximum(p[count, labels].astype(np.float64), 1e-12)) for p in probabilities
    ]
    hits = [int(one.sum()) for one in right]
    accuracies = (hits[0] / len(labels), hits[1] / len(labels))
    switched = [np.flatnonzero(~right[0] & right[1]), np.flatnonzero(right[0] & ~right[1])]
    gains = (right[1].astype(np.float32) - right[0]).astype(np.float32)
    interval, p_value = bootstrap_mean_interval(gains), mcnemar_p_value(right[0], right[1])
    cards = [
        _show(pairing, task, labels, probabilities, losses[1 - side], chosen, thumbnails)
        for side, chosen in enumerate(switched)
    ]
    gained, lost = (len(one) for one in switched)
    return ComparedTask(
        id=prefix,
        name="" if task.bare else printable(task.name),
        verdict=judge_comparison(names, accuracies, interval, p_value, (gained, lost)),
        accuracies=accuracies,
        intervals=(wilson_interval(hits[0], len(labels)), wilson_interval(hits[1], len(labels))),
        losses=(float(losses[0].mean()), float(losses[1].mean())),
        table=(int((right[0] & right[1]).sum()), lost, gained, int((~right[0] & ~right[1]).sum())),
        difference=accuracies[1] - accuracies[0],
        difference_interval=interval,
        loss_difference=float((losses[1] - losses[0]).mean()),
        loss_interval=bootstrap_mean_interval((losses[1] - losses[0]).astype(np.float32)),
        p_value=p_value,
        gained=cards[0],
        lost=cards[1],
        gained_left_out=gained - len(cards[0]),
        lost_left_out=lost - len(cards[1]),
    )


def _show(
    pairing: Pairing,
    task: Task,
    labels: Rows,
    probabilities: Sequence[npt.NDArray[np.float32]],
    losses: npt.NDArray[np.float64],
    chosen: Rows,
    thumbnails: Thumbnails,
) -> list[PairCard]:
    """Returns images that changed sides, the largest loss of the run that errs first."""
    measured = pairing.first
    examples = measured.examples
    if examples is None:
        return []
    names = [printable(name) for name in task.class_names]
    order = chosen[np.argsort(-losses[chosen], kind="stable")][:MAX_SWITCHED].tolist()
    own = pairing.rows[0]
    decoder = measured.run.recipe.input.preprocessing.decoder
    addresses = thumbnails.embed(examples, [int(own[i]) for i in order], decoder, _SIDE)
    cards = []
    for i in order:
        if int(own[i]) not in addresses:
            continue
        given = [int(p[i].argmax()) for p in probabilities]
        cards.append(
            PairCard(
                addresses[int(own[i])],
                printable(examples.names[int(own[i])]),
                names[labels[i]],
                (names[given[0]], names[given[1]]),
                (float(probabilities[0][i, given[0]]), float(probabilities[1][i, given[1]])),
            )
        )
    return cards
