"""`zoo study`: its list, its JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli.main import run_command
from pipelines.studies.catalog import STUDIES


def test_list_shows_every_study_for_people_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["study", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in STUDIES)
    assert run_command(["study", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["studies"]
    assert [(row["name"], row["claim"]) for row in rows] == [
        (study.name, study.summary) for study in STUDIES.values()
    ]


def test_study_tells_its_verdict_and_writes_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["study", "perceptron", "--out", str(tmp_path), "--seeds", "2"]
    assert run_command(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "perceptron: holds"
    assert lines[1].strip() == STUDIES["perceptron"].summary
    assert [line.split()[0] for line in lines[2:-1]] == ["yes"] * 3
    assert {file.name for file in (tmp_path / "perceptron").iterdir()} == {
        "figure.png",
        "numbers.json",
        "steps.json",
    }
    assert run_command([*arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["studies"]
    written = json.loads((tmp_path / "perceptron" / "numbers.json").read_text())
    assert {key: written[key] for key in found} == found
    assert (found["verdict"], written["effort"]) == ("holds", {"seeds": 2, "full": False})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "expected NAME or --all; received neither"),
        (["perceptron", "--all"], "expected NAME or --all; received both"),
        (["perceptron"], "expected --out FOLDER"),
        (["percepton", "--out", "x"], "Did you mean 'perceptron'"),
        (["--all"], "expected --out FOLDER"),
        (["perceptron", "--out", "x", "--seeds", "1"], "--seeds"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["study", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert line in captured.err


def test_damaged_steps_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "perceptron").mkdir()
    (tmp_path / "perceptron" / "steps.json").write_text('{"steps": ')
    assert run_command(["study", "perceptron", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "steps.json is damaged" in line
    assert "delete it" in line
