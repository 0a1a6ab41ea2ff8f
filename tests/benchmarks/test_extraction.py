"""The benchmark of feature extraction: multiply-adds, rates, tables; it measures once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import extraction, extraction_report
from pipelines.features.engines.network import build_feature_network
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier


def test_multiply_adds_are_those_of_the_paper() -> None:
    network = build_feature_network(
        build_classifier("mobilenet_v2", 2, size=224, head=HeadConfig(), frozen=True)
    )
    classes = 1280 * 1000  # the paper counts the ImageNet classifier, too
    counted = extraction.count_multiply_adds(network.model) + classes
    assert counted == pytest.approx(300e6, rel=0.01)  # Sandler et al., 2018, table 4


def test_sgemm_is_measured_with_the_default_kernel() -> None:
    found = extraction.measure_sgemm(size=64, repeats=2)
    assert found["own choice"] > 0


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # The benchmark sets ZOO_CACHE to its own cache and does not restore it.
    monkeypatch.setenv("ZOO_CACHE", os.environ["ZOO_CACHE"])


@pytest.mark.slow
def test_every_engine_is_measured_once_from_files_to_disk(
    tiny_folder: Path, tmp_path: Path, own_cache: None
) -> None:
    def measure() -> None:
        extraction.main(
            tiny_folder,
            tmp_path,
            backbones="micro_resnet_s",
            count=6,
            views=1,
            size=32,
            rounds=1,
            seconds=0.01,
        )

    measure()
    (piece,) = tmp_path.glob("micro_resnet_s-*.json")
    before = piece.stat().st_mtime_ns
    found = json.loads((tmp_path / "extraction.json").read_text())["micro_resnet_s"]
    assert list(found["engines"]) == ["keras", "onnxruntime", "openvino"]
    for engine, rates in found["engines"].items():
        assert len(rates["files to disk"]) == len(rates["alone"]) == 1
        (rate,), (peak,) = rates["alone"], found["sgemm"]
        expected = 2 * found["multiply_adds"] * rate / (1e9 * max(peak.values()))
        assert extraction_report.compute_utilization(found, engine, "alone") == pytest.approx(
            expected
        )
    assert extraction_report.compute_speedups(found, "keras") == [1]
    assert found["plain Keras"][0] > 0
    assert (tmp_path / "extraction.png").stat().st_size > 1000
    measure()
    assert piece.stat().st_mtime_ns == before, "finished measurements are not repeated"


def test_table_reports_speedups() -> None:
    engines = {
        "keras": {"files to disk": [10.0, 20.0, 30.0], "alone": [40.0, 50.0, 60.0]},
        "onnxruntime": {"files to disk": [20.0, 50.0, 90.0], "alone": [100.0, 100.0, 100.0]},
    }
    found = {
        "multiply_adds": 500_000_000,
        "images": 7,
        "views": 1,
        "size": 224,
        "processors": 2,
        "reading": [70.0, 80.0, 90.0],
        "plain Keras": [5.0, 10.0, 10.0],
        "sgemm": [{"own choice": 100.0, "SkylakeX": 200.0}] * 3,
        "engines": engines,
    }
    lines = extraction_report.table({"net": found}).splitlines()
    keras, onnx = "2.00 (2.00 to 3.00) | 1.00 (1.00 to 1.00)", "5.00 (4.00 to 9.00) | 2.50"
    assert lines[2] == f"| net, keras | 20 | {keras} | 50 | 80 | 10% | 25% |"
    assert lines[3] == f"| net, onnxruntime | 50 | {onnx} (2.00 to 3.00) | 100 | 80 | 25% | 50% |"
    assert "sgemm 100 (own choice), 200 (SkylakeX) GFLOP/s, plain Keras 10 images/s" in lines[5]
