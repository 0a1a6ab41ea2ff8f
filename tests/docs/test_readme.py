"""The README is short, and what it and the other pages name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINK = re.compile(r"\]\((?!https?://|#)([^)\s#]+)(#[^)]*)?\)")
# The reference is generated; a page names a setting between backticks.
SETTING = re.compile(r"(?<!`)`([a-z_]+\.(?!(?:py|npz|json)`)[a-z_.NAME]+)(?: = [^`]*)?`(?!`)")
PATH = re.compile(r"`((?:zoo|tuning|pipelines|tests|docs|examples)/[\w./]+)`")

PAGES = [
    path
    for path in sorted(
        (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "saved_models" / "README.md")
    )
    if "_build" not in path.parts and path.name != "CHANGELOG.md"
]


def read_prose(page: Path) -> str:
    """Returns a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def test_readme_has_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_exist(page: Path) -> None:
    text = read_prose(page)
    linked = [page.parent / found[1] for found in LINK.finditer(text)]
    # `make docs` makes docs/_build.
    named = [ROOT / found[1] for found in PATH.finditer(text) if "_build" not in found[1]]
    assert [str(path) for path in (*linked, *named) if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_settings_exist(page: Path) -> None:
    from pipelines.recipe.overrides import setting_paths
    from pipelines.recipe.settings import RecipeSettings
    from pipelines.recipe.task_sections import TaskConfig

    known = {*setting_paths(RecipeSettings), *setting_paths(TaskConfig, "tasks.NAME.")}
    sections = set(RecipeSettings.model_fields)
    named = {found[1] for found in SETTING.finditer(read_prose(page))}
    assert {name for name in named if name.split(".")[0] in sections} <= known
