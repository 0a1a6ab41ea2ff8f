"""Predictors: runs, exported SavedModels and pretrained networks, opened to predict files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import Answers, read_outputs
from pipelines.sources.config import MAX_PIXELS
from pipelines.sources.examining.examination import prepare_image
from pipelines.sources.examining.formats import why_not_served
from pipelines.storage.exported_network import (
    ExportedNetwork,
    find_exported_network,
    open_exported_network,
)
from pipelines.storage.exported_tasks import MEND, check_outputs, read_exported_tasks
from pipelines.storage.pretrained_network import open_pretrained_network
from pipelines.storage.run_folder import RunFolder
from zoo.errors import InputError, RunError
from zoo.export.seal import check_seal
from zoo.export.signature import check_signature
from zoo.models.decision import DecisionRule, set_output
from zoo.models.pretrained import find_classifier
from zoo.models.unknown import UNKNOWN_SCORE, UnknownScorer, build_scored_model
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, wrap


@dataclass(frozen=True)
class Predictor:
    """A model that predicts encoded images, in two steps: many threads may prepare, one computes.

    Args:
        tasks: What it predicts.
        prepare: Maps the name and the bytes of a file to what `compute` takes, and to why there
            is none; empty if there is.
        compute: Maps N prepared images, one or more, to N problems, empty where an image is
            predicted, and to the answers for the M images that are, in their order.
    """

    tasks: tuple[Task, ...]
    prepare: Callable[[str, bytes], tuple[Any, str]]
    compute: Callable[[Sequence[Any]], tuple[list[str], Answers]]

    def predict(self, names: Sequence[str], contents: Sequence[bytes]) -> tuple[list[str], Answers]:
        """Predicts files.

        Args:
            names: Of N files.
            contents: Their bytes.

        Returns:
            N problems, empty where a file is predicted, and the answers for the M files that
            are, in their order.
        """
        prepared = [self.prepare(*file) for file in zip(names, contents, strict=True)]
        problems = [problem for _, problem in prepared]
        places = [place for place, problem in enumerate(problems) if not problem]
        if not places:
            return problems, Answers()
        found, answers = self.compute([prepared[place][0] for place in places])
        for place, problem in zip(places, found, strict=True):
            problems[place] = problem
        return problems, answers


def open_predictor(
    model: RunFolder | Path, *, trust: bool = False, verify: Path | None = None
) -> Predictor:
    """Opens a finished run, a model that `zoo export` wrote, or a pretrained network.

    Args:
        model: A run, its folder, an exported model's, or one with such a model a version, of
            which the highest is opened; without such a folder, the name of a pretrained
            classifier, or its .npz file.
        trust: Whether to open a SavedModel that bears no seal of this user.
        verify: The public key that has to have signed the SavedModel; its seal is not asked for.

    Raises:
        RunError: There is no model, or it is damaged or of another kind; or it is a SavedModel
            of somebody else, and `trust` is off; or not signed by `verify`.
        InputError: `verify` is no public key, or there is nothing for it to verify.
        UnknownNameError: The name is nearly that of a pretrained network.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
    """
    if isinstance(model, Path) and (folder := find_exported_network(model)):
        if verify:
            check_signature(folder, verify)
        return _open_exported(open_exported_network(folder))
    if isinstance(model, Path) and (folder := find_savedmodel(model)):
        if verify:
            check_signature(folder, verify)
        elif not trust:
            check_seal(folder)
        return _open_savedmodel(folder)
    if verify:
        raise InputError(
            f"{model.path if isinstance(model, RunFolder) else model} is not an exported model",
            expected="an exported model, as --verify checks its signature",
            mend="omit --verify: a run and a pretrained network are data, and execute nothing",
        )
    if isinstance(model, RunFolder):
        return _open_run(model)
    if os.path.isfile(model / "recipe.toml"):
        return _open_run(RunFolder.open(model))
    if weights := find_classifier(str(model)):
        network = open_pretrained_network(weights)
        return _open_keras(network.model, network.recipe.input.preprocessing, network.tasks)
    raise RunError(
        f"{model} is not a model",
        expected="a run that `zoo train` wrote, a model that `zoo export` wrote or a "
        "pretrained network, such as efficientnet_lite0.imagenet",
        received=_describe(model),
    )


def find_savedmodel(path: Path) -> Path | None:
    """Returns the folder of a SavedModel: `path` itself, or the highest version in it.

    Args:
        path: The folder of saved_model.pb, or one with such a folder a version.

    Returns:
        None if there is none.
    """
    if os.path.isfile(path / "saved_model.pb"):
        return path
    try:
        # isdigit accepts superscripts, which int() refuses.
        names = [name for name in os.listdir(path) if name.isdecimal()]
    except OSError:
        return None
    versions = [path / n for n in names if os.path.isfile(path / n / "saved_model.pb")]
    return max(versions, key=lambda folder: int(folder.name), default=None)


def _describe(path: Path) -> str:
    """Returns what there is instead of a model."""
    try:
        os.listdir(path)
    except FileNotFoundError:
        return "nothing there"
    except NotADirectoryError:
        return "a file"
    except OSError as error:
        return str(error.strerror)
    return "a folder of another kind"


_OPENED: WeakKeyDictionary[RunFolder, Predictor] = WeakKeyDictionary()
"""Predictors of runs that are in use: a run's model is loaded once, and its graph is built once."""


def _open_run(run: RunFolder) -> Predictor:
    if run not in _OPENED:
        recipe = run.recipe
        _OPENED[run] = _open_keras(
            run.model,
            recipe.input.preprocessing,
            run.tasks,
            recipe.data.max_pixels,
            run.unknown_scorer,
            run.decision_rules,
        )
    return _OPENED[run]


