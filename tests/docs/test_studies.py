"""The gallery shows every study; every technique has its setting and what tests it."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipelines.cli.tables import TABLES
from pipelines.studies.catalog import STUDIES
from pipelines.studies.study import Check, verdict_of
from tests.conftest import ROOT

KEPT = ROOT / "docs" / "studies"
PAGE = ROOT / "docs" / "concepts" / "techniques.md"

# Tables whose rows are techniques. `none` of a table is no technique.
OF_TECHNIQUES = (
    *("initializers", "activations", "optimizers", "schedules", "penalties", "clippings"),
    *("losses", "normalizations", "augmentations", "policies", "pretraining_methods", "tasks"),
)


@pytest.mark.parametrize("name", STUDIES)
def test_result_of_every_study_is_kept(name: str) -> None:
    found = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    study = STUDIES[name]
    assert (found["study"], found["claim"], found["source"]) == (
        study.name,
        study.summary,
        study.source,
    )
    checks = [Check(**check) for check in found["checks"]]
    assert verdict_of(checks).value == found["verdict"]
    assert checks
    assert all(check.rule and check.seen for check in checks)
    assert found["effort"] == {"seeds": 5, "full": False}
    with Image.open(KEPT / f"{name}.png") as figure:
        assert figure.width <= 1100


def test_what_is_kept_is_small_and_of_no_other_study() -> None:
    files = list(KEPT.iterdir())
    assert {file.stem for file in files} == set(STUDIES)
    assert sum(file.stat().st_size for file in files) < 2_000_000


def rows() -> Iterator[tuple[str, str, str]]:
    """Yields technique, setting and test of each row of the page."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "technique":
            yield cells[0], cells[1], cells[2]


def test_no_technique_is_missing() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)`", " ".join(technique for technique, _, _ in rows())))
    for table in OF_TECHNIQUES:
        assert set(TABLES[table].load()) - {"none"} <= named, table


def test_every_technique_has_its_setting_and_what_tests_it() -> None:
    import typer

    from pipelines.cli.commands import app
    from pipelines.recipe.overrides import setting_paths
    from pipelines.recipe.settings import RecipeSettings
    from pipelines.recipe.task_sections import TaskConfig

    paths = {*setting_paths(RecipeSettings), *setting_paths(TaskConfig, "tasks.NAME.")}
    commands = typer.main.get_group(app).commands.values()
    paths |= {name for command in commands for option in command.params for name in option.opts}
    for technique, setting, tested in rows():
        assert set(re.findall(r"`([^`]+)`", setting)) <= paths, technique
        assert "`" in setting, technique
        assert "](" in tested, technique


def test_every_study_tests_a_technique() -> None:
    links = re.findall(r"\[(\w+)\]\(\.\./studies\.md#([\w-]+)\)", PAGE.read_text(encoding="utf-8"))
    assert {name for name, _ in links} == set(STUDIES)
    assert all(anchor == name.replace("_", "-") for name, anchor in links)


def test_studies_have_a_file_each_and_none_is_long() -> None:
    folder = Path(importlib.import_module("pipelines.studies").__file__ or "").parent
    for study in STUDIES.values():
        module = importlib.import_module(study.judge.__module__)
        assert module.STUDY is study
    assert len({study.judge.__module__ for study in STUDIES.values()}) == len(STUDIES)
    for file in folder.glob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 125, file.name
