"""`zoo predict` sees in every kind of file what Pillow shows of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.cli.main import run_command
from pipelines.serving.run import Run
from tests.support.image_matrix import build_matrix, encode, show

pytestmark = pytest.mark.train

_EXTENSIONS = {"JPEG": "jpg"}


def test_predict_sees_what_pillow_shows(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = build_matrix()
    for index, (name, content) in enumerate(matrix.items()):
        kind = name.split()[0].rstrip(",")
        (tmp_path / f"{index:03d}_file.{_EXTENSIONS.get(kind, kind.lower())}").write_bytes(content)
        shown = encode(Image.fromarray(show(content)), "PNG")
        (tmp_path / f"{index:03d}_shown.png").write_bytes(shown)
    command = ["predict", str(tiny_run.path), str(tmp_path), "--json", "--top", "3"]
    assert run_command(command) == 0
    captured = capsys.readouterr()
    found = {
        Path(answer["image"]).name[:5]: dict(
            zip(answer["classes"], answer["probabilities"], strict=True)
        )
        for answer in json.loads(captured.out)["predictions"]
    }
    assert len(found) == 2 * len(matrix)
    rows = []
    for index, name in enumerate(matrix):
        of_file, of_shown = found[f"{index:03d}_f"], found[f"{index:03d}_s"]
        rows.append(list(of_shown.values()))
        for label, probability in of_shown.items():
            assert of_file[label] == pytest.approx(probability, abs=1e-5), name
    # They are not all alike to this run.
    assert np.ptp(np.sort(rows, axis=1)[:, -1]) > 1e-3
    assert captured.err == ""