def _open_keras(
    model: Any,
    preprocessing: Preprocessing,
    tasks: tuple[Task, ...],
    max_pixels: int = MAX_PIXELS,
    scorer: UnknownScorer | None = None,
    rules: Mapping[str, DecisionRule] = MappingProxyType({}),
) -> Predictor:
    network = model if scorer is None else build_scored_model(model, scorer)
    graph = _compile(network, preprocessing.size)

    def answer(images: npt.NDArray[np.uint8]) -> Answers:
        outputs, scores = graph(images.astype(np.float32)), None
        if scorer is not None:
            outputs, scores = outputs
        return Answers(wrap(tasks, outputs), scores).decided(rules)

    return _predict_pixels(answer, preprocessing, tasks, max_pixels)


def _open_exported(exported: ExportedNetwork) -> Predictor:
    def answer(images: npt.NDArray[np.uint8]) -> Answers:
        return read_outputs(exported.tasks, exported.network(images))

    return _predict_pixels(answer, exported.preprocessing, exported.tasks)


def _predict_pixels(
    answer: Callable[[npt.NDArray[np.uint8]], Answers],
    preprocessing: Preprocessing,
    tasks: tuple[Task, ...],
    max_pixels: int = MAX_PIXELS,
) -> Predictor:
    """Returns a predictor of files by what predicts their pixels, uint8 [B, S, S, 3]."""
    import tensorflow as tf

    # A graph, since some sixty small operations one by one take three times as long.
    resize = tf.function(preprocessing, [tf.TensorSpec((), tf.string)], autograph=False)

    def prepare(name: str, content: bytes) -> tuple[Any, str]:
        readable, problem = prepare_image(name, content, max_pixels)
        if problem:
            return None, problem
        try:
            return resize(tf.constant(readable)), ""
        except tf.errors.OpError:
            readable, problem = prepare_image(name, content, max_pixels, thorough=True)
            return (None, problem) if problem else (resize(tf.constant(readable)), "")

    def compute(images: Sequence[Any]) -> tuple[list[str], Answers]:
        return [""] * len(images), answer(np.stack(images))

    return Predictor(tasks, prepare, compute)


def _compile(network: Any, size: int) -> Callable[[npt.NDArray[np.float32]], Any]:
    """Returns a function from images float32 [B, S, S, 3] to a network's outputs.

    It is traced once for batches of any size; that of Keras is traced anew for a smaller last one.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        compute: Callable[[npt.NDArray[np.float32]], Any] = network.predict_on_batch
        return compute
    graph = tf.function(
        partial(network, training=False),
        [tf.TensorSpec((None, size, size, 3), tf.float32)],
        autograph=False,
    )
    return lambda images: keras.tree.map_structure(np.asarray, graph(images))


def _open_savedmodel(folder: Path) -> Predictor:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    # The error depends on the damaged byte; a dozen classes of them were seen.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{folder} cannot be loaded: {reason}", mend=MEND) from error
    assets = [folder / "assets" / name for name in ("labels.txt", "tasks.json")]
    description = next((file for file in assets if file.is_file()), None)
    signature = loaded.signatures.get("serving_bytes")
    if signature is None or description is None:
        raise RunError(
            f"{folder} is a SavedModel of another kind",
            expected="the signature serving_bytes and assets/labels.txt or assets/tasks.json",
            received=f"signatures {', '.join(loaded.signatures) or 'none'}",
            mend=MEND,
        )
    tasks = read_exported_tasks(description)
    check_outputs(description, tasks, signature.structured_outputs)

    def call(contents: Sequence[bytes]) -> tuple[Answers, npt.NDArray[np.bool_]]:
        # A signature is alive only while the loaded module is referenced.
        outputs = signature(image_bytes=tf.constant(contents)) if loaded else {}
        valid = np.ones(len(contents), bool)
        if "valid" in outputs:  # not in exports of earlier versions
            valid = np.asarray(outputs["valid"])
        predictions = {task.name: np.asarray(outputs[task.output]) for task in tasks}
        rows = {name: array.reshape(len(contents), -1) for name, array in predictions.items()}
        scores = np.asarray(outputs[UNKNOWN_SCORE])[valid] if UNKNOWN_SCORE in outputs else None
        sets = {
            task.name: np.asarray(outputs[set_output(task)])[valid]
            for task in tasks
            if set_output(task) in outputs
        }
        return Answers({name: array[valid] for name, array in rows.items()}, scores, sets), valid

    def prepare(name: str, content: bytes) -> tuple[_File, str]:
        problem = why_not_served(content, name)
        readable, problem = (b"", problem) if problem else prepare_image(name, content)
        return _File(name, readable), problem

    def compute(files: Sequence[_File]) -> tuple[list[str], Answers]:
        problems = [""] * len(files)
        try:
            answers, valid = call([file.content for file in files])
        except tf.errors.OpError:
            # The graph decodes the files and does not say which one fails.
            examined = [prepare_image(*file, thorough=True) for file in files]
            problems = [problem for _, problem in examined]
            readable = [content for content, problem in examined if not problem]
            if not readable:
                return problems, Answers()
            answers, valid = call(readable)
        places = [place for place, problem in enumerate(problems) if not problem]
        for place in np.array(places)[~valid].tolist():
            problems[place] = _explain(*files[place])
        return problems, answers if valid.any() else Answers()

    return Predictor(tasks, prepare, compute)


class _File(NamedTuple):
    """A file that the decoder in an exported graph reads."""

    name: str
    content: bytes


def _explain(name: str, content: bytes) -> str:
    """Returns why an exported model takes a file for broken."""
    return prepare_image(name, content, thorough=True)[1] or "the model cannot decode it"
