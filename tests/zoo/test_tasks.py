"""Tasks: names of outputs, the bare form at the edges, and JSON."""

from __future__ import annotations

import pytest

from zoo.tasks import CLASSIFICATION, Task, classification, unwrap, wrap

SIZE = Task("size", "regression", "cm", mean=2.0, std=0.5)
TAGS = Task("tags", "multi_label", class_names=("a", "b"))


def test_outputs_carry_the_name_except_of_a_plain_classifier() -> None:
    (plain,) = classification(["ant", "bee", "cat"])
    assert (plain.name, plain.column) == ("label", "label")
    assert (plain.prefix, plain.output, plain.num_outputs) == ("", "probabilities", 3)
    assert (TAGS.prefix, TAGS.output, TAGS.num_outputs) == ("tags_", "tags_probabilities", 2)
    assert (SIZE.prefix, SIZE.output, SIZE.num_outputs) == ("size_", "size_value", 1)


def test_named_task_may_be_called_as_the_plain_one() -> None:
    named = Task("label", "single_label", class_names=("ant", "bee"))
    assert named.output == "label_probabilities"
    assert unwrap([named], {"label": 1}) == {"label": 1}


@pytest.mark.parametrize(
    ("tasks", "by_task", "bare"),
    [
        ([CLASSIFICATION], {"label": 1}, 1),
        ([SIZE], {"size": 1}, {"size": 1}),
        ([SIZE, TAGS], {"size": 1, "tags": 2}, {"size": 1, "tags": 2}),
    ],
    ids=["plain", "one named", "several"],
)
def test_wrap_undoes_unwrap(tasks: list[Task], by_task: dict[str, int], bare: object) -> None:
    assert unwrap(tasks, by_task) == bare
    assert wrap(tasks, bare) == by_task


def test_json_of_a_task_makes_the_same_task() -> None:
    for task in (SIZE, TAGS):
        assert Task.from_json(task.to_json()) == task
        assert set(task.to_json()) == {"name", "kind", "column", "class_names", "mean", "std"}


def test_repr_does_not_change() -> None:
    # The digest of a data set covers it, and with it every checkpoint: it changes only
    # together with what a task means.
    assert repr(SIZE) == (
        "Task(name='size', kind='regression', column='cm', class_names=(), mean=2.0, std=0.5)"
    )
