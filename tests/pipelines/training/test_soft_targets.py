"""Students: what they learn of a teacher, of images without labels, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import transfer_zoo as tz
from pipelines.cli.main import run_command
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.opening.dataset import open_source
from pipelines.training.soft_targets import add_soft_targets
from tests.support.tiny import TINY, write_images
from zoo.errors import DataError, RecipeError, RunError
from zoo.files import sha256_of

pytestmark = pytest.mark.train

LINEAR: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s.cifar10", "levels": 1},
    "input": {"size": 32},
    "features": {"engine": "keras"},
    "augment": {"policy": "none"},
    "penalty": {"l2": 0.01},
}
LOWER: dict[str, Any] = {"backbone": {"truncate_blocks": 2}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("taught") / "data", 16)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Unsorted images, with a copy of each of two others and a file that does not decode."""
    sorted_images = write_images(tmp_path_factory.mktemp("pool") / "sorted", 12, seed=1)
    folder = sorted_images.with_name("unsorted")
    folder.mkdir()
    files = sorted(sorted_images.rglob("*.jpg"))
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number:03d}.jpg")
    shutil.copy(files[0], folder / "copy.jpg")
    shutil.copy(next(data.rglob("*.jpg")), folder / "known.jpg")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def teacher(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tz.Run:
    return tz.train(
        data, tz.Recipe.from_settings(LINEAR), out=tmp_path_factory.mktemp("t") / "teacher"
    )


@pytest.fixture(scope="module")
def student(
    data: Path, pool: Path, teacher: tz.Run, tmp_path_factory: pytest.TempPathFactory
) -> tz.Run:
    """Another network's linear head, by the teacher alone."""
    recipe = tz.Recipe.from_settings(LINEAR, LOWER, {"teacher": {"weight": 1.0}})
    out = tmp_path_factory.mktemp("s") / "student"
    return tz.train(data, recipe, out=out, teacher=teacher, unlabeled=pool)


@pytest.fixture(scope="module")
def untaught(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tz.Run:
    """The student's network, which has learned of labels alone."""
    recipe = tz.Recipe.from_settings(LINEAR, LOWER)
    return tz.train(data, recipe, out=tmp_path_factory.mktemp("u") / "untaught")


def _weights(run: tz.Run) -> list[np.ndarray]:
    return list(run.load_model().get_weights())


def _same(one: tz.Run, other: tz.Run) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(_weights(one), _weights(other), strict=True))


def test_student_records_its_teacher_and_counts_its_images(
    student: tz.Run, teacher: tz.Run, pool: Path
) -> None:
    assert student.record["teacher"] == {
        "run": str(teacher.path),
        "sha256": sha256_of(teacher.model_file),
    }
    labeled = student.images["train"]
    assert labeled + student.images["val"] == 48
    # 36 and a copy of one of these, of one of the data set, and a broken file.
    assert student.images["unlabeled"] == 36
    assert set(student.digests("unlabeled")) == {
        sha256_of(file) for file in pool.glob("[0-9]*.jpg")
    }
    assert student.metrics["train"]["num_images"] == labeled
    assert student.recipe.teacher.run == str(teacher.path)
    assert student.recipe.teacher.unlabeled == str(pool)
    assert student.recipe.num_folds == 0


def test_student_says_what_the_teacher_says_of_unlabeled_images(
    student: tz.Run, teacher: tz.Run, untaught: tz.Run, pool: Path
) -> None:
    files = sorted(pool.glob("[0-9]*.jpg"))

    def answers(run: tz.Run) -> np.ndarray:
        found = [dict(zip(p.classes, p.probabilities, strict=True)) for p in run.predict(files)]
        return np.array([[each[name] for name in run.class_names] for each in found])

    expected = answers(teacher)
    gaps = {run: np.abs(answers(run) - expected).mean() for run in (student, untaught)}
    assert gaps[student] < 0.5 * gaps[untaught]


def test_students_validation_is_by_labels(student: tz.Run, data: Path) -> None:
    found = student.evaluate(data)["val"]
    assert found["accuracy"] == student.metrics["val"]["accuracy"]
    assert found["loss"] == pytest.approx(student.metrics["val"]["loss"], rel=1e-3)
    by_class = {sha256_of(file): file.parent.name for file in data.rglob("*.jpg")}
    assert set(student.digests("val")) <= set(by_class)


@pytest.mark.slow
@pytest.mark.parametrize(
    "images",
    [True, False],
    ids=["images", "features"],
)
def test_longer_student_is_the_one_that_was_never_ended(
    images: bool, data: Path, pool: Path, teacher: tz.Run, tmp_path: Path
) -> None:
    settings = {
        "features": {"use": not images, "engine": "keras"},
        "augment": {"policy": "flip_lr(0.5)"},
        "teacher": {"run": str(teacher.path), "unlabeled": str(pool)},
    }
    recipe = tz.Recipe.from_settings(TINY, settings)
    assert recipe.resolve().teacher.temperature == 2

    def run(epochs: int, name: str, **options: Any) -> tz.Run:
        longer = recipe.override({"train.epochs": epochs})
        return tz.train(data, longer, out=tmp_path / name, **options)

    run(1, "ended")
    ended, never = run(2, "ended", resume=True), run(2, "never")
    assert _same(ended, never)
    assert ended.record["val"] == never.record["val"]
    without = tz.train(
        data,
        tz.Recipe.from_settings(TINY, {**settings, "teacher": {}}).override({"train.epochs": 2}),
        out=tmp_path / "without",
    )
    assert not _same(without, never)


def test_another_teacher_does_not_go_on_with_a_student(
    data: Path, teacher: tz.Run, tmp_path: Path
) -> None:
    changed = tmp_path / "teacher"
    shutil.copytree(teacher.path, changed)
    recipe = tz.Recipe.from_settings(TINY, {"teacher": {"run": str(changed)}})
    tz.train(data, recipe.override({"train.epochs": 1}), out=tmp_path / "run")
    model = tz.Run.open(changed).load_model()
    model.set_weights([weight * 1.01 for weight in model.get_weights()])
    model.save(changed / "model.keras")
    with pytest.raises(RunError, match="teacher"):
        tz.train(data, recipe, out=tmp_path / "run", resume=True)


@pytest.fixture
def resolved(data: Path, teacher: tz.Run) -> ResolvedRecipe:
    settings = {"teacher": {"run": str(teacher.path)}}
    return tz.Recipe.from_settings(LINEAR, settings).for_source(data).resolve()


def test_classes_are_matched_by_name(data: Path, resolved: ResolvedRecipe) -> None:
    source = open_source(str(data))
    taught = add_soft_targets(resolved, source).train.soft_targets
    (task,) = source.tasks
    turned = replace(task, class_names=tuple(reversed(task.class_names)))
    other = add_soft_targets(resolved, replace(source, tasks=(turned,))).train.soft_targets
    np.testing.assert_array_equal(other.probabilities, taught.probabilities[:, ::-1])
    assert taught.probabilities.max() > 0.5
    assert taught.labeled.all()


def test_features_and_images_give_the_same_answers(data: Path, resolved: ResolvedRecipe) -> None:
    """A frozen teacher is asked by its features; they are those that its model computes."""
    source = open_source(str(data))
    by_features = add_soft_targets(resolved, source).train.soft_targets.probabilities
    run = tz.Run.open(resolved.teacher.run)
    images = [np.asarray(Image.open(file).convert("RGB")) for file in source.train.files]
    found = [dict(zip(p.classes, p.probabilities, strict=True)) for p in run.predict(images)]
    by_images = [[each[name] for name in run.class_names] for each in found]
    np.testing.assert_allclose(by_features, by_images, atol=1e-3)


def test_the_mean_of_several_runs_teaches(
    data: Path, teacher: tz.Run, untaught: tz.Run, tmp_path: Path
) -> None:
    mean = tz.average([teacher, untaught], out=tmp_path / "mean")
    source = open_source(str(data))
    answers = []
    for run in (teacher, untaught, mean):
        recipe = tz.Recipe.from_settings(LINEAR).with_teacher(run.path).for_source(data).resolve()
        answers.append(add_soft_targets(recipe, source).train.soft_targets.probabilities)
    np.testing.assert_allclose(answers[2], (answers[0] + answers[1]) / 2, atol=1e-3)


def test_a_teacher_that_knows_the_images_that_judge_is_named(
    data: Path, resolved: ResolvedRecipe, teacher: tz.Run, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(str(data))
    with caplog.at_level(logging.WARNING):
        add_soft_targets(resolved, source)
    assert f"trained on {len(source.val)} of {len(source.val)} val images" in caplog.text
    caplog.clear()
    new = replace(source, val=source.val.take([]), test=None)
    with caplog.at_level(logging.WARNING):
        add_soft_targets(resolved, new)
    assert not caplog.text


@pytest.mark.parametrize("what", ["classes", "unfinished", "tasks", "empty", "kind"])
def test_teachers_and_images_that_cannot_serve(
    what: str, data: Path, teacher: tz.Run, tmp_path: Path
) -> None:
    run, pool, images = teacher.path, None, str(data)
    if what == "classes":
        images = str(tmp_path / "other")
        shutil.copytree(data, images)
        (tmp_path / "other" / "red").rename(tmp_path / "other" / "violet")
        expected: Any = pytest.raises(DataError, match="without violet and with red")
    elif what == "unfinished":
        run = tmp_path / "run"
        shutil.copytree(teacher.path, run)
        (run / "model.keras").unlink()
        expected = pytest.raises(RunError, match="model")
    elif what == "tasks":
        run = tmp_path / "run"
        shutil.copytree(teacher.path, run)
        tasks = [{"name": n, "kind": "single_label", "class_names": ["a", "b"]} for n in "xy"]
        (run / "labels.json").write_text(json.dumps(tasks))
        expected = pytest.raises(DataError, match=r"other things than one class.*x, y")
    elif what == "empty":
        pool = tmp_path / "pool"
        pool.mkdir()
        expected = pytest.raises(DataError, match="There is no image")
    else:
        pool, expected = "digits", pytest.raises(DataError, match="cannot be read together")
    recipe = tz.Recipe.from_settings(LINEAR)
    with expected as raised:
        tz.train(images, recipe, out=tmp_path / "out", teacher=run, unlabeled=pool)
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "out").glob("*.toml")), "refused before anything is written"


