"""What a report shows, as plain data: gathered from a run, laid out by the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.evaluation.calibration import ReliabilityBin
from pipelines.inspection.report.charts import Chart
from pipelines.inspection.report.parallel import ParallelChart
from pipelines.inspection.report.thresholds import ThresholdCounts


@dataclass(frozen=True)
class Spotlight:
    """What speaks for a class in an image: a mask that darkens the rest of it.

    Args:
        subject: `answer` for the class that the model names, or `truth`.
        address: The mask as a data address.
        left: Where it lies in the square frame in which the image is centered, in percent.
        top: Likewise.
        width: Likewise.
        height: Likewise.
    """

    subject: str
    address: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class ImageCard:
    """One image with its prediction.

    Args:
        address: The image as a data address; empty if it is not shown.
        name: Of the file.
        true: The true class.
        predicted: The class that the model names.
        probability: That it gives to this class, 0 to 1.
        true_probability: That it gives to the true class.
        spotlights: What speaks for the two classes; empty where that is not shown.
    """

    address: str
    name: str
    true: str
    predicted: str
    probability: float
    true_probability: float
    spotlights: Sequence[Spotlight] = ()


@dataclass(frozen=True)
class ConfusionCell:
    """The images of one true and one predicted class.

    Args:
        id: Of the panel with its images, unique in the report.
        true: The true class.
        predicted: The predicted class.
        count: Number of images.
        share: Of the images of the true class, 0 to 1.
        right: Whether both classes are the same.
        images: Those that are shown, the largest loss first.
    """

    id: str
    true: str
    predicted: str
    count: int
    share: float
    right: bool
    images: Sequence[ImageCard] = ()

    @property
    def has_spotlights(self) -> bool:
        """Whether an image shows what speaks for its classes."""
        return any(image.spotlights for image in self.images)


@dataclass(frozen=True)
class ClassRow:
    """A row of the table of classes, or of labels.

    Args:
        index: Of the class in the order of the model's outputs.
        name: The class or label.
        values: Its metrics, as `pipelines.storage.split_metrics.ClassMetrics` has them.
    """

    index: int
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class GroupRow:
    """A row of the table of groups.

    Args:
        name: What the owner of the images calls it, or its first image.
        count: Number of images.
        accuracy: Share of them that is answered correctly, with all labels, 0 to 1.
        interval: Its 95 % interval, low and high (Wilson).
    """

    name: str
    count: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class TaskReport:
    """What a report says of one task.

    Args:
        id: Prefix of the ids of its elements.
        name: The task; empty for a plain classifier.
        kind: A row of `zoo.tasks.TASK_KINDS`.
        metrics: Of the split.
        verdict: Sentences, the result first.
        baseline: The share of the largest class, 0 to 1; None where there are no classes.
        rows: The classes or labels, worst first.
        rows_left_out: How many are not shown.
        groups: The groups of images, worst first; empty where images have none.
        num_groups: How many groups of several images there are, shown or not.
        matrix: The confusion matrix, by true class, where it has few classes.
        pairs: The most frequent confusions, where it has many.
        top_losses: Images with the largest losses.
        doubted: Images whose labels are likely to be wrong, the likeliest first.
        num_doubted: How many there are, shown or not.
        reliability: Bins of confidence; empty without images.
        reliability_chart: Their diagram.
        thresholds: What is kept at each threshold; None without images.
        coverage_chart: Accuracy of what is kept against coverage.
        missing: What cannot be shown, a sentence each.
    """

    id: str
    name: str
    kind: str
    metrics: Mapping[str, Any]
    verdict: Sequence[str] = ()
    baseline: float | None = None
    rows: Sequence[ClassRow] = ()
    rows_left_out: int = 0
    groups: Sequence[GroupRow] = ()
    num_groups: int = 0
    matrix: Sequence[Sequence[ConfusionCell]] = ()
    pairs: Sequence[ConfusionCell] = ()
    top_losses: Sequence[ImageCard] = ()
    doubted: Sequence[ImageCard] = ()
    num_doubted: int = 0
    reliability: Sequence[ReliabilityBin] = ()
    reliability_chart: Chart | None = None
    thresholds: ThresholdCounts | None = None
    coverage_chart: Chart | None = None
    missing: Sequence[str] = ()

    @property
    def has_spotlights(self) -> bool:
        """Whether the largest losses show what speaks for their classes."""
        return any(image.spotlights for image in self.top_losses)

    @property
    def cells(self) -> list[ConfusionCell]:
        """The cells whose images are shown."""
        return [cell for row in (*self.matrix, self.pairs) for cell in row if cell.images]

    @property
    def images(self) -> frozenset[str]:
        """The names of the images that are shown."""
        in_cells = (image for cell in self.cells for image in cell.images)
        shown = [*self.top_losses, *self.doubted, *in_cells]
        return frozenset(image.name for image in shown)


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from, and how to repeat it.

    Args:
        command: The command that repeats it.
        recipe: The content of recipe.toml.
        facts: Pairs of a title and a value.
        hashes: SHA-256 by file.
        versions: Of the packages that made the report, by name.
        licenses: Of the weights, pairs of a title and a value.
    """

    command: str
    recipe: str
    facts: Sequence[tuple[str, str]]
    hashes: Sequence[tuple[str, str]]
    versions: Sequence[tuple[str, str]]
    licenses: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TrialTable:
    """The trials of a search.

    Args:
        title: Their number and the best score.
        correction: What the best is expected to score on other images; empty if that is not known.
        objective: What the score is.
        settings: Paths of the settings that vary, the table's columns.
        rows: Id, score, spread and the values of the settings, best first.
        left_out: How many trials are not in the table.
        charts: The score against each setting.
        parallel: Every trial as a line through its settings; None for one setting.
    """

    title: str
    correction: str
    objective: str
    settings: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int
    charts: Sequence[Chart]
    parallel: ParallelChart | None = None


