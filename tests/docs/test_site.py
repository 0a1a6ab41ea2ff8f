"""The site builds without a warning, and its reference has every setting, row and command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"),
            *("-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def read(site: Path, name: str) -> str:
    return (site / "reference" / f"{name}.html").read_text(encoding="utf-8")


def test_reference_has_every_setting(site: Path) -> None:
    from pipelines.recipe.overrides import setting_paths
    from pipelines.recipe.settings import RecipeSettings
    from pipelines.recipe.task_sections import TaskConfig

    page = read(site, "recipe")
    paths = [*setting_paths(RecipeSettings), *setting_paths(TaskConfig, "tasks.NAME.")]
    assert len(paths) > 70
    missing = [path for path in paths if path != "tasks" and f">{path}</span>" not in page]
    assert not missing


def test_reference_has_every_row_of_every_table(site: Path) -> None:
    from pipelines.cli.tables import TABLES

    page = read(site, "tables")
    missing = [
        f"{table}: {name}"
        for table, entry in TABLES.items()
        for name in entry.load()
        if f'<span class="pre">{name}</span></code>' not in page
    ]
    assert not missing


def test_reference_has_every_command_and_public_name(site: Path) -> None:
    import transfer_zoo as tz
    from pipelines.cli.commands import app
    from pipelines.cli.tables import TABLES

    commands = read(site, "command_line")
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert [name for name in names if f"zoo {name}" not in commands] == []
    python = read(site, "python")
    described = [name for name in tz.__all__ if f'id="transfer_zoo.{name}"' in python]
    assert set(described) >= set(tz.__all__) - set(TABLES)


def test_pages_load_nothing_from_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in ('src="http', 'rel="stylesheet" href="http', "@import"):
            assert tag not in text, page
