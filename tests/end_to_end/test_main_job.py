"""The main job on real photographs: train, evaluate, predict, export, and the same answers."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.serving.run import Run


@pytest.fixture(scope="module")
def photographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ants and bees: 244 photographs to train on and a placeholder, 153 to validate."""
    folder = tmp_path_factory.mktemp("hymenoptera")
    with tarfile.open(shared / "data" / "hymenoptera.tar") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.slow
def test_photographs_become_a_savedmodel_that_answers_as_the_run(
    photographs: Path,
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", str(shared / "weights"))
    run, model = tmp_path / "run", tmp_path / "saved_models" / "insects"
    backbone = ["--backbone", "squeezenet1_1.imagenet"]
    assert run_command(["train", str(photographs), *backbone, "--out", str(run)]) == 0
    said = capsys.readouterr().err
    assert "suspect train/ants/imageNotFound.gif: GIF among JPEG files" in said
    assert """--set 'data.exclude=["train/ants/imageNotFound.gif"]'""" in said
    metrics = Run.open(run).metrics
    assert metrics["val"]["num_images"] == 153
    assert metrics["val"]["accuracy"] >= 0.87

    assert run_command(["export", str(run), "--to", str(model)]) == 0
    files = [str(file) for file in sorted((photographs / "val").rglob("*.jpg"))]
    assert len(files) == 153
    answers = []
    for place in (run, model):
        capsys.readouterr()
        assert run_command(["predict", str(place), *files, "--json", "--top", "2"]) == 0
        predictions = json.loads(capsys.readouterr().out)["predictions"]
        answers.append(
            [dict(zip(p["classes"], p["probabilities"], strict=True))["ants"] for p in predictions]
        )
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
