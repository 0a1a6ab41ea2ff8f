"""A study goes on where it was killed, and says so in one line if what it left is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.studies.run import measure_apart, study
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from zoo.errors import RunError, UnknownNameError
from zoo.files import write_json


def test_study_that_was_killed_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_folder, killed, written = tmp_path / "whole", tmp_path / "killed", []

    def write(path: Path, content: Any) -> None:
        write_json(path, content)
        written.append(path)
        if len(written) == 3:
            # What is on the disk after the third step is what a kill there would leave.
            shutil.copytree(whole_folder, killed)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.studies.steps.write_json", write)
        whole = study("perceptron", out=whole_folder, seeds=2)
    assert len(written) == 3
    assert not (killed / "perceptron" / "numbers.json").exists()
    left = json.loads((killed / "perceptron" / "steps.json").read_text())["steps"]
    assert len(left) == 3
    resumed = study("perceptron", out=killed, seeds=2)
    assert resumed.to_json()["checks"] == whole.to_json()["checks"]
    numbers = [
        json.loads((tmp_path / kind / "perceptron" / "numbers.json").read_text())["numbers"]
        for kind in ("whole", "killed")
    ]
    assert numbers[0] == numbers[1]
    assert (resumed.folder / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_study_in_a_process_of_its_own_is_measured_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert measure_apart("perceptron", out=tmp_path, seeds=2) == 0
    out, err = capfd.readouterr()
    assert not out
    assert "perceptron: XOR" in err
    with caplog.at_level("INFO", "pipelines"):
        finding = study("perceptron", out=tmp_path, seeds=2)
    assert not caplog.messages
    assert finding.seconds > 0


def test_finished_step_is_not_measured_again(tmp_path: Path) -> None:
    file, measured = tmp_path / "steps.json", []

    def measure() -> int:
        measured.append(1)
        return 7

    for fingerprint, count in (("a", 1), ("a", 1), ("b", 2)):
        assert Steps(file, fingerprint)("step", measure) == 7
        assert len(measured) == count
    assert Steps(file, "b").seconds >= 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'{"fingerprint": "f"}',
        b'{"fingerprint": "f", "steps": [1], "seconds": 1}',
        b'{"fingerprint": "f", "steps": {}, "seconds": "long"}',
        b"\xff\xfe",
    ],
)
def test_damaged_steps_are_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "steps.json"
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"steps\.json is damaged.*delete it") as caught:
        Steps(file, "f")
    assert len(str(caught.value).splitlines()) == 1


def test_unknown_study_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'perceptron'"):
        study("percepton", out=tmp_path)


def test_intervals_are_those_of_scipy() -> None:
    from scipy import stats

    values, others = [0.3, 0.5, 0.9, 0.2], [0.1, 0.5, 0.6, 0.4]
    for found, samples in (
        (mean_interval(values), values),
        (mean_gain(values, others), [a - b for a, b in zip(values, others, strict=True)]),
    ):
        low, high = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
        assert found == pytest.approx(((low + high) / 2, (high - low) / 2))