@dataclass(frozen=True)
class RunReport:
    """The report of one run.

    Args:
        title: The run.
        subtitle: What it was measured on.
        notes: What the reader has to know of the images, a sentence each.
        tasks: A part a task.
        curves: Learning curves.
        trials: Of a search; None for a plain run.
        provenance: Where it comes from.
        left_out: What was left out for size, a sentence each.
    """

    title: str
    subtitle: str
    notes: Sequence[str]
    tasks: Sequence[TaskReport]
    curves: Sequence[Chart]
    trials: TrialTable | None
    provenance: Provenance
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class ComparedTask:
    """Two runs on one task and the same images.

    Args:
        id: Prefix of the ids of its elements.
        name: The task; empty for a plain classifier.
        verdict: Sentences, the result first.
        accuracies: Accuracy of both, 0 to 1.
        intervals: Their 95 % intervals.
        losses: Log loss of both, in nats.
        table: Numbers of images that both, only the first, only the second, and neither
            classify correctly.
        difference: Accuracy of the second less that of the first.
        difference_interval: Its 95 % interval by the bootstrap.
        loss_difference: Log loss of the second less that of the first.
        loss_interval: Its 95 % interval.
        p_value: Of McNemar's exact test.
        gained: Images that only the second classifies correctly.
        lost: Images that only the first does.
        gained_left_out: How many of them are not shown.
        lost_left_out: How many of them are not shown.
    """

    id: str
    name: str
    verdict: Sequence[str]
    accuracies: tuple[float, float]
    intervals: tuple[Sequence[float], Sequence[float]]
    losses: tuple[float, float]
    table: tuple[int, int, int, int]
    difference: float
    difference_interval: tuple[float, float]
    loss_difference: float
    loss_interval: tuple[float, float]
    p_value: float
    gained: Sequence[PairCard] = ()
    lost: Sequence[PairCard] = ()
    gained_left_out: int = 0
    lost_left_out: int = 0


@dataclass(frozen=True)
class PairCard:
    """One image with the predictions of two runs.

    Args:
        address: The image as a data address; empty if it is not shown.
        name: Of the file.
        true: The true class.
        predicted: What each run names.
        probabilities: What each gives to that, 0 to 1.
    """

    address: str
    name: str
    true: str
    predicted: tuple[str, str]
    probabilities: tuple[float, float]


@dataclass(frozen=True)
class ComparisonReport:
    """The report of two runs on the same images.

    Args:
        names: The runs.
        subtitle: What they were measured on.
        notes: What the reader has to know of the images, a sentence each.
        tasks: A part a task.
        differences: Settings that differ: path, and the value of each.
        provenances: Where they come from.
    """

    names: tuple[str, str]
    subtitle: str
    notes: Sequence[str]
    tasks: Sequence[ComparedTask]
    differences: Sequence[tuple[str, str, str]]
    provenances: Sequence[Provenance] = field(default_factory=tuple)
