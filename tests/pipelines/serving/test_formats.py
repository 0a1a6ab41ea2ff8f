"""Every format beside SavedModel, by the command line: exported, predicted with and measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.evaluation.evaluate import evaluate
from pipelines.serving.predict import predict
from pipelines.serving.run import Run
from pipelines.storage.exported_network import MAX_NETWORK_BYTES, find_exported_network
from tests.support.code_blocks import read_code_blocks
from tests.support.command_line import fails
from tests.support.key_pairs import write_pair
from zoo.errors import RunError
from zoo.export.formats import FORMATS

pytestmark = pytest.mark.train

PORTABLE = [
    pytest.param(name, marks=pytest.mark.slow if name == "openvino" else [])
    for name, row in FORMATS.items()
    if row.convert
]
RUN_CARD = "import sys; sys.path[:0] = ['', {!r}]; exec(sys.stdin.read())"


@pytest.fixture(scope="module")
def exported(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports the run in a format, once, by the command line; signed."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("models")
    private, _ = write_pair(folder, "sign")

    def export(name: str) -> Path:
        if name not in made:
            to = folder / name
            command = ["export", str(tiny_run.path), "--to", str(to), "--format", name]
            assert run_command([*command, "--sign", str(private)]) == 0
            made[name] = to
        return made[name]

    return export


@pytest.mark.parametrize("name", PORTABLE)
def test_answers_are_those_of_the_run(
    name: str, exported: Callable[[str], Path], tiny_run: Run, tiny_folder: Path
) -> None:
    found = predict(exported(name), tiny_folder)
    expected = tiny_run.predict(tiny_folder)
    assert [each.image for each in found] == [each.image for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.classes == other.classes
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)


@pytest.mark.parametrize("name", PORTABLE)
def test_metrics_are_those_of_the_run(
    name: str,
    exported: Callable[[str], Path],
    tiny_run: Run,
    tiny_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["evaluate", str(exported(name)), str(tiny_folder), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["all"]
    expected = tiny_run.evaluate(tiny_folder, split="all")["all"]
    assert measured["confusion_matrix"] == expected["confusion_matrix"]
    assert measured["loss"] == pytest.approx(expected["loss"], abs=1e-4)


@pytest.mark.parametrize("name", PORTABLE)
def test_code_of_the_card_runs_with_the_runtime_alone(
    name: str,
    exported: Callable[[str], Path],
    tiny_run: Run,
    tiny_folder: Path,
    lone_environment: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(exported(name) / "1", tmp_path / "elsewhere")
    image = next((tiny_folder / "red").iterdir())
    shutil.copy(image, folder / "new.jpg")
    card = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = [block.text for block in read_code_blocks(card) if block.language == "python"]
    program = RUN_CARD.format(str(lone_environment(FORMATS[name].packages[0])))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-I", "-S", "-B", "-c", program],
        input=code,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == tiny_run.predict(image)[0].label


def test_card_says_what_it_is_how_good_it_is_and_where_from(
    exported: Callable[[str], Path], tiny_run: Run
) -> None:
    card = (exported("onnx") / "1" / "README.md").read_text(encoding="utf-8")
    assert "one of 3 classes" in card
    assert f"| val | 6 | accuracy | {tiny_run.metrics['val']['accuracy']:.4f} (" in card
    assert "colors" in card
    assert "micro_resnet_s" in card
    assert re.search(r"`model\.onnx` \| [\d,]+ \| `[0-9a-f]{64}`", card)
    assert "--format onnx" in card


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"model.onnx": b"none"}, "cannot be opened"),
        ({"model.json": b"{"}, r"model\.json cannot be read"),
        ({"model.json": b'{"format": "savedmodel"}'}, r"model\.json cannot be read"),
        ({"labels.txt": b"a\nb\n"}, "3 values, and 2 are described"),
        ({"labels.txt": None}, r"expected labels\.txt or tasks\.json"),
        ({"model.onnx": None}, "cannot be opened"),
    ],
)
def test_damaged_export_is_an_error_of_one_line(
    damage: dict[str, bytes | None],
    message: str,
    exported: Callable[[str], Path],
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(exported("onnx") / "1", tmp_path / "model")
    for name, content in damage.items():
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
    for ask in (predict, evaluate):
        with pytest.raises(RunError, match=message) as caught:
            ask(folder, str(tiny_folder))
        assert str(caught.value).endswith("write it by `zoo export`")


def test_network_beyond_a_size_is_not_parsed(
    exported: Callable[[str], Path], tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported("onnx") / "1", tmp_path / "model")
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(MAX_NETWORK_BYTES + 1)
    with pytest.raises(RunError, match="has 4,294,967,297 bytes, above 4,294,967,296"):
        predict(folder, tiny_folder)


def test_file_that_never_ends_is_not_opened(
    exported: Callable[[str], Path], tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported("onnx") / "1", tmp_path / "model")
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(RunError, match=r"model\.onnx is no regular file"):
        predict(folder, tiny_folder)


def test_newest_version_counts_whatever_its_format(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    version = exported("onnx") / "1"
    to = tmp_path / "model"
    shutil.copytree(version, to / "9")
    shutil.copytree(version, to / "10")
    assert find_exported_network(to) == to / "10"
    (to / "11").mkdir()
    (to / "11" / "saved_model.pb").write_bytes(b"")
    assert find_exported_network(to) is None
    assert find_exported_network(tmp_path / "nothing") is None


def test_signature_is_verified(
    exported: Callable[[str], Path],
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = exported("onnx")
    public = str(model.parent / "sign.pub")
    image = str(next((tiny_folder / "red").iterdir()))
    assert run_command(["predict", str(model), image, "--verify", public]) == 0
    capsys.readouterr()
    changed = shutil.copytree(model, tmp_path / "changed")
    with (changed / "1" / "labels.txt").open("a") as file:
        file.write("another\n")
    line = fails(capsys, ["predict", str(changed), image, "--verify", public])
    assert "labels.txt, which has changed since it was signed" in line


def test_quantization_that_a_format_lacks_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "nowhere", "--to", str(tmp_path / "m"), "--format", "onnx"]
    line = fails(capsys, [*command, "--quantize", "int4"])
    assert "the format onnx has no quantization 'int4'; expected none or float16" in line
    proposed = line.rpartition("; ")[2].split()
    assert "nowhere is no run" in fails(capsys, [*command, *proposed])
    assert "Unknown format 'onx'. Did you mean 'onnx'?" in fails(capsys, [*command[:-1], "onx"])
    command[-1] = "savedmodel"
    line = fails(capsys, [*command, "--quantize", "int8"])
    assert "the format savedmodel has no quantization 'int8'; expected none" in line
    assert line.endswith("--quantize none")
    assert "nowhere is no run" in fails(capsys, [*command, "--quantize", "none"])


@pytest.mark.slow
def test_python_takes_the_same_settings(tiny_run: Run, tmp_path: Path) -> None:
    version = tiny_run.export(tmp_path / "m", format="litert", quantize="float16")
    described: dict[str, Any] = json.loads((version / "model.json").read_text())
    assert (described["format"], described["quantize"]) == ("litert", "float16")
