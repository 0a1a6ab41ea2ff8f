"""Metrics in words: what a reader should take away, the result first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIGNIFICANCE = 0.05
"""p-value of McNemar's test below which one of two runs is called more accurate."""


_SPACE = "\u00a0"
"""Between a number and its unit."""


def percent(share: float, digits: int = 1) -> str:
    r"""Returns a share as text, which is not broken before the sign.

    Example:
        >>> percent(0.9412), percent(1.0), percent(0.99996)
        ('94.1\xa0%', '100\xa0%', '99.9\xa0%')
    """
    text = f"{100 * share:.{digits}f}"
    if float(text) == 100 and share < 1:
        text = f"{100 - 10.0**-digits:.{digits}f}"  # not all, and so not said to be
    return f"{text.removesuffix('.' + '0' * digits) if share in (0, 1) else text}{_SPACE}%"


def signed(value: float, digits: int = 1) -> str:
    """Returns a difference as text.

    Example:
        >>> signed(1.25), signed(-17.64), signed(-0.01)
        ('+1.2', '−17.6', '0.0')
    """
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(text[1:]) == 0 else text


def count_of(count: int, noun: str) -> str:
    """Returns a number of things.

    Example:
        >>> count_of(1, "image"), count_of(12000, "image")
        ('1 image', '12,000 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def judge_classification(
    metrics: Mapping[str, Any], kind: str
) -> tuple[list[str], tuple[str, float]]:
    """Describes the metrics of classes.

    Args:
        metrics: As `compute_classification_metrics` returns them.
        kind: The kind of the images, such as `validation`.

    Returns:
        Sentences; and the largest class with its share of the images.
    """
    count, accuracy = metrics["num_images"], metrics["accuracy"]
    low, high = metrics["accuracy_interval"]
    classes = metrics["per_class"]
    largest = max(classes, key=lambda name: classes[name]["support"])
    share = classes[largest]["support"] / count
    sentences = [
        f"{round(accuracy * count):,} of {count:,} {kind} images are classified correctly: "
        f"{percent(accuracy)}, with a 95{_SPACE}% interval from {percent(low)} to {percent(high)}.",
        f"Always answering {_name_largest(largest, classes)}, would be right for "
        f"{percent(share)}: " + _beside_baseline(low, high, share),
    ]
    matrix = metrics.get("confusion_matrix", {})
    errors = [
        (number, true, given)
        for true, row in matrix.items()
        for given, number in row.items()
        if true != given
    ]
    if errors:
        number, true, given = max(errors, key=lambda error: error[0])
        images = count_of(number, "image")
        sentences.append(f"The most frequent error: {images} of “{true}” taken for “{given}”.")
    found = {name: row for name, row in classes.items() if row["support"]}
    worst = min(found, key=lambda name: found[name]["recall"])
    if len(found) > 1 and found[worst]["recall"] < 1:
        sentences.append(
            f"“{worst}” is found least often: {percent(found[worst]['recall'])} of "
            f"{count_of(found[worst]['support'], 'image')}."
        )
    return sentences, (largest, share)


def _name_largest(largest: str, classes: Mapping[str, Any]) -> str:
    supports = [row["support"] for row in classes.values()]
    alone = supports.count(max(supports)) == 1
    return f"“{largest}”, the largest class" if alone else f"one class, such as “{largest}”"


def _beside_baseline(low: float, high: float, share: float) -> str:
    if low > share:
        return "the whole interval is above that."
    if high < share:
        return "the whole interval is below that."
    return "the interval holds that, so these images do not show that the model knows more."


def judge_confidence(accuracy: float, confidence: float, ece: float) -> str:
    """Describes the calibration in a sentence.

    Args:
        accuracy: 0 to 1.
        confidence: The mean probability of the class that is named, 0 to 1.
        ece: The expected calibration error, 0 to 1.
    """
    gap = confidence - accuracy
    word = "too sure" if gap > 0 else "not sure enough"
    said = f"{word} by {100 * abs(gap):.1f} points" if abs(gap) >= 0.005 else "right on average"
    return (
        f"The mean confidence is {percent(confidence)}, {said}; the calibration error, the mean "
        f"gap between confidence and accuracy over bins of confidence, is {ece:.3f}."
    )


def judge_sets(sets: Mapping[str, Any]) -> str:
    """Describes prediction sets in a sentence.

    Args:
        sets: See `pipelines.storage.split_metrics.SetMetrics`.
    """
    low, high = sets["coverage_interval"]
    return (
        f"The prediction set holds the right class for {percent(sets['coverage'])} of the images "
        f"(95 % interval {percent(low)} to {percent(high)}), with {sets['size']:.3g} classes on "
        f"average; {percent(sets['single'])} of the sets name one class, {percent(sets['empty'])} "
        "none."
    )


def judge_labels(metrics: Mapping[str, Any], kind: str) -> list[str]:
    """Describes the metrics of a task with several labels an image."""
    count, exact = metrics["num_images"], metrics["exact_match"]
    low, high = metrics["exact_match_interval"]
    sentences = [
        f"All labels of {round(exact * count):,} of {count:,} {kind} images are right: "
        f"{percent(exact)}, with a 95{_SPACE}% interval from {percent(low)} to {percent(high)}."
    ]
    if metrics["mean_average_precision"] is not None:
        sentences.append(f"Mean average precision is {metrics['mean_average_precision']:.3f}.")
    return sentences


def judge_numbers(metrics: Mapping[str, Any], kind: str) -> list[str]:
    """Describes the metrics of a task that predicts a number."""
    sentences = [
        f"Predictions for {metrics['num_images']:,} {kind} images miss the true number by "
        f"{metrics['mae']:.4g} on average (root mean square {metrics['rmse']:.4g})."
    ]
    if metrics["r2"] is not None:
        sentences.append(f"They explain {percent(metrics['r2'])} of its variance (R²).")
    return sentences


def judge_near_duplicates(found: Mapping[str, Any]) -> str:
    """Describes the metrics without the images that have a near-duplicate in training.

    Args:
        found: See `pipelines.storage.split_metrics.DistinctMetrics`.
    """
    count, copies = found["num_near_duplicates"], found["num_copies"]
    if not count:
        return "No image has a near-duplicate among the training images."
    verb = "has" if count == 1 else "have"
    equal = f" ({copies:,} of them byte for byte)" if copies else ""
    said = f"{count_of(count, 'image')} {verb} a near-duplicate among the training images{equal}"
    them = "it" if count == 1 else "them"
    if not found["num_images"]:
        return f"{said}: every one."
    if "mae" in found:
        return f"{said}; without {them} the mean absolute error is {found['mae']:.4g}."
    name, word = "accuracy", "accuracy"
    if "exact_match" in found:
        name, word = "exact_match", "the share of images with all labels right"
    low, high = found[f"{name}_interval"]
    return (
        f"{said}; without {them} {word} is {percent(found[name])}, with a 95{_SPACE}% interval "
        f"from {percent(low)} to {percent(high)}."
    )


def judge_comparison(
    names: tuple[str, str],
    accuracies: tuple[float, float],
    interval: tuple[float, float],
    p_value: float,
    switched: tuple[int, int],
) -> list[str]:
    """Describes two runs on the same images.

    Args:
        names: The runs.
        accuracies: Of both, 0 to 1.
        interval: The 95 % interval of the second's accuracy less the first's.
        p_value: Of McNemar's exact test.
        switched: How many images only the second, and only the first, classifies correctly.
    """
    difference = accuracies[1] - accuracies[0]
    if p_value < SIGNIFICANCE:
        better, worse = (names[1], names[0]) if difference > 0 else (names[0], names[1])
        first = f"“{better}” is more accurate than “{worse}” on these images"
    else:
        first = "These images do not show which of the two runs is more accurate"
    low, high = (signed(100 * bound) for bound in interval)
    return [
        f"{first}: “{names[0]}” {percent(accuracies[0])}, “{names[1]}” {percent(accuracies[1])}.",
        f"The second less the first is {signed(100 * difference)} points, with a 95{_SPACE}% "
        f"interval from {low} to {high} (McNemar's exact test: p = {p_value:.2g}).",
        f"{count_of(switched[0], 'image')} only “{names[1]}” classifies correctly, "
        f"{count_of(switched[1], 'image')} only “{names[0]}”.",
    ]
