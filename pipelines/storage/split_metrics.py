"""Types of the metrics of a split, as `evaluate` returns them and a run keeps them."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads that of typing from Python 3.12 on

MEASURED = ("train", "val", "test")
"""The splits that a run has metrics of."""


class ClassMetrics(TypedDict, total=False):
    """Metrics of one class, or of one label of a task with several.

    Args:
        precision: 0 to 1.
        recall: 0 to 1.
        recall_interval: Its 95 % interval, low and high (Wilson).
        f1: Harmonic mean of precision and recall.
        average_precision: Area under the precision-recall curve, of a label; None if no
            image has it.
        support: Number of images of the class.
        coverage: Share of its images whose prediction set holds it.
        set_size: Mean number of classes in the prediction sets of its images.
    """

    precision: float
    recall: float
    recall_interval: list[float]
    f1: float
    average_precision: float | None
    support: int
    coverage: float
    set_size: float


class SetMetrics(TypedDict, total=False):
    """How prediction sets do.

    Args:
        coverage: Share of images whose set holds their class.
        coverage_interval: Its 95 % interval, low and high (Wilson).
        size: Mean number of classes in a set.
        single: Share of sets of one class.
        empty: Share of sets of no class.
    """

    coverage: float
    coverage_interval: list[float]
    size: float
    single: float
    empty: float


class DistinctMetrics(TypedDict, total=False):
    """Metrics without the images that have a near-duplicate among those that were trained on.

    Args:
        num_images: Number of images without one.
        num_near_duplicates: Number of images with one, copies included.
        num_copies: How many of these equal a training image byte for byte.
        accuracy: As in `TaskMetrics`; None if there are no images without one.
        accuracy_interval: Its 95 % interval, low and high (Wilson).
        exact_match: As in `TaskMetrics`, of labels.
        exact_match_interval: Its 95 % interval.
        mae: As in `TaskMetrics`, of a number.
    """

    num_images: int
    num_near_duplicates: int
    num_copies: int
    accuracy: float | None
    accuracy_interval: list[float] | None
    exact_match: float | None
    exact_match_interval: list[float] | None
    mae: float | None


class TaskMetrics(TypedDict, total=False):
    """Metrics of one task on one split; which there are depends on the kind of task.

    Args:
        num_images: Number of images.
        loss: Cross-entropy in nats, the mean over the images.
        accuracy: Fraction of images classified correctly.
        accuracy_interval: Its 95 % interval, low and high (Wilson).
        top5: Fraction of images whose class is among the five most probable.
        top5_interval: Its 95 % interval.
        macro_f1: Mean F1 over the classes, or over the labels that occur.
        brier: Brier score, 0 to 2 of classes, 0 to 1 of labels.
        ece: Expected calibration error, 0 to 1.
        per_class: Metrics by class.
        prediction_sets: Of prediction sets; absent where the model has none.
        without_near_duplicates: Of the images that have no near-duplicate among those that the
            model was trained on; absent where none was looked for.
        confusion_matrix: Number of images by true class, then by predicted class; pairs
            without images are absent. A run keeps it in confusion.csv.
        exact_match: Fraction of images with every label correct.
        exact_match_interval: Its 95 % interval.
        micro_f1: F1 over all labels of all images.
        mean_average_precision: Mean over the labels that occur; None if none does.
        per_label: Metrics by label.
        mae: Mean absolute error, in the number's unit.
        rmse: Root mean squared error, in the number's unit.
        r2: Coefficient of determination; None if all true numbers are equal.
        restoration_error: Root mean squared error of restored pixels, as a fraction of
            their range; of pretraining without labels.
    """

    num_images: int
    loss: float
    accuracy: float
    accuracy_interval: list[float]
    top5: float
    top5_interval: list[float]
    macro_f1: float | None
    brier: float
    ece: float
    per_class: dict[str, ClassMetrics]
    prediction_sets: SetMetrics
    without_near_duplicates: DistinctMetrics
    confusion_matrix: dict[str, dict[str, int]]
    exact_match: float
    exact_match_interval: list[float]
    micro_f1: float
    mean_average_precision: float | None
    per_label: dict[str, ClassMetrics]
    mae: float
    rmse: float
    r2: float | None
    restoration_error: float


class UnknownMetrics(TypedDict, total=False):
    """How many images count as none of the classes.

    Args:
        refused: Share of the images of the classes.
        refused_interval: Its 95 % interval, low and high (Wilson).
        num_foreign: Number of foreign images, where there are any.
        foreign_refused: Share of the foreign images.
        foreign_refused_interval: Its 95 % interval.
        auroc: Probability that a foreign image has a higher score than one of the classes.
    """

    refused: float
    refused_interval: list[float]
    num_foreign: int
    foreign_refused: float
    foreign_refused_interval: list[float]
    auroc: float


class SplitMetrics(TaskMetrics, total=False):
    """Metrics of one split.

    Args:
        unknown: Images that count as none of the classes; absent where nothing says so.
        tasks: Metrics by named task; without named tasks the split holds those of its
            classes itself.
    """

    unknown: UnknownMetrics
    tasks: dict[str, TaskMetrics]


class Timing(TypedDict, total=False):
    """Seconds that a job took, interrupted runs of it included.

    Args:
        wall_s: All of it.
        read_s: Reading and checking the images.
        extract_s: Computing features.
        fit_s: Training.
    """

    wall_s: float
    read_s: float
    extract_s: float
    fit_s: float


class BeforeAfter(TypedDict):
    """A metric of held-out images, before and after calibration.

    Args:
        before: Without calibration.
        after: By what was fitted to other images, fold by fold.
    """

    before: float
    after: float


class TaskCalibration(TypedDict, total=False):
    """How the probabilities of a task were calibrated.

    Args:
        temperature: What its logits are divided by in the model; 1 leaves them.
        fitted: The temperature of the lowest log loss.
        scale: By class or label, the factor of its logit, of `vector`; without a temperature.
        shift: What is added to it then.
        num_images: Number of validation images that it was fitted to.
        loss: As in `TaskMetrics`.
        brier: As in `TaskMetrics`.
        ece: As in `TaskMetrics`.
    """

    temperature: float
    fitted: float
    scale: dict[str, float]
    shift: dict[str, float]
    num_images: int
    loss: BeforeAfter
    brier: BeforeAfter
    ece: BeforeAfter


class Calibration(TaskCalibration, total=False):
    """How the probabilities of a model were calibrated.

    Args:
        tasks: By named task; without named tasks the figures are here themselves.
    """

    tasks: dict[str, TaskCalibration]


class UnknownRecord(TypedDict, total=False):
    """What tells images of the classes from others.

    Args:
        method: `mahalanobis` or `neighbors`.
        share: Share of images of the classes that count as unknown.
        threshold: Distance from which on they do; scores are divided by it.
        num_images: Number of images that set the threshold.
    """

    method: str
    share: float
    threshold: float
    num_images: int


class TaskDecision(TypedDict, total=False):
    """How the answers of a task follow from its probabilities.

    Args:
        method: Of classes a row of SET_METHODS; of labels `f1`.
        error_rate: Share of images whose class is not in their prediction set.
        threshold: Score up to which a class is in it, 0 to 1.
        thresholds: By label, the probability from which on it is predicted.
        num_images: Number of validation images that it was fitted to.
    """

    method: str
    error_rate: float
    threshold: float
    thresholds: dict[str, float]
    num_images: int


class Decision(TaskDecision, total=False):
    """How the answers of a model follow from its probabilities.

    Args:
        tasks: By named task; without named tasks the figures are here themselves.
    """

    tasks: dict[str, TaskDecision]


class Record(TypedDict, total=False):
    """The content of metrics.json.

    Args:
        train: Metrics of the training images.
        val: Metrics of the validation images; absent where these were trained on. With
            `train.folds` they are the training images, each answered by the head that it was
            held out from.
        test: Metrics of the test images.
        timing: Seconds.
        device: Description of the devices it was trained on.
        images: Number of images by split, and of those skipped.
        head: Norms and zeros of the head's kernels.
        calibration: The temperature that was fitted; absent where none was.
        unknown: How unknown scores are computed; absent where none are.
        decision: How answers follow from probabilities; absent where nothing was fitted.
        members: The runs that a run is the mean of: folder, backbone and SHA-256 of the model;
            absent where it is not one of `zoo average`.
    """

    train: SplitMetrics
    val: SplitMetrics
    test: SplitMetrics
    timing: Timing
    device: str
    images: dict[str, int]
    head: dict[str, Any]
    calibration: Calibration
    unknown: UnknownRecord
    decision: Decision
    members: list[dict[str, str]]


class SearchRecord(TypedDict, total=False):
    """The content of search.json, as `zoo tune --json` prints it.

    Args:
        trials: The trials with their values and scores.
        best: The values of the best one.
        corrected: What the best one is expected to score on other images, see
            `pipelines.search.corrected_score.correct_best_score`; None where that is not known.
        timing: Seconds.
    """

    trials: list[dict[str, Any]]
    best: dict[str, Any]
    corrected: dict[str, Any] | None
    timing: dict[str, float]
