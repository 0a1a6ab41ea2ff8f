"""The mean of several runs, beside NumPy's mean of what each of them answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

import transfer_zoo as tz
from pipelines.cli.main import run_command
from tests.support.tiny import write_images
from zoo.files import sha256_of

SETTINGS: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s.cifar10", "levels": 1},
    "input": {"size": 32},
    "features": {"engine": "keras"},
    "augment": {"policy": "none"},
    "penalty": {"l2": 0.01},
    "data": {"test_fraction": 0.2},
}
LOWER: dict[str, Any] = {"backbone": {"truncate_blocks": 2}}
SPLIT: dict[str, Any] = {"train": {"folds": 0}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colors that noise hides from some networks: no class is sure."""
    return write_images(tmp_path_factory.mktemp("average") / "data", 30)


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tz.Run]:
    folder = tmp_path_factory.mktemp("runs")
    layers = {"top": [], "lower": [LOWER], "split": [LOWER, SPLIT]}
    return {
        name: tz.train(data, tz.Recipe.from_settings(SETTINGS, *more), out=folder / name)
        for name, more in layers.items()
    }


@pytest.fixture(scope="module")
def mean(runs: dict[str, tz.Run], tmp_path_factory: pytest.TempPathFactory) -> tz.Run:
    return tz.average([runs["top"], runs["lower"]], out=tmp_path_factory.mktemp("mean") / "run")


@pytest.mark.train
def test_model_is_the_mean_of_the_models(mean: tz.Run, runs: dict[str, tz.Run]) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)
    each = [runs[name].load_model()(images) for name in ("top", "lower")]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    received = np.asarray(mean.load_model()(images))
    np.testing.assert_allclose(received, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_allclose(received.sum(axis=1), 1, atol=1e-5)


@pytest.mark.train
def test_metrics_are_those_of_the_mean_answers_to_images_held_out(
    mean: tz.Run, runs: dict[str, tz.Run], data: Path
) -> None:
    held = [runs[name].held_out for name in ("top", "lower")]
    assert all(one is not None for one in held)
    digests = [digest.tobytes().hex() for digest in held[0].digests]
    expected = np.mean([one.of(digests) for one in held], axis=0)
    of = {sha256_of(file): file.parent.name for file in data.rglob("*.jpg")}
    labels = [mean.class_names.index(of[digest]) for digest in digests]
    found = mean.metrics["val"]
    assert found["num_images"] == len(digests) == 72
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, expected.argmax(axis=1)))
    assert found["loss"] == pytest.approx(log_loss(labels, expected), rel=1e-4)
    assert mean.metrics["test"]["num_images"] == 18
    np.testing.assert_allclose(mean.held_out.of(digests), expected, atol=1e-6)
    assert mean.record["decision"]["num_images"] == 72
    members = mean.record["members"]
    assert [member["run"] for member in members] == [str(runs[n].path) for n in ("top", "lower")]
    assert members[0]["sha256"] == sha256_of(runs["top"].path / "model.keras")


@pytest.mark.train
def test_near_duplicates_are_those_that_any_run_was_trained_on(
    runs: dict[str, tz.Run], data: Path, tmp_path: Path
) -> None:
    """An image of the test split is seen as if one of the runs had been trained on it."""
    marked, digest = tmp_path / "marked", runs["lower"].digests("test")[0]
    shutil.copytree(runs["lower"].path, marked)
    recorded = json.loads((marked / "images.json").read_text())
    recorded["train"].append(digest)
    (marked / "images.json").write_text(json.dumps(recorded))
    found = {}
    for name, second in (("plain", runs["lower"]), ("marked", tz.Run.open(marked))):
        mean = tz.average([runs["top"], second], out=tmp_path / f"mean-{name}")
        found[name] = mean.metrics["test"]["without_near_duplicates"]
        assert "without_near_duplicates" in mean.metrics["val"]
        again = tz.evaluate(mean, data, split="val")["val"]["without_near_duplicates"]
        assert again == mean.metrics["val"]["without_near_duplicates"]
    assert (found["plain"]["num_images"], found["plain"]["num_copies"]) == (18, 0)
    assert (found["marked"]["num_images"], found["marked"]["num_copies"]) == (17, 1)
    (marked / "hashes.npz").unlink()
    without = tz.average([runs["top"], tz.Run.open(marked)], out=tmp_path / "without")
    assert "without_near_duplicates" not in without.metrics["test"]
    assert not (without.path / "hashes.npz").exists()


@pytest.mark.slow
@pytest.mark.train
def test_it_is_a_run_like_any_other(
    mean: tz.Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = tz.evaluate(mean, data)
    for split in ("val", "test"):
        assert measured[split]["loss"] == pytest.approx(mean.metrics[split]["loss"], rel=1e-5)
    version = tz.export(mean, tmp_path / "model")
    files = sorted((data / "red").iterdir())[:3]
    for ours, theirs in zip(tz.predict(mean, files), tz.predict(version, files), strict=True):
        assert ours.label == theirs.label
        assert ours.probability == pytest.approx(theirs.probability, abs=1e-4)
    page = tz.report(mean).read_text(encoding="utf-8")
    assert f"zoo average {mean.record['members'][0]['run']}" in page
    assert run_command(["evaluate", str(mean.path), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["val"]["num_images"] == 72


@pytest.mark.train
def test_validation_images_are_those_that_all_held_out(
    runs: dict[str, tz.Run], data: Path, tmp_path: Path
) -> None:
    """One run answers all of its images by fold heads, the other has put some aside."""
    mixed = tz.average([runs["top"], runs["split"]], out=tmp_path / "mixed")
    apart = runs["split"].digests("val")
    assert mixed.metrics["val"]["num_images"] == len(apart) < 72
    top = runs["top"].held_out.of(apart)
    files = {sha256_of(file): file for file in data.rglob("*.jpg")}
    predicted = tz.predict(runs["split"], [files[digest] for digest in apart], top=3)
    names = mixed.class_names
    for digest, ours, theirs in zip(apart, top, predicted, strict=True):
        task = theirs.tasks["label"]
        other = dict(zip(task.classes, task.probabilities, strict=True))
        expected = [(p + other[name]) / 2 for p, name in zip(ours, names, strict=True)]
        np.testing.assert_allclose(mixed.held_out.of([digest])[0], expected, atol=1e-5)


@pytest.mark.train
def test_runs_that_do_not_belong_together_are_refused(
    runs: dict[str, tz.Run], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = str(runs["top"].path)
    other_size = {"input": {"size": 48}, "train": {"folds": 3}}
    larger = tz.train(data, tz.Recipe.from_settings(SETTINGS, other_size), out=tmp_path / "l")
    other_seed = tz.Recipe.from_settings(SETTINGS, {"seed": 1})
    seed = tz.train(data, other_seed, out=tmp_path / "seed")
    classes = write_images(tmp_path / "two", 12)
    for file in (classes / "red").iterdir():
        file.unlink()
    (classes / "red").rmdir()
    two = tz.train(classes, tz.Recipe.from_settings(SETTINGS), out=tmp_path / "two_run")
    for paths, said in (
        ([top], "an average needs several runs"),
        ([top, top], "is given twice"),
        ([top, str(larger.path)], "see images otherwise"),
        ([top, str(seed.path)], "have other test images"),
        ([top, str(two.path)], "predict other things"),
        ([top, str(tmp_path / "absent")], "absent"),
    ):
        capsys.readouterr()
        assert run_command(["average", *paths, "--out", str(tmp_path / "none")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()
    assert run_command(["average", top, str(runs["lower"].path), "--out", top]) == 2
    assert "already holds a run" in capsys.readouterr().err
