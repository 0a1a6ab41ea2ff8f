"""Tasks of a recipe: what it refuses before anything is read, and that TOML carries them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe.overrides import parse_overrides
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.task_sections import TaskConfig
from zoo.errors import RecipeError, UnknownNameError
from zoo.tasks import CLASSIFICATION, Task


def _tasks(**tasks: Any) -> Recipe:
    return Recipe.from_settings({"tasks": tasks})


def test_task_is_asked_of_the_column_of_its_name_and_trained_by_its_usual_loss() -> None:
    recipe = _tasks(tint={}, tags={"kind": "multi_label", "column": "litter"}).resolve()
    assert recipe.unbound_tasks == (
        Task("tint", "single_label", "tint"),
        Task("tags", "multi_label", "litter"),
    )
    assert [task.loss for task in recipe.tasks.values()] == [
        "cross_entropy",
        "binary_cross_entropy",
    ]
    assert "loss = 'binary_cross_entropy'" in recipe.to_toml().replace('"', "'")


def test_recipe_without_tasks_learns_the_classes_as_its_section_train_says() -> None:
    recipe = Recipe.from_settings({"train": {"loss": "focal", "label_smoothing": 0.1}})
    assert recipe.unbound_tasks == (CLASSIFICATION,)
    task = recipe.task_configs["label"]
    assert (task.kind, task.column) == ("single_label", "label")
    assert (task.loss, task.label_smoothing, task.weight) == ("focal", 0.1, 1.0)


def test_tasks_are_settings_of_the_command_line() -> None:
    settings = parse_overrides(["tasks.angle.kind=regression", "tasks.angle.weight=0.5"])
    assert Recipe.from_settings(settings).tasks["angle"] == TaskConfig(
        kind="regression", weight=0.5
    )


def test_best_epoch_of_several_tasks_is_that_of_the_lowest_loss() -> None:
    assert _tasks(tint={}).stopping.monitor == "val_loss"
    assert Recipe().stopping.monitor == "val_accuracy"
    assert Recipe.from_settings({"tasks": {"tint": {}}, "stopping": {"patience": 3}}).stopping == (
        Recipe.from_settings({"stopping": {"patience": 3, "monitor": "val_loss"}}).stopping
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": {"a": {"kind": "regresion"}}}, r"Unknown kind of task .* 'regression'"),
        ({"tasks": {"a": {"loss": "huber"}}}, r"tasks\.a contradicts itself: the loss huber"),
        ({"tasks": {"a": {"los": "x"}}}, r"key 'tasks\.a\.los'. Did you mean 'tasks\.a\.loss'"),
        ({"tasks": {"a": {"weight": 0.0}}}, r"tasks\.a\.weight does not fit; expected greater"),
        ({"tasks": {"a": {"kind": "regression", "label_smoothing": 0.1}}}, "is for classes and"),
        ({"tasks": {"a": {"kind": "multi_label", "class_weights": "balanced"}}}, "one class an"),
        ({"tasks": {"A b": {}}}, r"tasks\.A b does not fit; expected up to 64 lower"),
        ({"tasks": {"val_a": {}}}, r"tasks\.val_a does not fit; expected a name that"),
        ({"tasks": {"a": {}}, "train": {"loss": "focal"}}, r"--set tasks\.a\.loss=focal"),
        ({"tasks": {"a": {}}, "train": {"label_smoothing": 0.1}}, r"set tasks\.a\.label_smoothing"),
        ({"tasks": {"a": {}}, "train": {"class_weights": "balanced"}}, r"set tasks\.a\.class_weig"),
        ({"tasks": {"a": {"kind": "regression"}}, "train": {"oversample": "balanced"}},
         r"no task has any; expected .* single_label; received a: regression"),
        ({"tasks": {"a": {}}, "stopping": {"monitor": "val_accuracy"}}, "no single accuracy"),
    ],
)  # fmt: skip
def test_tasks_that_cannot_work_are_refused_in_one_line(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((RecipeError, UnknownNameError), match=message) as caught:
        Recipe.from_settings(settings).resolve()
    assert "\n" not in str(caught.value)


def test_recipe_of_tasks_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[tasks.size]\nkind = 'regression'\ncolumn = 'cm'\n", encoding="utf-8")
    assert Recipe.from_toml(file).unbound_tasks == (Task("size", "regression", "cm"),)