def test_settings_that_a_teacher_excludes(data: Path, teacher: tz.Run, tmp_path: Path) -> None:
    run = {"run": str(teacher.path)}
    for settings, reason in (
        ({"teacher": {"unlabeled": str(data)}}, "expected run too"),
        ({"teacher": run, "train": {"loss": "focal"}}, "learned by cross-entropy"),
        ({"teacher": {**run, "unlabeled": "x"}, "train": {"folds": 3}}, "without folds"),
        ({"teacher": run, "tasks": {"a": {"column": "a"}}}, "learned by cross-entropy"),
        (
            {"teacher": {**run, "temperature": 2.0}, "optimizer": {"name": "lbfgs"}},
            r"received teacher.temperature = 2",
        ),
    ):
        with pytest.raises(RecipeError, match=reason):
            tz.Recipe.from_settings(settings).resolve()
    for settings, proposed in (
        ({"teacher": run, "train": {"loss": "focal"}}, {"train.loss": "cross_entropy"}),
        ({"teacher": {**run, "unlabeled": "x"}, "train": {"folds": 3}}, {"train.folds": 0}),
    ):
        assert tz.Recipe.from_settings(settings).override(proposed).resolve()
    student = tz.Recipe.from_settings(LINEAR, {"teacher": run})
    assert student.resolve().teacher.temperature == 1
    assert student.resolve().is_convex
    warm = student.override({"teacher.temperature": 2.0}).resolve()
    assert not warm.is_convex, "a linear head is fitted to convergence at temperature 1 alone"
    with pytest.raises(RecipeError, match="a search learns from labels alone"):
        tz.tune(data, student, trials=2, out=tmp_path / "search")
    with pytest.raises(RecipeError, match="learns from images alone"):
        tz.pretrain(
            data,
            tz.Recipe.from_preset("pretrain_autoencoder").with_teacher(teacher.path),
            out=tmp_path / "backbone",
        )


def test_student_by_the_command_line_needs_no_teacher_once_it_is_finished(
    data: Path,
    pool: Path,
    student: tz.Run,
    teacher: tz.Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, copy = tmp_path / "recipe.toml", tmp_path / "teacher"
    file.write_text(tz.Recipe.from_settings(LINEAR, LOWER, {"teacher": {"weight": 1}}).to_toml())
    shutil.copytree(teacher.path, copy)
    out = tmp_path / "run"
    options = ["--teacher", str(copy), "--unlabeled", str(pool), "--recipe", str(file)]
    assert run_command(["train", str(data), "--out", str(out), *options]) == 0
    assert "36 unlabeled images, 2 copies left out" in capsys.readouterr().err
    finished = tz.Run.open(out)
    assert _same(finished, student)
    shutil.rmtree(copy)
    assert finished.predict(next(pool.glob("0*.jpg")))[0].label in finished.class_names
    assert finished.evaluate(data)["val"] == student.evaluate(data)["val"]
    other = tmp_path / "other"
    assert run_command(["train", str(data), "--out", str(other), "--unlabeled", str(pool)]) == 2
    assert "expected run too" in capsys.readouterr().err
