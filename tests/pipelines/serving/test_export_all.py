"""Exports in every format at once, and in 8-bit integers by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.cli.printing import print_exports
from pipelines.serving.calibration_images import choose_in_proportion
from pipelines.serving.export import check_max_drop
from pipelines.serving.predict import predict
from pipelines.serving.run import Run
from tests.support.command_line import fails
from zoo.errors import InputError
from zoo.export.formats import FORMATS
from zoo.table import Table

# Each of the others is exported and measured by the tests of formats.
FEW = Table("format", [FORMATS["savedmodel"], FORMATS["onnx"]])


@pytest.mark.slow
def test_every_format_is_measured_and_one_that_fails_does_not_end_the_others(
    tiny_run: Run,
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.serving.export_all.FORMATS", FEW)
    to = tmp_path / "models"
    to.mkdir()
    (to / "onnx-float16").write_text("")
    command = ["export", str(tiny_run.path), "--to", str(to), "--format", "all", "--json"]
    # The six validation images of a tiny run are 17 points each.
    assert run_command([*command, "--max-drop", "40"]) == 1
    rows = json.loads(capsys.readouterr().out)
    pairs = [(row["format"], row["quantize"]) for row in rows]
    assert pairs == [(name, kind) for name in FEW for kind in FEW[name].quantizations]
    accuracy = tiny_run.metrics["val"]["accuracy"]
    for row in rows:
        if row["error"]:
            continue
        version = Path(row["version"])
        assert version == to / f"{row['format']}-{row['quantize']}" / "1"
        assert row["bytes"] == sum(p.stat().st_size for p in version.rglob("*") if p.is_file())
        assert row["images_per_s"] > 0
        if row["quantize"] != "int8":
            assert row["metrics"] == {"accuracy": pytest.approx(accuracy)}
    failed = [row for row in rows if row["error"]]
    assert [(row["format"], row["quantize"]) for row in failed] == [("onnx", "float16")]
    assert "onnx-float16" in failed[0]["error"]
    # The one in integers is a model as any other, and its card says what it costs.
    integers = to / "onnx-int8"
    described = json.loads((integers / "1" / "model.json").read_text())
    assert described["quantize"] == "int8"
    card = (integers / "1" / "README.md").read_text(encoding="utf-8")
    assert f"is {described['accuracy']['label']['int8']:.4f} against" in card
    answers = [each.label for each in predict(integers, tiny_folder)]
    expected = [each.label for each in tiny_run.predict(tiny_folder)]
    assert np.mean([a == b for a, b in zip(answers, expected, strict=True)]) > 0.6


def test_table_names_the_reason_of_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"format": "onnx", "quantize": "none", "version": "m/onnx-none/1", "bytes": 2_500_000}
    good = {**row, "images_per_s": 12.34, "metrics": {"accuracy": 0.5}, "error": None}
    lacking = {"version": None, "bytes": None, "images_per_s": None, "metrics": {}}
    bad = {**row, **lacking, "quantize": "int8", "error": "too inaccurate"}
    print_exports([good, bad])
    header, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["format", "quantize", "MB", "images/s", "accuracy", "version"]
    assert first == ["onnx", "none", "2.50", "12.3", "0.5000", "m/onnx-none/1"]
    assert second == ["onnx", "int8", "–", "–", "–", "too", "inaccurate"]


@pytest.mark.slow
def test_network_without_training_images_has_no_integers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "micro_resnet_s.cifar10", "--to", str(tmp_path / "m"), "--format", "onnx"]
    line = fails(capsys, [*command, "--quantize", "int8"])
    assert "expected a run, which has both; received micro_resnet_s.cifar10" in line
    proposed = line.rpartition("; ")[2].split()
    assert proposed == ["--quantize", "float16"]
    assert run_command([*command, *proposed]) == 0


def test_drop_that_cannot_be_is_refused() -> None:
    for value in (-0.5, float("nan")):
        with pytest.raises(InputError, match="0 or more points") as caught:
            check_max_drop(value)
        check_max_drop(float(str(caught.value).rpartition("--max-drop ")[2]))


def test_calibration_has_each_class_in_proportion_and_no_image_twice() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 3]))
    chosen = choose_in_proportion(labels, 301, seed=1)
    assert len(set(chosen.tolist())) == 301
    assert np.bincount(labels[chosen]).tolist() == [200, 100, 1]
    assert not np.array_equal(chosen, choose_in_proportion(labels, 301, seed=2))
    assert len(choose_in_proportion(labels, 5000, seed=1)) == 903
