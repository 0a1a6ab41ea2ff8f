"""Evaluation: new images, the images of a run in their splits, and pretrained files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from pipelines.cli.main import run_command
from pipelines.cli.printing import print_evaluation
from pipelines.evaluation.classification import compute_classification_metrics
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.pictures import draw_predictions
from pipelines.evaluation.predictions import Answers
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.source import Examples
from tests.support.remedies import proposed_settings
from tests.support.tiny import CLASSES, TINY, write_images
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import DataError, InputError, NoImagesError, RunError, UndecodableError
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.tasks import classification
from zoo.weights.archive import Card, write_pretrained

Say = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the run's classes that it never saw; tests copy it."""
    return write_images(tmp_path_factory.mktemp("fresh") / "colors", 5, seed=1)


def _copy(run: Run, to: Path, source: Path) -> Run:
    """Returns a copy of a run that was trained, so it says, on `source`."""
    shutil.copytree(run.path, to)
    old, new = json.dumps(run.recipe.data.source), json.dumps(str(source))
    text = (to / "recipe.toml").read_text(encoding="utf-8")
    assert old in text
    (to / "recipe.toml").write_text(text.replace(old, new), encoding="utf-8")
    return Run.open(to)


def test_new_images_are_one_split_without_a_warning(
    tiny_run: Run, fresh: Path, capsys: Say
) -> None:
    measured = evaluate(tiny_run, fresh)
    assert list(measured) == ["all"]
    assert measured["all"]["num_images"] == 15
    assert capsys.readouterr().err == ""
    assert evaluate(tiny_run, fresh, split="all") == measured


def _one_each(folder: Path) -> None:
    for file in folder.rglob("*.jpg"):
        if file.stem != "000":
            file.unlink()


def _class_absent(folder: Path) -> None:
    shutil.rmtree(folder / "green")


def _class_empty(folder: Path) -> None:
    for file in (folder / "red").iterdir():
        file.unlink()
    shutil.rmtree(folder / "blue")


def _test_alone(folder: Path) -> None:
    moved = folder.rename(folder.with_name("moved"))
    folder.mkdir()
    moved.rename(folder / "Test")
    (folder / "Test" / "note.png").write_bytes(b"")


def _val_and_test(folder: Path) -> None:
    _test_alone(folder)
    shutil.copytree(folder / "Test", folder / "valid", ignore=shutil.ignore_patterns("blue"))


def _train_and_test(folder: Path) -> None:
    _test_alone(folder)
    shutil.copytree(folder / "Test", folder / "train")


