"""Run folder: the files of a training job, each written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.recipe.run_recipe import read_run_recipe
from pipelines.runtime.output_paths import check_destination
from pipelines.sources.source import Source
from pipelines.storage import model_file
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.claim import Claim, claim_folder
from pipelines.storage.confusion_file import with_confusion, write_confusion
from pipelines.storage.destination import (
    check_has_model,
    holds_run,
)
from pipelines.storage.held_out_answers import HeldOutAnswers
from pipelines.storage.records import format_rows, read_record, read_tasks
from pipelines.storage.run_files import RunFiles
from pipelines.storage.same_recipe import check_same_recipe
from pipelines.storage.split_metrics import MEASURED, Record, SearchRecord, SplitMetrics, Timing
from zoo.errors import RunError
from zoo.files import remove_file, remove_leftovers, write_json, write_text
from zoo.models.decision import DecisionRule
from zoo.models.input_description import describe_input
from zoo.models.trainable import pooled_features
from zoo.models.unknown import UnknownScorer
from zoo.tasks import Task


class RunFolder(RunFiles):
    """The folder of a job: recipe, model, metrics, history and checkpoint.

    It holds recipe.toml, labels.json, images.json, metrics.json, confusion.csv, history.csv,
    model.keras, unknown.npz, held_out.npz with `train.folds`, hashes.npz, logs/ for TensorBoard
    and checkpoint/ for `--resume`; after `zoo tune` also search.json and search/.

    Args:
        path: The folder; `open` and `claim` check it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._claim: Claim | None = None

    @classmethod
    @contextlib.contextmanager
    def claim(cls, path: Path, *, resume: bool) -> Iterator[Self]:
        """Claims a folder for one job: a new one, or one with a run to resume.

        Nobody else writes into it until the body ends; see `claim_folder`.

        Args:
            path: The folder.
            resume: Whether a run in it may be continued.

        Raises:
            InputError: The folder cannot be written.
            RunError: It holds something else, or a run and `resume` is off, or another job
                writes into it.
            TrainingError: The folder was removed before the body ended.
        """
        check_destination(path, "--out")
        holds_run(path)
        with cls(path).claimed() as run:
            if holds_run(path) and not resume:
                raise RunError(
                    f"{path} already holds a run",
                    expected="a new directory",
                    mend="add --resume to go on with it, or choose another --out",
                )
            yield run

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Self]:
        """Claims the folder, whatever it holds, and removes what a killed job left.

        Raises:
            RunError: Another job writes into it.
            TrainingError: The folder was removed before the body ended.
        """
        with claim_folder(self.path) as self._claim:
            remove_leftovers(self.path)
            try:
                yield self
            finally:
                self._claim = None

    def with_its_choices(self, recipe: ResolvedRecipe) -> ResolvedRecipe:
        """Returns the recipe with what this run chose once it had features, if it has."""
        return recipe.with_choices_of(self.recipe) if self.recipe_file.is_file() else recipe

    def check_same(self, recipe: ResolvedRecipe, *, longer: bool = False) -> None:
        """Checks that a run, if it has started, has the same recipe.

        Args:
            recipe: What is asked for now.
            longer: Whether it may have other epochs.

        Raises:
            RunError: Another setting differs.
        """
        if self.recipe_file.is_file():
            check_same_recipe(self.path, recipe, self.recipe, longer=longer, finished=self.finished)

    def begin(self, recipe: ResolvedRecipe, tasks: Sequence[Task]) -> None:
        """Writes recipe.toml and labels.json; a finished run that gets longer is no longer so.

        Args:
            recipe: The job's recipe.
            tasks: The tasks of the model.
        """
        self.check_present()
        remove_file(self.metrics_file)
        write_text(self.recipe_file, recipe.to_toml())
        # Of a plain classifier, as of most, it is the list of its classes.
        names = [*tasks[0].class_names] if tasks[0].bare else [task.to_json() for task in tasks]
        write_json(self.path / "labels.json", names)

    def check_present(self) -> None:
        """Checks that the folder is still the one that this job claimed, if it claimed one.

        Raises:
            TrainingError: It is gone, or is another one.
        """
        if self._claim:
            self._claim.check_present()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens a finished run.

        Raises:
            RunError: There is no run, or it has no model yet.
        """
        run = cls(Path(path))
        check_has_model(run.path)
        return run

    @property
    def recipe(self) -> ResolvedRecipe:
        """The recipe of the run, every setting decided.

        Raises:
            RecipeError: The file is damaged.
            WeightsError: The run is not finished, and the file that its backbone starts
                from is absent.
        """
        return read_run_recipe(self.recipe_file, finished=self.model_file.is_file())

    @property
    def finished(self) -> bool:
        """Whether the job has finished."""
        return self.model_file.is_file() and bool(self.record)

    @property
    def record(self) -> dict[str, Any]:
        """Content of metrics.json; empty while the run is not finished.

        Raises:
            RunError: The file is damaged.
        """
        file = self.metrics_file
        return read_record(file, Record) if file.exists() else {}

    @property
    def metrics(self) -> dict[str, SplitMetrics]:
        """Metrics by split, see `MEASURED`; empty while the run is not finished.

        Raises:
            RunError: A file of them is damaged.
        """
        record = with_confusion(self.record, self.confusion_file)
        return {split: record[split] for split in MEASURED if split in record}

    @property
    def timing(self) -> Timing:
        """Seconds that the job took; empty while the run is not finished."""
        return self.record.get("timing", {})

    @property
    def device(self) -> str | None:
        """Description of the devices it was trained on; None while it is not finished."""
        return self.record.get("device")

    @property
    def images(self) -> dict[str, int]:
        """Number of images by split, and of those skipped; empty while it is not finished."""
        return self.record.get("images", {})

    @property
    def head_weights(self) -> dict[str, Any]:
        """Norms and zeros of the head's kernels, as `tuning.optimization.penalties` computes."""
        return self.record.get("head", {})

    @property
    def search(self) -> dict[str, Any]:
        """The content of search.json; empty before a search has finished its trials.

        Raises:
            RunError: The file is damaged.
        """
        file = self.path / "search.json"
        return read_record(file, SearchRecord) if file.exists() else {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the model's outputs; of named tasks the first's.

        Raises:
            RunError: The file is damaged or missing.
        """
        return self.tasks[0].class_names

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the model is asked.

        Raises:
            RunError: The file is damaged or missing.
        """
        return read_tasks(self.path / "labels.json")

    def digests(self, split: str) -> tuple[str, ...]:
        """Returns the SHA-256 digests of a split's images, one per image, sorted.

        Raises:
            RunError: The file is damaged or missing.
        """
        return tuple(read_record(self.digests_file, dict[str, list[str]]).get(split, ()))

    @property
    def trained_on(self) -> frozenset[str]:
        """Digests of the images that the weights were fitted to, those without labels too."""
        return frozenset((*self.digests("train"), *self.digests("unlabeled")))

    @cached_property
    def model(self) -> Any:
        """The trained `keras.Model`, loaded once.

        It maps images float32 [B, S, S, 3] in 0 to 255 to probabilities float32 [B, C],
        or to a dictionary by the tasks' names.

        Raises:
            RunError: model.keras is damaged, or does not fit labels.json.
        """
        return self.load_model()

    def load_model(self) -> Any:
        """Loads the model anew; see `model`."""
        return model_file.load_model(self.model_file, self.tasks)

    @cached_property
    def unknown_scorer(self) -> UnknownScorer | None:
        """What tells foreign images from those of the classes; None where the run has nothing.

        Raises:
            RunError: unknown.npz is damaged, or does not fit the model.
        """
        if not (file := self.unknown_file).is_file():
            return None
        return model_file.load_unknown_scorer(file, pooled_features(self.model).shape[-1])

    @cached_property
    def held_out(self) -> HeldOutAnswers | None:
        """What fold heads answered of the images held out from them; None without `train.folds`.

        Raises:
            RunError: held_out.npz is damaged, or does not fit labels.json.
        """
        if not (file := self.held_out_file).is_file():
            return None
        return HeldOutAnswers.load(file, self.tasks[0].num_outputs)

    @property
    def decision_rules(self) -> dict[str, DecisionRule]:
        """Which classes or labels are in the answer, by task that has a rule.

        Raises:
            RunError: metrics.json is damaged.
        """
        return model_file.load_decision_rules(self.metrics_file, self.record, self.tasks)

    def save_model(self, model: Any, scorer: UnknownScorer | None = None) -> None:
        """Writes model.keras with what it wants of its images, and unknown.npz or none."""
        self.check_present()
        description = describe_input(self.recipe.input.preprocessing, self.tasks)
        model_file.save_model(self.model_file, model, description, self.unknown_file, scorer)

    def save_held_out(self, answers: HeldOutAnswers | None) -> None:
        """Writes held_out.npz, or removes that of an earlier training."""
        self.check_present()
        remove_file(self.held_out_file)
        if answers is not None:
            answers.save(self.held_out_file)

    def save_digests(self, digests: Mapping[str, Sequence[str]]) -> None:
        """Writes images.json: the SHA-256 of every image, by split."""
        self.check_present()
        write_json(self.digests_file, {k: sorted(v) for k, v in digests.items()})

    def save_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json, and the confusion matrices to confusion.csv."""
        self.check_present()
        # metrics.json is last, because a run that has it is finished.
        rest = write_confusion(self.confusion_file, metrics)
        write_json(self.metrics_file, rest)

    def save_search(self, search: Mapping[str, Any]) -> None:
        """Writes search.json."""
        self.check_present()
        write_json(self.path / "search.json", search)

    def save_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes history.csv, a row an epoch."""
        self.check_present()
        write_text(self.path / "history.csv", format_rows(rows))

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes the checkpoint, in place of an earlier one."""
        self.check_present()
        checkpoint.save(self.checkpoint_file)

    def load_checkpoint(self, source: Source) -> Checkpoint | None:
        """Reads the checkpoint; None where there is none.

        Args:
            source: The images to go on with.

        Raises:
            RunError: The file is damaged, or was made from other images.
        """
        checkpoint = Checkpoint.load(self.checkpoint_file)
        if checkpoint and checkpoint.data_digest != source.digest:
            raise RunError(
                f"the images of {source.name} are not those {self.path} was started with",
                expected="the same files, labels and splits"
                + (", unlabeled images and teacher" if source.teacher else ""),
                mend="choose another --out to train on the new ones",
            )
        return checkpoint
