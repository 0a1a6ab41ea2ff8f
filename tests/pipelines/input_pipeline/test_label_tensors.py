"""Label and weight tensors: against the targets they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.input_pipeline.label_tensors import (
    build_label_lookup,
    build_weight_lookup,
    compute_balanced_weights,
)
from pipelines.sources.source import Examples
from zoo.tasks import Task, classification

CLASSES = np.array([2, 0, 2, 1])
TAGS = np.array([[1, 0], [0, 0], [1, 1], [0, 1]], np.float32)
SIZES = np.array([1.0, 2.0, 4.0, 9.0], np.float32)
TASKS = (
    Task("letter", "single_label", class_names=("a", "b", "c")),
    Task("tags", "multi_label", class_names=("x", "y")),
    Task("size", "regression", mean=4.0, std=2.0),
)
EXAMPLES = Examples(
    tuple("0123"), CLASSES, targets={"letter": CLASSES, "tags": TAGS, "size": SIZES}
)


def test_labels_have_the_form_of_each_kind() -> None:
    labels = build_label_lookup(EXAMPLES, TASKS)([3, 0])
    np.testing.assert_array_equal(labels["letter"], [[0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(labels["tags"], TAGS[[3, 0]])
    np.testing.assert_array_equal(labels["size"], [[2.5], [-1.5]])
    assert {str(tensor.dtype) for tensor in labels.values()} == {"<dtype: 'float32'>"}
    one = build_label_lookup(EXAMPLES, TASKS)(3)
    assert {name: tuple(tensor.shape) for name, tensor in one.items()} == {
        "letter": (3,),
        "tags": (2,),
        "size": (1,),
    }


def test_plain_classifier_has_a_dictionary_of_one() -> None:
    examples = Examples(tuple("0123"), CLASSES, targets={"label": CLASSES})
    tasks = classification("abc")
    np.testing.assert_array_equal(
        build_label_lookup(examples, tasks)([0])["label"], [[0.0, 0.0, 1.0]]
    )
    np.testing.assert_array_equal(build_weight_lookup(examples, tasks, {})([0, 1])["label"], [1, 1])


def test_weights_are_those_of_the_class_and_1_without() -> None:
    by_class = {"letter": np.array([3.0, 4.0, 5.0], np.float32)}
    weights = build_weight_lookup(EXAMPLES, TASKS, by_class)([0, 1, 3])
    np.testing.assert_array_equal(weights["letter"], [5, 3, 4])
    np.testing.assert_array_equal(weights["tags"], [1, 1, 1])
    np.testing.assert_array_equal(weights["size"], [1, 1, 1])


def test_balanced_weights_give_each_class_the_same_sum() -> None:
    weights = compute_balanced_weights(EXAMPLES, TASKS[0])
    assert weights.tolist() == pytest.approx([4 / 3, 4 / 3, 2 / 3])
    sums = np.bincount(CLASSES, weights[CLASSES])
    np.testing.assert_allclose(sums, sums[0])
