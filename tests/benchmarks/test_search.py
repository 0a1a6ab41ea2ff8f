"""The benchmark of searches: extrapolation, the table, and a run of both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import search
from tests.support.tiny import write_images


def _own(cold: float, warm: float, scores: list[float | None]) -> dict[str, Any]:
    return {
        "import_s": 4.0,
        "cold": {"seconds": cold, "scores": scores},
        "warm": {"seconds": warm, "scores": scores},
    }


def _result() -> dict[str, Any]:
    return {
        "own": {
            "2": [_own(10.0, 6.0, [0.5, 0.6]), _own(20.0, 8.0, [0.5, 0.6])],
            "4": [_own(12.0, 7.0, [0.5, None, 0.9, 0.7]), _own(24.0, 9.0, [0.5, None, 0.9, 0.7])],
        },
        "peer": {
            "seconds": 250.0,
            "epochs": 10,
            "trials": [{"seconds": 90.0, "accuracy": 0.4}, {"seconds": 110.0, "accuracy": 0.8}],
        },
        "rounds": 2,
        "backbone": "net",
        "size": 224,
    }


def test_peer_is_extrapolated_from_its_mean_trial() -> None:
    peer = _result()["peer"]
    assert search.extrapolate_peer(peer, 2) == 250
    assert search.extrapolate_peer(peer, 100) == 250 + 98 * 100
    assert search.compute_speedups(_result(), 4) == [450 / 12, 450 / 24]


def test_table_marks_extrapolated_figures() -> None:
    table = search.table(_result())
    lines = table.splitlines()
    assert lines[2] == (
        "| 2 | 15.0 (10.0 to 20.0) | 7.0 | 3.0 | 250 | 19 (12 to 25) | 0.6000 | 0.6000 | 0.8000 |"
    )
    assert lines[3] == (
        "| 4 | 18.0 (12.0 to 24.0) | 8.0 | 4.0 | 450, extrapolated | 28 (19 to 38) "
        "| 0.9000 | 0.5000 | 0.8000 |"
    )
    assert "The peer really ran 2 trials of 10 epochs, in 90.0 to 110.0 s each" in table


def test_plot_is_drawn(tmp_path: Path) -> None:
    search.plot(_result(), tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 1000


def test_failed_command_raises_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Unknown table"):
        search.run([*search.ZOO, "list", "no-such-table"], tmp_path / "list.log")


@pytest.mark.slow
def test_both_sides_train_the_same_trials(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val")):
        write_images(tmp_path / "photos" / part, 8, seed)

    def measure() -> None:
        search.main(
            tmp_path / "photos",
            tmp_path / "out",
            backbone="micro_resnet_s.cifar10",
            size=32,
            counts="2",
            epochs=2,
            peer_trials=2,
            rounds=1,
        )

    measure()
    result = json.loads((tmp_path / "out" / "search.json").read_text())
    found = json.loads((tmp_path / "out" / "own-2-0" / "cold" / "search.json").read_text())
    own = [trial["hyperparameters"] for trial in found["trials"]]
    assert own == [trial["values"] for trial in result["peer"]["trials"]]
    assert all(0 <= trial["accuracy"] <= 1 for trial in result["peer"]["trials"])
    assert (tmp_path / "out" / "search.md").read_text() == search.table(result)
    pieces = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*-*.json")}
    measure()
    assert {path: path.stat().st_mtime_ns for path in pieces} == pieces
