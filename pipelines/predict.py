"""Predict: image files in, the classes a run or an exported SavedModel sees in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.devices import quiet_start
from pipelines.runs import Run
from zoo.errors import DataError, RunError

BATCH = 32

# string [B] of encoded images → float32 [B, C]
Answer = Callable[[list[bytes]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Prediction:
    """What a model sees in one image.

    Args:
        image: The file, as it was given.
        classes: The likeliest classes, the likeliest first.
        probabilities: Theirs, 0 to 1.
        error: Why the file could not be read; then there are no classes.
    """

    image: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""


def predict(model: str | Path, images: Sequence[str | Path], *, top: int = 5) -> list[Prediction]:
    """Classifies image files.

    A file that cannot be read does not cost the others their answer.

    Args:
        model: A finished run, or a SavedModel that `zoo export` wrote.
        images: JPEG, PNG, GIF, BMP or WebP files.
        top: How many classes to name, at most all of them.

    Returns:
        One prediction an image, in their order.

    Raises:
        RunError: `model` is neither.
        DataError: A file does not exist, or there are none.
    """
    from pipelines.sources.scan import why_undecodable

    paths = [Path(image) for image in images]
    if not paths:
        raise DataError("there is no image to classify", expected="one file or more")
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is no file", expected="a JPEG, PNG, GIF, BMP or WebP image")
    with quiet_start():
        import tensorflow  # noqa: F401
    answer, class_names = _open(Path(model))
    predictions: dict[int, Prediction] = {}
    for start in range(0, len(paths), BATCH):
        encoded: dict[int, bytes] = {}
        for index in range(start, min(start + BATCH, len(paths))):
            content = paths[index].read_bytes()
            if reason := why_undecodable(content):
                predictions[index] = Prediction(str(images[index]), error=reason)
            else:
                encoded[index] = content
        if not encoded:
            continue
        for index, row in zip(encoded, answer(list(encoded.values())), strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            predictions[index] = Prediction(
                str(images[index]),
                tuple(class_names[i] for i in best),
                tuple(float(row[i]) for i in best),
            )
    return [predictions[index] for index in range(len(paths))]


def _open(path: Path) -> tuple[Answer, tuple[str, ...]]:
    versions = [
        folder
        for folder in (path, *path.glob("*/"))
        if (folder / "saved_model.pb").is_file() and (folder == path or folder.name.isdigit())
    ]
    if versions:
        return _open_savedmodel(max(versions, key=lambda f: int(f.name) if f != path else 0))
    if (path / "recipe.toml").is_file():
        return _open_run(Run.open(path))
    raise RunError(
        f"{path} is no model",
        expected="a run that `zoo train` wrote or a SavedModel that `zoo export` wrote",
        received="nothing there" if not path.exists() else "a folder or file of another kind",
    )


def _open_run(run: Run) -> tuple[Answer, tuple[str, ...]]:
    model, preprocessing = run.load_model(), run.recipe.input.preprocessing

    def answer(encoded: list[bytes]) -> npt.NDArray[np.float32]:
        batch = np.stack([preprocessing(content) for content in encoded])
        return np.asarray(model.predict_on_batch(batch))

    return answer, run.class_names


def _open_savedmodel(folder: Path) -> tuple[Answer, tuple[str, ...]]:
    import tensorflow as tf

    labels = folder / "assets" / "labels.txt"
    loaded = tf.saved_model.load(str(folder))
    if "serving_bytes" not in loaded.signatures or not labels.is_file():
        raise RunError(
            f"{folder} is a SavedModel of another kind",
            expected="the signature serving_bytes and assets/labels.txt",
            received=f"signatures {', '.join(loaded.signatures) or 'none'}",
            mend="write it by `zoo export`",
        )
    serve = loaded.signatures["serving_bytes"]

    def answer(encoded: list[bytes]) -> npt.NDArray[np.float32]:
        # The function outlives its module only while the module is referenced.
        answers = serve(image_bytes=tf.constant(encoded)) if loaded else {}
        return np.asarray(answers["probabilities"])

    return answer, tuple(labels.read_text(encoding="utf-8").splitlines())
