"""Predict: image files in, what a run or an exported SavedModel sees in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.runtime.stderr import suppress_stderr
from pipelines.storage.run_folder import RunFolder
from zoo.errors import DataError, RunError
from zoo.tasks import Task, classification, wrap

BATCH = 32

# string [B] of encoded images → float32 [B, K] for each task, by its name
_Ask = Callable[[list[bytes]], Mapping[str, npt.NDArray[np.float32]]]


@dataclass(frozen=True)
class Answer:
    """What a model answers to one task about one image.

    Args:
        classes: The likeliest classes or labels, the likeliest first.
        probabilities: Theirs, 0 to 1; of labels each on its own.
        value: The number, where that was asked.
    """

    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    value: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns what it holds: classes and probabilities, or the value."""
        if self.value is not None:
            return {"value": self.value}
        return {"classes": self.classes, "probabilities": self.probabilities}

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:.4g}"
        pairs = zip(self.classes, self.probabilities, strict=True)
        return ", ".join(f"{name} {p:.4f}" for name, p in pairs)


@dataclass(frozen=True)
class Prediction:
    """What a model sees in one image.

    Args:
        image: The file, as it was given.
        classes: The likeliest classes, the likeliest first; none of a model with named
            tasks.
        probabilities: Theirs, 0 to 1.
        error: Why the file could not be read; then there are no answers.
        tasks: The answer to each named task, by its name.
    """

    image: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""
    tasks: Mapping[str, Answer] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns values that JSON has: the classes, or the tasks where there are any."""
        if not self.tasks:
            return {key: value for key, value in vars(self).items() if key != "tasks"}
        answers = {name: answer.to_json() for name, answer in self.tasks.items()}
        return {"image": self.image, "tasks": answers, "error": self.error}

    def __str__(self) -> str:
        if not self.tasks:
            return f"{self.image}: {Answer(self.classes, self.probabilities)}"
        parts = (f"{name} {answer}" for name, answer in self.tasks.items())
        return f"{self.image}: {'; '.join(parts)}"


def predict(model: str | Path, images: Sequence[str | Path], *, top: int = 5) -> list[Prediction]:
    """Answers what is in image files.

    A file that cannot be read does not cost the others their answer.

    Args:
        model: A finished run, or a SavedModel that `zoo export` wrote.
        images: JPEG, PNG, GIF, BMP or WebP files.
        top: How many classes or labels to name, at most all of them.

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
    with suppress_stderr():
        import tensorflow  # noqa: F401
    ask, tasks = _open(Path(model))
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
        found = ask(list(encoded.values()))
        for row, index in enumerate(encoded):
            answers = {task.name: _answer(task, found[task.name][row], top) for task in tasks}
            predictions[index] = _prediction(str(images[index]), tasks, answers)
    return [predictions[index] for index in range(len(paths))]


def _answer(task: Task, row: npt.NDArray[np.float32], top: int) -> Answer:
    if task.kind == "regression":
        return Answer(value=float(row[0]))
    best = np.argsort(-row, kind="stable")[:top]
    return Answer(tuple(task.class_names[i] for i in best), tuple(float(row[i]) for i in best))


def _prediction(image: str, tasks: Sequence[Task], answers: Mapping[str, Answer]) -> Prediction:
    if tasks[0].bare:
        answer = answers[tasks[0].name]
        return Prediction(image, answer.classes, answer.probabilities)
    return Prediction(image, tasks=answers)


def _read(path: Path) -> tuple[bytes, str]:
    """Returns a file's bytes, and why they cannot be decoded; nothing where they can."""
    from pipelines.sources.scan import why_undecodable

    try:
        content = path.read_bytes()
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"
    return content, why_undecodable(content)


def _open(path: Path) -> tuple[_Ask, tuple[Task, ...]]:
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
            return _open_run(RunFolder.open(path))
        received = "a folder of another kind"
    raise RunError(
        f"{path} is no model",
        expected="a run that `zoo train` wrote or a SavedModel that `zoo export` wrote",
        received=received,
    )


def _open_run(run: RunFolder) -> tuple[_Ask, tuple[Task, ...]]:
    model, preprocessing, tasks = run.load_model(), run.recipe.input.preprocessing, run.tasks

    def ask(encoded: list[bytes]) -> Mapping[str, npt.NDArray[np.float32]]:
        batch = np.stack([preprocessing(content) for content in encoded])
        return wrap(tasks, model.predict_on_batch(batch))

    return ask, tasks


def _open_savedmodel(folder: Path) -> tuple[_Ask, tuple[Task, ...]]:
    import tensorflow as tf

    mend = "write it by `zoo export`"
    try:
        loaded = tf.saved_model.load(str(folder))
    # What TensorFlow raises depends on the byte that is damaged: a dozen kinds were seen.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{folder} cannot be loaded: {reason}", mend=mend) from error
    assets = [folder / "assets" / name for name in ("labels.txt", "tasks.json")]
    meaning = next((file for file in assets if file.is_file()), None)
    serve = loaded.signatures.get("serving_bytes")
    if serve is None or meaning is None:
        raise RunError(
            f"{folder} is a SavedModel of another kind",
            expected="the signature serving_bytes and assets/labels.txt or assets/tasks.json",
            received=f"signatures {', '.join(loaded.signatures) or 'none'}",
            mend=mend,
        )
    try:
        tasks = _read_tasks(meaning)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{meaning} cannot be read: {reason}", mend=mend) from error
    for task in tasks:
        output = serve.structured_outputs.get(task.output)
        size = None if output is None else 1 if output.shape.rank == 1 else output.shape[-1]
        if size != task.num_outputs:
            raise RunError(
                f"{meaning} does not fit its model",
                expected=f"an output {task.output}"
                if size is None
                else f"{size} classes, one for each of {task.output}",
                received=", ".join(sorted(serve.structured_outputs))
                if size is None
                else str(task.num_outputs),
                mend=mend,
            )

    def ask(encoded: list[bytes]) -> Mapping[str, npt.NDArray[np.float32]]:
        # The function outlives its module only while the module is referenced.
        served = serve(image_bytes=tf.constant(encoded)) if loaded else {}
        found = {task.name: np.asarray(served[task.output]) for task in tasks}
        return {name: values.reshape(len(encoded), -1) for name, values in found.items()}

    return ask, tasks


def _read_tasks(file: Path) -> tuple[Task, ...]:
    text = file.read_bytes().decode()
    if file.name == "tasks.json":
        return tuple(Task.from_json(values) for values in json.loads(text))
    # Not splitlines, which also ends a line at characters that a name may hold.
    return classification(text.removesuffix("\n").split("\n"))
