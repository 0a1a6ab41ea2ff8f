"""Architecture: imports point down, no two modules import each other, the tree is tidy."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("transfer_zoo", "pipelines", "tuning", "zoo")
# The public face is one module; the other packages are made of rooms.
HOUSE = PACKAGES[1:]
MAX_LINES = 350
# The files and folders that may stand at the top level of the repository.
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "NOTICE",
    "README.md",
    "SECURITY.md",
    "benchmarks",
    "constraints-kerashub.txt",
    "constraints.txt",
    "docs",
    "examples",
    "pipelines",
    "pyproject.toml",
    "saved_models",
    "tests",
    "tools",
    "transfer_zoo",
    "tuning",
    "zoo",
}
# Where Markdown may stand; elsewhere prose belongs in docstrings.
MARKDOWN = re.compile(
    r"[A-Z]+\.md|docs/.+|(examples|saved_models)/README\.md"
    r"|zoo/pretrained/.+|pipelines/sources/signs/signs\.md"
)


def tracked() -> list[str]:
    """Returns the repository's files, by git where there is a checkout, else by the folder."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        # A file that is removed and not yet committed is still listed.
        return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return [
        name.as_posix()
        for name in names
        if not any(fnmatch(part, pattern) for part in name.parts for pattern in (*ignored, ".git"))
    ]


def sources() -> Iterator[tuple[str, str]]:
    """Yields the name and the text of every Python file of the packages."""
    for name in tracked():
        if name.endswith(".py") and name.split("/")[0] in PACKAGES:
            yield name, (ROOT / name).read_text(encoding="utf-8")


def module_of(name: str) -> str:
    """Returns the module that a file holds: `zoo.heads` for zoo/heads/__init__.py."""
    return name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def contract(container: str = "") -> list[str]:
    """Returns the rooms from top to bottom, as pyproject.toml has them.

    Args:
        container: A package with rooms of its own; empty for the house.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    containers = [container] if container else []
    (layers,) = (
        entry["layers"]
        for entry in settings["contracts"]
        if entry.get("containers", []) == containers
    )
    return list(layers)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports of the packages: lazy ones, those for type checkers, and those by name."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    for name, text in sources():
        for node in ast.walk(ast.parse(text)):
            # What `importlib.import_module` is given, or what another process is to run.
            if isinstance(node, ast.Constant) and node.value in graph.modules - set(PACKAGES):
                graph.add_import(importer=module_of(name), imported=node.value)
    return graph


def test_graph_has_every_module_and_every_kind_of_import(graph: grimp.ImportGraph) -> None:
    assert {module_of(name) for name, _ in sources()} == graph.modules
    for importer, imported in (
        ("pipelines.cli.main", "pipelines.cli.commands"),
        ("pipelines.sources.listing.tfds", "pipelines.sources.textures.builder"),
    ):
        assert graph.direct_import_exists(importer=importer, imported=imported)


def test_no_modules_import_each_other(graph: grimp.ImportGraph) -> None:
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail("modules import each other: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize("container", ["", "pipelines.sources"])
def test_imports_point_down(graph: grimp.ImportGraph, container: str) -> None:
    upwards = [
        f"{room.importer} -> {room.imported}, from {sorted(route.heads)} to {sorted(route.tails)}"
        for room in graph.find_illegal_dependencies_for_layers(
            layers=contract(container), containers={container} if container else None
        )
        for route in room.routes
    ]
    assert not upwards


def test_contract_has_every_room_once(graph: grimp.ImportGraph) -> None:
    rooms = [room for package in HOUSE for room in graph.find_children(package)]
    assert sorted(contract()) == sorted(["transfer_zoo", *rooms])
    rooms = [room.rpartition(".")[2] for room in graph.find_children("pipelines.sources")]
    assert sorted(contract("pipelines.sources")) == sorted(rooms)


def test_packages_themselves_import_nothing(graph: grimp.ImportGraph) -> None:
    for package in HOUSE:
        assert not graph.find_modules_directly_imported_by(package), package
        assert not graph.find_modules_that_directly_import(package), package


def test_files_stay_short() -> None:
    lengths = {name: len(text.splitlines()) for name, text in sources()}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


def test_production_code_cites_papers_and_no_notes() -> None:
    def cites_notes(text: str) -> bool:
        return bool(re.search(r"\bthe[\s#]+notes\b", text, re.IGNORECASE))

    assert cites_notes("as in\n    # the\n    # Notes, page 3")
    assert not [name for name, text in sources() if cites_notes(text)]


def test_private_api_of_libraries_is_imported_in_one_file() -> None:
    private = re.compile(
        r"(from|import) ((keras|keras_tuner)\.src|tensorflow_datasets\.core|tensorflow\.python)\b"
    )
    found = {name for name, text in sources() if private.search(text)}
    assert found == {"zoo/private_api.py"}


def test_no_file_is_a_drawer_of_odds_and_ends() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not [name for name, _ in sources() if name.rpartition("/")[2] in drawers]


def test_top_level_holds_what_belongs_there() -> None:
    assert not {name.split("/")[0] for name in tracked()} - TOP_LEVEL


def test_no_stray_files() -> None:
    stray = [
        name
        for name in tracked()
        if re.search(r"\.(orig|rej|bak|tmp|log|swp|pyc)$|~$|(^|/)NOTE", name)
        or (name.endswith(".md") and not MARKDOWN.fullmatch(name))
    ]
    assert not stray


def test_tests_mirror_the_rooms(graph: grimp.ImportGraph) -> None:
    folders = {Path(name).parent.as_posix() for name in tracked() if name.startswith("tests/")}
    rooms = {folder.removeprefix("tests/").replace("/", ".") for folder in folders} - {"tests"}
    mirrored = {room for room in rooms if room.split(".")[0] in PACKAGES}
    assert mirrored <= graph.modules
    assert rooms - mirrored == {"benchmarks", "docs", "end_to_end", "examples", "support", "tools"}
