"""The main job on real photographs: train, evaluate, predict, export, the same predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.serving.run import Run


@pytest.mark.slow
def test_exported_model_predicts_as_the_run_on_photographs(
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
    log = capsys.readouterr().err
    assert "outlier train/ants/imageNotFound.gif: GIF among JPEG files" in log
    assert """--set 'data.exclude=["train/ants/imageNotFound.gif"]'""" in log
    metrics = Run.open(run).metrics
    assert metrics["val"]["num_images"] == 153
    assert metrics["val"]["accuracy"] >= 0.87

    assert run_command(["export", str(run), "--to", str(model)]) == 0
    files = [str(file) for file in sorted((photographs / "val").rglob("*.jpg"))]
    assert len(files) == 153
    probabilities = []
    for place in (run, model):
        capsys.readouterr()
        assert run_command(["predict", str(place), *files, "--json", "--top", "2"]) == 0
        predictions = json.loads(capsys.readouterr().out)["predictions"]
        probabilities.append(
            [dict(zip(p["classes"], p["probabilities"], strict=True))["ants"] for p in predictions]
        )
    np.testing.assert_allclose(probabilities[0], probabilities[1], atol=1e-5)