@pytest.mark.parametrize(
    ("change", "counts", "support"),
    [
        (_one_each, {"all": 3}, [1, 1, 1]),
        (_class_absent, {"all": 10}, [5, 0, 5]),
        (_class_empty, {"all": 5}, [0, 5, 0]),
        (_test_alone, {"test": 15}, [5, 5, 5]),
        (_val_and_test, {"test": 15, "val": 10}, [5, 5, 5]),
        (_train_and_test, {"train": 15, "test": 15}, [5, 5, 5]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_data_that_cannot_be_trained_on_can_be_evaluated_on(
    change: Callable[[Path], None],
    counts: dict[str, int],
    support: list[int],
    tiny_run: Run,
    fresh: Path,
    tmp_path: Path,
) -> None:
    data = shutil.copytree(fresh, tmp_path / "data")
    change(data)
    measured = evaluate(tiny_run, data)
    assert {split: figures["num_images"] for split, figures in measured.items()} == counts
    first = measured[next(iter(counts))]
    assert [c["support"] for c in first["per_class"].values()] == support
    assert list(first["per_class"]) == list(CLASSES)


def test_labels_are_matched_by_name(fresh: Path, tmp_path: Path) -> None:
    data = shutil.copytree(fresh, tmp_path / "data")
    _val_and_test(data)
    found = open_evaluation_set(
        str(data), DataConfig(), classification(("red", "unseen", "green", "blue"))
    )
    for split, folder in (("test", "Test"), ("val", "valid")):
        examples = found.splits[split]
        for name, label in zip(examples.names, examples.labels, strict=True):
            assert name.split("/")[:2] == [folder, found.class_names[label]]
    joined = found.joined().splits["all"]
    assert joined.names == (*found.splits["test"].names, *found.splits["val"].names)
    assert len(joined.digests) == len(joined.labels) == len(joined) == 25
    assert joined.read(24) == (data / joined.names[24]).read_bytes()
    assert {finding.name for finding in found.skipped} == {"Test/note.png", "valid/note.png"}


def test_classes_the_model_does_not_know_are_named(
    tiny_run: Run, fresh: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(fresh, tmp_path / "data")
    (data / "red").rename(data / "rouge")
    (data / "nothing here").mkdir()
    with pytest.raises(
        DataError,
        match="the model does not know: rouge; expected blue, green, red; received blue, green",
    ):
        evaluate(tiny_run, data)


def test_skipped_images_and_outliers_are_logged(
    tiny_run: Run, fresh: Path, tmp_path: Path, capsys: Say
) -> None:
    data = shutil.copytree(fresh, tmp_path / "data")
    for file in (data / "red").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    (data / "blue" / "empty.jpg").write_bytes(b"")
    Image.new("P", (40, 40)).save(data / "green" / "placeholder.gif")
    measured = evaluate(tiny_run, data)
    # Far more than training would accept.
    assert measured["all"]["num_images"] == 11
    lines = capsys.readouterr().err.splitlines()
    assert "skipped blue/empty.jpg: empty file" in lines
    assert sum(line.startswith("skipped red/") for line in lines) == 5
    outliers = [line for line in lines if line.startswith("outlier green/placeholder.gif: ")]
    assert len(outliers) == 1
    assert outliers[0].endswith("(kept)"), "there is no --set here to leave it out by"
    assert len(lines) == 7


def test_data_without_an_image_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "red").mkdir(parents=True)
    (tmp_path / "data" / "red" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(UndecodableError, match=r"None of the 1 files .* received red/1\.jpg"):
        evaluate(tiny_run, tmp_path / "data")
    (tmp_path / "data" / "red" / "1.jpg").unlink()
    (tmp_path / "data" / "red").rmdir()
    with pytest.raises(NoImagesError, match="There is no labeled image"):
        evaluate(tiny_run, tmp_path / "data")


def test_name_that_no_file_system_holds_is_refused_in_one_line(tiny_run: Run) -> None:
    with pytest.raises(DataError, match="There is no data set 'xxx"):
        evaluate(tiny_run, "x" * 300)
    with pytest.raises(DataError, match="Cannot read the table 'xxx"):
        evaluate(tiny_run, "x" * 300 + ".csv")


def test_own_images_get_the_splits_they_had_wherever_they_lie(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, capsys: Say
) -> None:
    moved = shutil.copytree(tiny_folder, tmp_path / "moved")
    renamed = shutil.copytree(tiny_folder, tmp_path / "renamed")
    for number, file in enumerate(sorted(renamed.rglob("*.jpg"))):
        file.rename(file.with_name(f"{97 * number % 101}.jpg"))
    for data in (tiny_folder, moved, renamed):
        measured = evaluate(tiny_run, data)
        assert list(measured) == ["train", "val"]
        for split, figures in measured.items():
            assert figures["confusion_matrix"] == tiny_run.metrics[split]["confusion_matrix"]
        assert capsys.readouterr().err == (
            "the run was trained on 30 of the 36 measured images (train: 30 of 30)\n"
        )
    assert list(evaluate(tiny_run, tiny_folder, split="val")) == ["val"]
    assert capsys.readouterr().err == ""


def test_new_images_beside_own_ones_are_a_split_of_their_own(
    tiny_run: Run, tiny_folder: Path, fresh: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    own = sorted((data / "red").iterdir())
    own[0].unlink()
    for file in (fresh / "red").iterdir():
        shutil.copy(file, data / "red" / f"new {file.name}")
    measured = evaluate(tiny_run, data)
    assert list(measured) == ["train", "val", "all"]
    assert measured["train"]["num_images"] + measured["val"]["num_images"] == 35
    assert measured["all"]["num_images"] == 5
    assert measured["all"] == evaluate(tiny_run, _red_alone(fresh, tmp_path))["all"]
    assert evaluate(tiny_run, data, split="all")["all"]["num_images"] == 40


def _red_alone(fresh: Path, tmp_path: Path) -> Path:
    shutil.copytree(fresh / "red", tmp_path / "alone" / "red")
    return tmp_path / "alone"


def test_images_trained_on_are_taken_out_of_a_test_folder(
    tiny_run: Run, tiny_folder: Path, fresh: Path, tmp_path: Path
) -> None:
    shutil.copytree(fresh, tmp_path / "data" / "test")
    shutil.copytree(tiny_folder / "red", tmp_path / "data" / "test" / "red", dirs_exist_ok=True)
    measured = evaluate(tiny_run, tmp_path / "data")
    assert {split: figures["num_images"] for split, figures in measured.items()} == {
        "train": 10,
        "val": 2,
        "test": 10,
    }


def test_folder_that_was_filled_anew_is_not_the_runs_own(
    tiny_run: Run, fresh: Path, tmp_path: Path
) -> None:
    run = _copy(tiny_run, tmp_path / "run", fresh)
    assert list(evaluate(run, fresh)) == ["all"]


def test_run_without_its_record_of_images_is_damaged(
    tiny_run: Run, fresh: Path, tmp_path: Path
) -> None:
    run = _copy(tiny_run, tmp_path / "run", fresh)
    (run.path / "images.json").unlink()
    with pytest.raises(RunError, match=r"images\.json cannot be read"):
        evaluate(run, fresh)


def test_run_is_measured_without_the_images_it_was_trained_on(
    tiny_run: Run, fresh: Path, tmp_path: Path
) -> None:
    run = _copy(tiny_run, tmp_path / "run", tmp_path / "gone")
    assert list(evaluate(run, fresh)) == ["all"]


def test_split_that_is_not_there_is_refused(tiny_run: Run, fresh: Path) -> None:
    with pytest.raises(DataError, match="has no split 'val'; expected all; received val"):
        evaluate(tiny_run, fresh, split="val")
    with pytest.raises(DataError, match="there is no split 'vall'; expected all, train, val, test"):
        evaluate(tiny_run, fresh, split="vall")


def test_evaluate_command_takes_the_split_all(
    tiny_run: Run, tiny_folder: Path, capsys: Say
) -> None:
    command = ["evaluate", str(tiny_run.path), str(tiny_folder), "--split", "all", "--json"]
    assert run_command(command) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["all"]["num_images"] == 36
    assert captured.err == (
        "the run was trained on 30 of the 36 measured images (all: 30 of 36); "
        "metrics on these are too optimistic\n"
    )


@pytest.mark.train
def test_pretrained_file_is_measured_on_what_there_is(
    fresh: Path, tmp_path: Path, capsys: Say
) -> None:
    keras.utils.set_random_seed(0)
    network = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    recipe = Recipe.from_settings(TINY)
    card = Card(
        backbone="micro_resnet_s",
        class_names=CLASSES,
        preprocessing=recipe.input.preprocessing,
        data="colors",
        recipe=recipe.to_toml(),
        train_s=1.0,
        device="CPU",
        split="val",
        num_images=1,
        accuracy=1.0,
        accuracy_interval=(0.0, 1.0),
    )
    file = tmp_path / "pretrained.npz"
    write_pretrained(network.get_layer("micro_resnet_s"), network.get_layer("logits"), card, file)
    assert list(evaluate(file, fresh)) == ["all"]
    # Asked for a part, by the card's recipe.
    own = open_source(str(fresh), recipe.data, seed=recipe.seed)
    measured = evaluate(file, fresh, split="val")
    assert measured["val"]["num_images"] == len(own.val)
    data = shutil.copytree(fresh, tmp_path / "data")
    _test_alone(data)
    assert evaluate(file, data, split="test")["test"]["num_images"] == 15
    assert capsys.readouterr().err.count("skipped") == 1


def _copy_one(folder: Path, to: Path) -> None:
    """Copies the first image of a folder."""
    to.mkdir(parents=True)
    shutil.copy(folder / "000.jpg", to)


@pytest.mark.train
def test_shipped_network_is_measured_at_the_input_of_its_card(fresh: Path, tmp_path: Path) -> None:
    """The card of a network that others trained has no recipe, only the input: 240 px here."""
    for source, wordnet_id in zip(CLASSES, ("n02206856", "n02219486", "n15075141"), strict=True):
        _copy_one(fresh / source, tmp_path / wordnet_id)
    measured = evaluate("efficientnet_lite1.imagenet", tmp_path)
    assert measured["all"]["num_images"] == 3
    assert 0 <= measured["all"]["accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.train
def test_classes_are_found_by_readable_names(fresh: Path, tmp_path: Path, capsys: Say) -> None:
    network = "efficientnet_lite0.imagenet"
    by_id, by_name = tmp_path / "id", tmp_path / "name"
    folders = {"n02219486": "Emmet", "n02206856": "bee", "n02099601": "Golden_Retriever"}
    for source, (wordnet_id, name) in zip(CLASSES, folders.items(), strict=True):
        _copy_one(fresh / source, by_id / wordnet_id)
        _copy_one(fresh / source, by_name / name)
    (by_name / "no images").mkdir()
    first, second = (evaluate(network, data)["all"] for data in (by_id, by_name))
    assert len(first["per_class"]) == len(second["per_class"]) == 1000
    assert {"n02219486", "n02206856"} < set(first["per_class"])
    used = [name for name, figures in second["per_class"].items() if figures["support"]]
    assert used == ["golden retriever", "bee", "ant"]
    assert list(first["per_class"].values()) == list(second["per_class"].values())
    for figure in ("accuracy", "top5", "loss", "ece"):
        assert first[figure] == pytest.approx(second[figure])  # the images have another order

    # A second folder of a class, one by its id: the report names all by readable names.
    shutil.copytree(fresh / "red", by_name / "n02219486")
    third = evaluate(network, by_name)["all"]["per_class"]
    assert third["ant"]["support"] == 1 + 5

    (by_name / "Emmet").rename(by_name / "ants")
    assert run_command(["evaluate", network, str(by_name)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "does not know the classes of these images: ants (near: ant" in line


def test_classes_without_images_are_counted_where_there_are_many(capsys: Say) -> None:
    names = tuple(f"class {i}" for i in range(20))
    probabilities = np.full((3, 20), 0.05, np.float32)
    figures = compute_classification_metrics(np.array([0, 1, 1]), probabilities, names)
    print_evaluation({"all": figures})
    out = capsys.readouterr().out
    assert "  class 1 " in out
    assert "class 2" not in out
    assert "  and 18 without images\n" in out


def test_picture_that_cannot_be_written_is_refused_before_anything_runs(
    tiny_run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for picture, message in [
        (tmp_path, "is a folder; expected a file to write"),
        (tmp_path / "file" / "x.png", "cannot be written; received .*file is a file"),
        (tmp_path / "file" / "below" / "x.png", "cannot be written; received .*file is a file"),
        (tmp_path / ("x" * 300 + ".png"), "cannot be written: File name too long"),
    ]:
        # The data is not there either; that would be found only later.
        with pytest.raises(InputError, match=message):
            evaluate(tiny_run, tmp_path / "no data", picture=picture)


ODD_NAMES = ("$\\foo$", ":cat:", "[bold]a  b")


def test_picture_shows_names_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "1.png"
    Image.new("RGB", (40, 40), "red").save(file)
    examples = Examples(
        ("1", "2", "3"), np.arange(3), files=(file, file, file), targets={"label": np.arange(3)}
    )
    probabilities = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    draw_predictions(
        examples,
        Answers({"label": probabilities}),
        classification(ODD_NAMES),
        tmp_path / "new" / "predictions.png",
        decoder=ImageDecoder(),
    )
    with Image.open(tmp_path / "new" / "predictions.png") as picture:
        assert picture.format == "PNG"


def test_table_shows_names_as_they_are_and_ends_no_line_in_blanks(capsys: Say) -> None:
    labels: Any = np.array([0, 1, 2])
    figures = compute_classification_metrics(
        labels, np.eye(3, dtype=np.float32) * 0.8 + 0.1, ODD_NAMES
    )
    print_evaluation({"all": figures})
    out = capsys.readouterr().out
    for name in ODD_NAMES:
        assert f"  {name} " in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert run_command(["list", "weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def test_list_of_tables_is_one_json_object(capsys: Say) -> None:
    assert run_command(["list", "--json"]) == 0
    assert "backbones" in json.loads(capsys.readouterr().out)["tables"]


def test_table_of_another_make_is_read_as_the_message_proposes(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, capsys: Say
) -> None:
    images = shutil.copytree(tiny_folder, tmp_path / "images")
    rows = [f"{file.relative_to(images).with_suffix('')}\t{file.parent.name}" for file in
            sorted(images.rglob("*.jpg"))]  # fmt: skip
    (tmp_path / "t.tsv").write_text("Image ID\tColor\n" + "\n".join(rows))
    command = ["evaluate", str(tiny_run.path), str(tmp_path / "t.tsv"), "--json"]
    settings: list[str] = []
    for said in ("no column 'path'", "36 of 36 images"):
        assert run_command([*command, *settings]) == 2
        message = capsys.readouterr().err
        assert said in message
        (proposed,) = proposed_settings(message)
        settings += [f"--set={text}" for text in proposed]
    assert run_command([*command, *settings]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["val"]["accuracy"] == tiny_run.metrics["val"]["accuracy"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.epochs": 3}, r"only how data are read can be set; .*received train"),
        ({"tasks.label.kind": "regression"}, r"expected tasks\.label\.column; received"),
        ({"tasks.age.column": "x"}, "Unknown task 'age'"),
        ({"data.sufix": ".jpg"}, r"Unknown setting 'sufix'. Did you mean 'suffix'"),
        ({"data.leaves": 3}, "leaves does not fit"),
    ],
)
def test_settings_of_evaluation_are_those_of_data(
    tiny_run: Run, tiny_folder: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(tiny_run, tiny_folder, settings=settings)
