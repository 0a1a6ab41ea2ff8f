"""The mean of several runs as one run: what it answers, what it is worth, and where it is from."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.metrics import compute_answer_metrics
from pipelines.evaluation.predictions import Answers, compute_predictions
from pipelines.evaluation.training_twins import TrainingTwins, find_twins_in_run
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.serving.run import Run
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.describe import describe
from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.scanning.hashed_images import HashedImages
from pipelines.sources.source import Examples, Source
from pipelines.storage.held_out_answers import HeldOutAnswers
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.trained_hashes import load_trained_hashes, save_trained_hashes
from pipelines.training.fit_decision import fit_decision
from zoo.errors import DataError, InputError
from zoo.files import sha256_of
from zoo.models.average import build_average
from zoo.models.decision import read_rules
from zoo.tasks import Task

logger = logging.getLogger(__name__)

Predictions = dict[str, npt.NDArray[np.float32]]


@isolated()
def average(
    runs: Sequence[RunFolder | str | Path], *, out: str | Path, data: str | Path | None = None
) -> Run:
    """Makes one run of several that were trained apart; its answers are the mean of theirs.

    The new run is evaluated, asked, reported and exported like any other. It is as large and as
    slow as all of them together. Its validation images are those that every run held out, each
    answered by models that have not seen it, and prediction sets are fitted to them. It has no
    unknown scores.

    Args:
        runs: Two finished runs or more, with the same tasks and classes, the same size and
            preparation of images, and the same test images. Backbones, heads and seeds may differ.
        out: The new run's folder.
        data: The images, if they have moved; None takes the data set of the first run.

    Returns:
        The new run.

    Raises:
        InputError: There are fewer than two runs, or they do not belong together.
        RunError: One is not finished or damaged, or `out` is taken.
        DataError: The images cannot be read, or none of them is here.
    """
    started = time.perf_counter()
    members = [run if isinstance(run, RunFolder) else RunFolder.open(run) for run in runs]
    _check(members)
    with RunFolder.claim(Path(out), resume=False) as folder:
        start_keras()
        source, held_out = _find_images(members, data)
        answers = {"val": _average([_answers(run, source.val, source.tasks) for run in members])}
        if source.test is not None:
            found = [compute_predictions(r.model, r.recipe, source.test, r.tasks) for r in members]
            answers["test"] = _average(found)
        recipe = members[0].recipe
        decision = fit_decision(answers["val"], recipe, source) if len(source.val) else {}
        rules = read_rules(decision, source.tasks)
        twins = {name: _find_twins(members, source.splits[name], name) for name in answers}
        metrics: dict[str, Any] = {
            name: compute_answer_metrics(
                source.splits[name],
                Answers(predictions).decided(rules),
                source.tasks,
                twins=twins[name],
            )
            for name, predictions in answers.items()
            if len(source.splits[name])
        }
        folder.begin(recipe, source.tasks)
        recorded = {name: part.digests for name, part in source.splits.items()}
        if held_out:
            del recorded["val"]
        folder.save_digests(recorded)
        folder.save_model(build_average([run.model for run in members], source.tasks))
        (first, *_) = source.tasks
        near = None if twins["val"] is None else twins["val"].near
        kept = HeldOutAnswers(source.val.binary_digests, answers["val"][first.name], near)
        folder.save_held_out(kept if held_out else None)
        trained = [load_trained_hashes(run.hashes_file) for run in members]
        known = [hashed for hashed in trained if hashed is not None]
        whole = HashedImages.join(known) if len(known) == len(members) else None
        save_trained_hashes(folder.hashes_file, whole)
        if decision:
            metrics["decision"] = decision
        metrics["members"] = [_describe(run) for run in members]
        metrics["timing"] = {"wall_s": round(time.perf_counter() - started, 3)}
        metrics["images"] = {name: len(digests) for name, digests in recorded.items()}
        metrics["images"]["skipped"] = len(source.skipped)
        folder.save_metrics(metrics)
    return Run(folder.path)


def _check(members: Sequence[RunFolder]) -> None:
    """Checks that runs can be averaged.

    Raises:
        InputError: They cannot.
    """
    if len(members) < 2:
        raise InputError(
            "an average needs several runs", expected="two or more", received=str(len(members))
        )
    paths = [run.path.resolve() for run in members]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise InputError(f"{twice} is given twice", expected="each run once")
    first = members[0]
    for other in members[1:]:
        for what, wanted, received, mend in (
            (
                "predict other things",
                _tasks(first),
                _tasks(other),
                "train both on the same classes",
            ),
            (
                "see images otherwise",
                first.recipe.input.preprocessing,
                other.recipe.input.preprocessing,
                f"train both with --set input.size={first.recipe.input.size} and the same input",
            ),
        ):
            if wanted != received:
                raise InputError(
                    f"{first.path} and {other.path} {what}",
                    expected=str(wanted),
                    received=str(received),
                    mend=mend,
                )
        if set(first.digests("test")) != set(other.digests("test")):
            raise InputError(
                f"{first.path} and {other.path} have other test images",
                expected="the same, which neither was trained on",
                received=f"{len(first.digests('test'))} and {len(other.digests('test'))}",
                mend="train both with the same seed, or give the data set a folder test/",
            )


def _tasks(run: RunFolder) -> list[tuple[str, ...]]:
    return [(task.name, task.kind, *task.class_names) for task in run.tasks]


def _find_images(members: Sequence[RunFolder], data: str | Path | None) -> tuple[Source, bool]:
    """Finds the images of runs by their content.

    Returns:
        The images: validation images are those that every run held out. And whether these were
        trained on by some of the models that are averaged, as those of fold heads are.

    Raises:
        DataError: The data set cannot be read, or none of the images is there.
    """
    recipe, tasks = members[0].recipe, members[0].tasks
    name = str(data or recipe.source)
    kept = KeptImages(recipe.input.preprocessing.decoder, recipe.input.cache_mib)
    found = open_evaluation_set(name, recipe.data, tasks, kept=kept)
    for line in describe(found):
        logger.info(line)
    (examples,) = found.joined().splits.values()
    tests = frozenset(members[0].digests("test"))
    known = frozenset().union(*(run.digests(part) for run in members for part in ("train", "val")))
    held = [_held_out(run, examples.digests) for run in members]
    digests = examples.digests
    is_test = np.array([digest in tests for digest in digests], bool)
    is_known = np.array([digest in known for digest in digests], bool)
    is_val = np.logical_and.reduce(held) & ~is_test
    if not (is_test.any() or is_known.any()):
        raise DataError(
            f"no image of {members[0].path} is in {name}",
            expected="the images that the runs were trained on",
            mend="give --data the images they were trained on",
        )
    reused = any(run.held_out for run in members)
    train = is_known & ~is_test & (True if reused else ~is_val)
    take = examples.take
    source = Source(
        name,
        found.class_names,
        found.tasks,
        take(np.flatnonzero(train)),
        take(np.flatnonzero(is_val)),
        take(np.flatnonzero(is_test)) if is_test.any() else None,
        skipped=found.skipped,
    )
    counts = ", ".join(f"{len(part)} {split}" for split, part in source.splits.items())
    logger.info(f"{name}: {counts} images; validation images are those that every run held out")
    return source, reused


def _held_out(run: RunFolder, digests: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Returns which images a run can answer by a model that has not seen them, bool [N]."""
    if run.held_out:
        held = np.zeros(len(digests), bool)
        held[run.held_out.find(digests)] = True
        return held
    apart = frozenset(() if run.recipe.train.with_validation else run.digests("val"))
    return np.array([digest in apart for digest in digests], bool)


