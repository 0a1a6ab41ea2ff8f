"""Losses and metrics: one bare loss for a plain classifier, a dictionary for several tasks."""

from __future__ import annotations

import keras
import numpy as np

from pipelines.recipe.recipe import Recipe
from pipelines.training.losses_and_metrics import build_compile_arguments, format_metrics
from zoo.tasks import CLASSIFICATION, Task

TASKS = (
    Task("letter", "single_label", class_names=("a", "b")),
    Task("tags", "multi_label", class_names=("x", "y")),
    Task("size", "regression"),
)


def test_plain_classifier_has_one_loss_and_keras_names() -> None:
    configs = Recipe().resolve().task_configs
    assert list(configs) == ["label"]
    arguments = build_compile_arguments([CLASSIFICATION], configs)
    assert set(arguments) == {"loss", "metrics"}
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", **arguments)
    model.fit(np.eye(2), np.eye(2), verbose=0)
    assert model.metrics_names == ["loss", "compile_metrics"]
    assert set(model.history.history) == {"loss", "accuracy"}


def test_each_of_several_tasks_has_its_loss_weight_and_metric() -> None:
    settings = {
        "letter": {"weight": 2.0},
        "tags": {"kind": "multi_label"},
        "size": {"kind": "regression"},
    }
    configs = Recipe.from_settings({"tasks": settings}).resolve().task_configs
    arguments = build_compile_arguments(TASKS, configs)
    assert arguments["loss_weights"] == {"letter": 2.0, "tags": 1.0, "size": 1.0}
    assert set(arguments["loss"]) == {"letter", "tags", "size"}
    assert {name: [m.name for m in of_task] for name, of_task in arguments["metrics"].items()} == {
        "letter": ["accuracy"],
        "tags": ["accuracy"],
    }


def test_label_counts_as_predicted_from_a_probability_of_one_half() -> None:
    configs = Recipe.from_settings({"tasks": {"tags": {"kind": "multi_label"}}}).resolve()
    (metric,) = build_compile_arguments(TASKS[1:2], configs.task_configs)["metrics"]["tags"]
    metric.update_state([[1.0, 0.0, 1.0, 0.0]], [[0.1, -0.1, -0.1, 0.1]])
    assert float(metric.result()) == 0.5


def test_metrics_of_an_epoch_are_one_line() -> None:
    logs = {"loss": 3.0, "letter_accuracy": 0.5, "letter_loss": 1.0, "size_loss": 2.0}
    assert format_metrics(TASKS, logs) == "loss 3.0000, letter accuracy 0.5000, size loss 2.0000"
    assert format_metrics([CLASSIFICATION], {"val_loss": 1.0, "val_accuracy": 0.5}, "val_") == (
        "loss 1.0000, accuracy 0.5000"
    )
