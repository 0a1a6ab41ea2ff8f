"""The notebook of the lecture runs from its first cell to its last."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATH = ROOT / "examples" / "lecture.ipynb"


def test_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
    assert sum("rerun(" in "".join(cell["source"]) for cell in cells) == 1 + 5
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_notebook_reruns_five_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(PATH, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    studies = sorted(path.name for path in (tmp_path / "studies").iterdir())
    assert len(studies) == 5
    (printed,) = notebook.cells[-1].outputs
    for line in ("perceptron: holds", "backpropagation: holds", "initialization: holds"):
        assert line in printed.text
    images = [output for cell in notebook.cells for output in cell.get("outputs", ())
              if "image/png" in output.get("data", {})]  # fmt: skip
    assert len(images) == 5
