"""Predict: unreadable files cost the others nothing; damaged models are refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.serving import predictor
from pipelines.serving.predict import predict
from pipelines.serving.run import Run
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import DataError, RunError
from zoo.export.savedmodel import write_savedmodel
from zoo.export.seal import seal
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.preprocessing import Preprocessing
from zoo.tasks import classification

NAMES = ("a b", "a  b", " c\u2028")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("images") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file)
    return file


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder with one version in it; tests copy it to damage it."""
    keras.utils.set_random_seed(0)
    classifier = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    to = tmp_path_factory.mktemp("models") / "letters"
    write_savedmodel(classifier, Preprocessing(size=32), classification(NAMES), to / "1")
    seal(to / "1")
    return to


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the decoders that are built from now on have been given so far, in a graph too."""
    given, decode = [], ImageDecoder.decode

    def note(encoded: bytes) -> bytes:
        given.append(encoded)
        return encoded

    def count(decoder: ImageDecoder, encoded: Any) -> Any:
        (noted,) = tf.numpy_function(note, [encoded], [tf.string])
        return decode(decoder, tf.ensure_shape(noted, ()))

    monkeypatch.setattr(ImageDecoder, "decode", count)
    return given


def test_names_are_read_as_they_were_written_and_a_stranger_needs_trust(
    served: Path,
    image: Path,
    tmp_path: Path,
    decoded: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to = shutil.copytree(served, tmp_path / "model")
    # A digit to isdigit, and none to int.
    (to / "²").mkdir()
    (to / "²" / "saved_model.pb").write_bytes(b"")
    [prediction] = predict(to, image)
    assert prediction.error == ""
    assert decoded == [], "an exported graph decodes by itself"
    assert set(prediction.classes) == set(NAMES)
    assert prediction.label == prediction.classes[0]
    assert prediction.probability == max(prediction.probabilities)

    monkeypatch.setenv("ZOO_KEY", str(tmp_path / "other.key"))
    with pytest.raises(RunError, match=r"is a program.*received a seal, but no key.*add --trust"):
        predict(to, image)
    assert not (tmp_path / "other.key").exists()
    assert predict(to, image, trust=True) == [prediction]


# On Linux this is a file to every test of one, and reading it fails, for root as well.
UNREADABLE = Path("/proc/self/mem")


def test_image_that_cannot_be_read_costs_the_others_nothing(tiny_run: Run, image: Path) -> None:
    first, second = predict(tiny_run.path, [UNREADABLE, image], top=1)
    assert first.error == "cannot be read: Input/output error"
    assert first.classes == ()
    assert second.error == ""
    assert len(second.classes) == 1


def test_folder_and_glob_have_one_prediction_an_image(
    tiny_run: Run, served: Path, tiny_folder: Path
) -> None:
    files = sorted(tiny_folder.rglob("*.jpg"))
    assert len(files) > 32, "more than a batch"
    predictions = tiny_run.predict(str(tiny_folder), top=2)
    assert predictions == predict(tiny_run, files, top=2)
    assert predictions == predict(tiny_run, f"{tiny_folder}/**/*.jpg", top=2)
    assert predictions[0].label in tiny_run.class_names
    for found in (predictions, predict(served, tiny_folder, top=2)):
        assert [prediction.image for prediction in found] == list(map(str, files))


def test_each_image_is_decoded_once(tiny_run: Run, image: Path, decoded: list[Any]) -> None:
    [prediction] = predict(Run.open(tiny_run.path), image)
    assert decoded == [image.read_bytes()]
    assert prediction.error == ""


@pytest.mark.parametrize("kind", ["run", "export"])
def test_undecodable_files_are_named_and_the_others_predicted(
    kind: str, tiny_run: Run, served: Path, image: Path, tmp_path: Path
) -> None:
    content = image.read_bytes()
    files = {
        "a.png": content,
        "b.png": content[:-400],
        "c.png": b"Dear diary",
        "d.png": content,
        "e.png": content[:60] + bytes(200) + content[260:],
    }
    for name, written in files.items():
        (tmp_path / name).write_bytes(written)
    model = tiny_run if kind == "run" else served
    predictions = predict(model, tmp_path)
    assert [prediction.error for prediction in predictions] == [
        "",
        "cut off",
        "not an image (starts with 'Dear diary')",
        "",
        "damaged PNG",
    ]
    assert predictions[0].classes == predictions[3].classes != ()
    np.testing.assert_array_equal(predictions[0].probabilities, predictions[3].probabilities)
    alone = predict(model, tmp_path / "b.png")
    assert alone == [predictions[1]]


def test_name_that_no_file_system_holds_is_refused_in_one_line(tiny_run: Run, image: Path) -> None:
    with pytest.raises(DataError, match=r"xxx\.jpg does not exist"):
        predict(tiny_run.path, ["x" * 300 + ".jpg"])
    with pytest.raises(RunError, match=r"xxx is not a model; .* received File name too long"):
        predict("x" * 300, [image])
    with pytest.raises(RunError, match=r"noise\.png is not a model; .* received a file"):
        predict(image, [image])
    with pytest.raises(RunError, match=r"is not a model; .* received a folder of another kind"):
        predict(image.parent, [image])


def _cut(name: str, size: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:size])

    return cut


def _noise(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[100:400] = b"\x07" * 300
        (folder / name).write_bytes(content)

    return spoil


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


INDEX, DATA = "variables/variables.index", "variables/variables.data-00000-of-00001"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut("saved_model.pb", 0), "cannot be loaded"),
        (_cut("saved_model.pb", 3000), "cannot be loaded"),
        (_noise("saved_model.pb"), "cannot be loaded"),
        (_cut(INDEX, 0), "cannot be loaded"),
        (_noise(INDEX), "cannot be loaded"),
        (_remove(INDEX), "cannot be loaded"),
        (_cut(DATA, 1000), "cannot be loaded"),
        (_remove(DATA), "cannot be loaded"),
        (_remove("assets/labels.txt"), "is a SavedModel of another kind"),
        (_cut("assets/labels.txt", 4), r"labels\.txt does not fit its model; expected 3 classes"),
        (_cut("assets/labels.txt", 12), r"labels\.txt cannot be read: 'utf-8' codec"),
    ],
)
def test_damaged_savedmodel_is_refused_in_one_line(
    damage: Callable[[Path], None], message: str, served: Path, image: Path, tmp_path: Path
) -> None:
    to = shutil.copytree(served, tmp_path / "model")
    damage(to / "1")
    with pytest.raises(RunError, match=message) as caught:
        predict(to, [image], trust=True)
    assert "\n" not in str(caught.value)


def test_savedmodel_of_another_kind_is_refused(image: Path, tmp_path: Path) -> None:
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"lengths": tf.strings.length(image_bytes)}

    module = Other()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_bytes": module.serve})
    with pytest.raises(RunError, match="is a SavedModel of another kind"):
        predict(tmp_path, [image], trust=True)


def test_network_is_traced_once_for_all_calls_and_batches(
    tiny_run: Run, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_, networks = predictor._compile, []

    def count(network: Any, size: int) -> Any:
        traced: list[int] = []
        networks.append(traced)

        def call(images: Any, training: bool) -> Any:
            traced.append(1)
            return network(images, training=training)

        return compile_(call, size)

    monkeypatch.setattr(predictor, "_compile", count)
    run = Run.open(tiny_run.path)
    files = sorted(tiny_folder.rglob("*.jpg"))[:35]
    at_once = run.predict(files)
    again = [prediction for file in files[:3] for prediction in run.predict(file)]
    assert networks == [[1]]
    for one, other in zip(at_once, again, strict=False):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
