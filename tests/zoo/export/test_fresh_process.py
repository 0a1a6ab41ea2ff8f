"""The process that proves an export: what it can import, and that it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.export.fresh_process import search_path
from zoo.files import placing_folder, scratch_folder

# No TensorFlow here: the process fails where it would load the model, once it has found it.
PROVE = """
import sys
from pathlib import Path
from typing import Any
from zoo.errors import ExportError
from zoo.export.fresh_process import predict_in_fresh_process
try:
    predict_in_fresh_process(Path(sys.argv[1]), [])
except ExportError as error:
    print(error)
"""

EXPORT = """
import sys
from pathlib import Path
from typing import Any
from zoo.export.fresh_process import predict_in_fresh_process
from zoo.files import placing_folder
with placing_folder(Path(sys.argv[1])) as folder:
    predict_in_fresh_process(folder, [])
"""


def test_search_path_is_that_of_this_process_without_the_project(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site = sysconfig.get_path("purelib")
    monkeypatch.setattr(sys, "path", ["", str(root), "below", site])
    assert search_path() == [str(tmp_path), str(tmp_path / "below"), site]


def _set_variable(site: str, base: Path) -> dict[str, str]:
    return {"PYTHONPATH": site}


def _link_user_site(site: str, base: Path) -> dict[str, str]:
    paths = sysconfig.get_paths(
        sysconfig.get_preferred_scheme("user"), {"userbase": str(base / "home")}
    )
    folder = Path(paths["purelib"])
    folder.parent.mkdir(parents=True)
    folder.symlink_to(site)
    return {"PYTHONUSERBASE": str(base / "home")}


@pytest.mark.slow
@pytest.mark.parametrize("install", [_set_variable, _link_user_site])
def test_packages_outside_the_interpreter_are_found(
    install: Callable[[str, Path], dict[str, str]], root: Path, tmp_path: Path
) -> None:
    interpreter = getattr(sys, "_base_executable", sys.executable)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= install(sysconfig.get_path("purelib"), tmp_path)
    command = [interpreter, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{PROVE}"]
    done = subprocess.run(
        [*command, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "ZOO_CACHE": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "SavedModel file does not exist" in done.stdout


@pytest.mark.train
def test_project_is_absent_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    gate = root / "zoo" / "export" / "gate.py"
    for package in ("zoo", "pipelines.serving"):
        script = (
            f"import runpy, sys; sys.path.insert(0, {str(root)!r}); "
            f"Absent = runpy.run_path({str(gate)!r})['Absent']; "
            f"sys.meta_path.insert(0, Absent(['zoo', 'pipelines'])); import {package}"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert "ModuleNotFoundError" in done.stderr, package


@pytest.mark.train
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_killed_export_leaves_neither_its_process_nor_a_folder(root: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(scratch)}
    to = tmp_path / "models" / "insects"
    with subprocess.Popen([sys.executable, "-c", EXPORT, str(to / "1")], env=environment) as parent:
        (child,) = _wait_for(lambda: _children(parent.pid))
        _wait_for(lambda: list(scratch.glob("*/job.json")))
        _wait_for(lambda: b"gate.py" in Path(f"/proc/{child}/cmdline").read_bytes())
        parent.send_signal(signal.SIGKILL)
    _wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert not list(scratch.iterdir())
    assert len(list(to.iterdir())) == 1, "the half-written folder"
    with placing_folder(to / "1"):
        pass
    assert [path.name for path in to.iterdir()] == ["1"]


def test_scratch_folder_of_a_killed_process_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, others = tmp_path / ".zoo.0123abcd", tmp_path / ".other.0123abcd"
    left.mkdir()
    others.mkdir()
    with scratch_folder() as outer, scratch_folder() as inner:
        assert outer.stat().st_mode & 0o077 == 0
        assert {outer, inner, others} == set(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == [others]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _wait_for(condition: Callable[[], Any], deadline_s: float = 60.0) -> Any:
    until = time.monotonic() + deadline_s
    while not (result := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return result