def _answers(run: RunFolder, examples: Examples, tasks: Sequence[Task]) -> Predictions:
    """Returns what a run says of images that it held out."""
    if not len(examples):
        return {task.name: np.zeros((0, task.num_outputs), np.float32) for task in tasks}
    if run.held_out:
        return {tasks[0].name: run.held_out.of(examples.digests)}
    return compute_predictions(run.model, run.recipe, examples, tasks)


def _find_twins(
    members: Sequence[RunFolder], examples: Examples, split: str
) -> TrainingTwins | None:
    """Returns which images have a twin among those that any of the runs was trained on."""
    near, copies = np.zeros((2, len(examples)), bool)
    for run in members if len(examples) else ():
        found = find_twins_in_run(run, examples, run.held_out if split == "val" else None)
        if found is None:
            return None
        near |= found.near
        copies |= found.copies
    return TrainingTwins(near, copies)


def _average(parts: Sequence[Predictions]) -> Predictions:
    return {
        name: np.stack([part[name] for part in parts])
        .mean(axis=0, dtype=np.float64)
        .astype(np.float32)
        for name in parts[0]
    }


def _describe(run: RunFolder) -> dict[str, str]:
    return {
        "run": str(run.path),
        "backbone": run.recipe.backbone.name,
        "sha256": sha256_of(run.model_file),
    }
