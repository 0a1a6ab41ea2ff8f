"""Run: what is damaged is named, in one line, and nothing is overwritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.serving.run import Run
from pipelines.training.train import train
from zoo.errors import InputError, RunError, WeightsError


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    """A copy of a finished run, to be damaged."""
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


DAMAGE = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "another kind": lambda content: b"[1" * 40,
    "flipped bits": lambda content: content[:9] + bytes(b ^ 255 for b in content[9:]),
}


def _damage(file: Path, kind: str) -> None:
    content = DAMAGE[kind](file.read_bytes())
    file.unlink()
    if content is not None:
        file.write_bytes(content)


READERS: dict[str, Callable[[Run], object]] = {
    "metrics.json": lambda run: run.metrics,
    "confusion.csv": lambda run: run.metrics,
    "labels.json": lambda run: run.class_names,
    "images.json": lambda run: run.digests("val"),
}


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "gone"])
@pytest.mark.parametrize("name", READERS)
def test_damaged_record_is_named(name: str, kind: str, run: Run) -> None:
    _damage(run.path / name, kind)
    with pytest.raises(RunError, match=name) as caught:
        READERS[name](run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.json", '{"train": 3}'),
        ("metrics.json", '{"val": {"tasks": {"color": "red"}}}'),
        ("metrics.json", '{"val": {"accuracy": 1.0, "num_images": "30"}}'),
        ("metrics.json", '{"timing": [1]}'),
        ("images.json", '{"val": [3]}'),
        ("images.json", '{"val": "00ff"}'),
        ("search.json", '{"trials": {"0": 1}}'),
    ],
)
def test_record_of_other_types_is_named(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    run = Run(tmp_path)
    with pytest.raises(RunError, match=rf"{name} is damaged; expected .* a valid .*; received"):
        run.search if name == "search.json" else READERS[name](run)


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_model_is_named(kind: str, run: Run) -> None:
    _damage(run.model_file, kind)
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded; received") as caught:
        run.load_model()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "gone"])
def test_damaged_checkpoint_is_named_and_kept(kind: str, run: Run) -> None:
    (run.path / "metrics.json").unlink()
    _damage(run.checkpoint_file, kind)
    before = run.checkpoint_file.read_bytes()
    with pytest.raises(RunError, match=r"last\.npz is damaged") as caught:
        train(None, out=run.path, resume=True)
    assert "\n" not in str(caught.value)
    assert run.checkpoint_file.read_bytes() == before


def test_classes_that_do_not_fit_the_model_are_refused(run: Run) -> None:
    (run.path / "labels.json").write_text(json.dumps(["red", "green"]))
    with pytest.raises(RunError, match=r"do not belong together; expected probabilities of 2; "):
        run.load_model()


@pytest.mark.parametrize("name", ["file/run", "x" * 300])
def test_directory_that_cannot_be_made_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(InputError, match=r"cannot be written"),
        Run.claim(tmp_path / name, resume=False),
    ):
        pass
    assert (tmp_path / "file").read_text() == "in the way"


def test_images_of_each_split_are_known_by_content(tiny_run: Run) -> None:
    splits = [tiny_run.digests(split) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [30, 6, 0]
    assert not set(splits[0]) & set(splits[1])


def test_finished_run_needs_its_own_files_alone(
    run: Run,
    tiny_run: Run,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # That the export predicts as the run is seen in tests of the export.
    monkeypatch.setattr("zoo.export.savedmodel.check_savedmodel", lambda *_: 0.0)
    text = run.recipe_file.read_text()
    assert 'name = "micro_resnet_s"' in text
    gone = tmp_path / "gone" / "pretrained.npz"
    run.recipe_file.write_text(text.replace('"micro_resnet_s"', f'"{gone}"'))
    image = tiny_folder / "red" / "000.jpg"
    assert run.predict(image) == tiny_run.predict(image)
    measured = run.evaluate(tiny_folder, split="val")
    assert measured == tiny_run.evaluate(tiny_folder, split="val")
    assert run.export(tmp_path / "exported").is_dir()
    run.model_file.unlink()
    with pytest.raises(WeightsError, match=r"gone/pretrained\.npz"):
        _ = run.recipe
