"""Predict: image files in, the classes a run or an exported SavedModel sees in them."""

from __future__ import annotations

import os
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
        RunError: `model` is neither, or damaged.
        DataError: A file does not exist, or there are none.
    """
    paths = [Path(image) for image in images]
    if not paths:
        raise DataError("there is no image to classify", expected="one file or more")
    for path in paths:
        # Unlike Path.is_file it raises nothing, however long the name is.
        if not os.path.isfile(path):
            raise DataError(f"{path} is no file", expected="a JPEG, PNG, GIF, BMP or WebP image")
    with quiet_start():
        import tensorflow  # noqa: F401
    answer, class_names = _open(Path(model))
    predictions: dict[int, Prediction] = {}
    for start in range(0, len(paths), BATCH):
        encoded: dict[int, bytes] = {}
        for index in range(start, min(start + BATCH, len(paths))):
            content, problem = _read(paths[index])
            if problem:
                predictions[index] = Prediction(str(images[index]), error=problem)
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


def _read(path: Path) -> tuple[bytes, str]:
    """Returns a file's bytes, and why they cannot be decoded; nothing where they can."""
    from pipelines.sources.scan import why_undecodable

    try:
        content = path.read_bytes()
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"
    return content, why_undecodable(content)


def _open(path: Path) -> tuple[Answer, tuple[str, ...]]:
    if os.path.isfile(path / "saved_model.pb"):
        return _open_savedmodel(path)
    try:
        # Not isdigit, which takes a superscript for a digit where int() does not.
        names = [name for name in os.listdir(path) if name.isdecimal()]
    except FileNotFoundError:
        received = "nothing there"
    except NotADirectoryError:
        received = "a file"
    except OSError as error:
        received = str(error.strerror)
    else:
        versions = [path / n for n in names if os.path.isfile(path / n / "saved_model.pb")]
        if versions:
            return _open_savedmodel(max(versions, key=lambda folder: int(folder.name)))
        if os.path.isfile(path / "recipe.toml"):
            return _open_run(Run.open(path))
        received = "a folder of another kind"
    raise RunError(
        f"{path} is no model",
        expected="a run that `zoo train` wrote or a SavedModel that `zoo export` wrote",
        received=received,
    )


def _open_run(run: Run) -> tuple[Answer, tuple[str, ...]]:
    model, preprocessing = run.load_model(), run.recipe.input.preprocessing

    def answer(encoded: list[bytes]) -> npt.NDArray[np.float32]:
        batch = np.stack([preprocessing(content) for content in encoded])
        return np.asarray(model.predict_on_batch(batch))

    return answer, run.class_names


def _open_savedmodel(folder: Path) -> tuple[Answer, tuple[str, ...]]:
    import tensorflow as tf

    mend = "write it by `zoo export`"
    try:
        loaded = tf.saved_model.load(str(folder))
    # What TensorFlow raises depends on the byte that is damaged: a dozen kinds were seen.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{folder} cannot be loaded: {reason}", mend=mend) from error
    labels = folder / "assets" / "labels.txt"
    serve = loaded.signatures.get("serving_bytes")
    if serve is None or "probabilities" not in serve.structured_outputs or not labels.is_file():
        raise RunError(
            f"{folder} is a SavedModel of another kind",
            expected="the signature serving_bytes and assets/labels.txt",
            received=f"signatures {', '.join(loaded.signatures) or 'none'}",
            mend=mend,
        )
    try:
        # Not splitlines, which also ends a line at characters that a name may hold.
        class_names = tuple(labels.read_bytes().decode().removesuffix("\n").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{labels} cannot be read: {reason}", mend=mend) from error
    num_classes = serve.structured_outputs["probabilities"].shape[-1]
    if len(class_names) != num_classes:
        raise RunError(
            f"{labels} does not fit its model",
            expected=f"{num_classes} lines, one for each output",
            received=str(len(class_names)),
            mend=mend,
        )

    def answer(encoded: list[bytes]) -> npt.NDArray[np.float32]:
        # The function outlives its module only while the module is referenced.
        answers = serve(image_bytes=tf.constant(encoded)) if loaded else {}
        return np.asarray(answers["probabilities"])

    return answer, class_names
