"""Search plan: everything that defines a search, kept in its run folder from the start.

RUN/search/plan.json      trials, tuner, folds and space
RUN/search/recipe.toml    the recipe whose settings trials change
RUN/search/journal.json   the results so far
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from pipelines.recipe.overrides import setting_paths
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.output_paths import check_destination
from pipelines.sources.source import Source
from pipelines.storage.destination import foreign_files
from pipelines.storage.run_folder import RunFolder
from tuning.hyperparameters.oracles import TUNERS
from tuning.hyperparameters.search import compute_fingerprint
from tuning.hyperparameters.space import SearchSpace
from zoo.config import Config
from zoo.errors import RunError
from zoo.files import write_json, write_text
from zoo.installed import installed_version
from zoo.reading import parse_json, read_text

FOLDER = "search"

# Trials share the images and the meaning of their score, which is that of uncalibrated answers.
_NOT_SEARCHED = (
    *("data.", "device.", "tasks", "stopping.monitor", "train.epochs", "train.folds"),
    *("calibration.", "unknown."),
)
_LIBRARIES = ("transfer-zoo", "tensorflow", "keras", "keras-tuner", "numpy")
_PACKAGES = ("zoo", "tuning", "pipelines")


class SearchPlan(Config):
    """Everything that defines a search, apart from its recipe.

    Args:
        trials: Trials, at most.
        tuner: A row of TUNERS.
        folds: Stratified folds that a trial's score is the mean over; 0 scores it on the
            validation images; None until `complete_plan` decides.
        retrain_on_val: Whether the best recipe trains on the validation images too; None until
            the folds are known.
        space: The search space, as a space file holds it; None until `complete_plan` decides.
        fine_tune: Whether the space that is decided then has fine-tuning in it.
    """

    trials: Annotated[int, Field(ge=1)] = 100
    tuner: str = "random"
    folds: Annotated[int, Field(ge=0)] | None = None
    retrain_on_val: bool | None = None
    space: Mapping[str, Any] | None = None
    fine_tune: bool = False

    @field_validator("tuner")
    @classmethod
    def _known(cls, name: str) -> str:
        return TUNERS[name].name

    @field_validator("folds")
    @classmethod
    def _several(cls, folds: int | None) -> int | None:
        if folds == 1:
            raise ValueError("1 fold leaves nothing to train on; expected 0, or 2 or more")
        return folds

    def save(self, run: Path, recipe: Recipe) -> None:
        """Writes the plan and the recipe whose settings trials change."""
        write_text(run / FOLDER / "recipe.toml", recipe.to_toml())
        write_json(run / FOLDER / "plan.json", self.model_dump(mode="json"))

    @classmethod
    def load(cls, run: Path) -> tuple[SearchPlan, Recipe]:
        """Reads a plan and the recipe whose settings trials change.

        Raises:
            RunError: There is no plan, or it is damaged.
        """
        file = run / FOLDER / "plan.json"
        try:
            plan = cls.model_validate(parse_json(read_text(file)))
        except FileNotFoundError:
            raise RunError(f"{run} holds no search", expected="what `zoo tune` wrote") from None
        except (OSError, ValueError, ValidationError) as error:
            reason = " ".join(str(error).split())[:120]
            raise RunError(f"{file} is damaged", received=reason) from None
        return plan, Recipe.from_toml(run / FOLDER / "recipe.toml")

    def build_space(self, recipe: Recipe) -> SearchSpace:
        """Builds the search space, each value tried in the recipe.

        Args:
            recipe: The recipe whose settings trials change.

        Raises:
            RecipeError: A value does not fit.
            UnknownNameError: A path cannot be searched.
        """
        paths = [p for p in setting_paths(Recipe) if not p.startswith(_NOT_SEARCHED)]
        searched: list[str] = []

        def check(values: Mapping[str, Any]) -> None:
            self.final_recipe(recipe.override(values, reset=searched)).resolve()

        unchecked = SearchSpace.from_settings(self.space or {}, paths, lambda values: None)
        searched.extend(unchecked.domains)
        return SearchSpace.from_settings(self.space or {}, paths, check)

    def final_recipe(self, recipe: Recipe, epochs: int = 0) -> Recipe:
        """Returns the recipe by which the best trial is trained again.

        Args:
            recipe: The trial's.
            epochs: The trial's best epoch, counted from 1. Without validation images
                nothing can stop training, so it runs for as many; 0 takes the recipe's.

        Returns:
            With folds, where the head is linear and fitted to convergence, the mean of the heads
            of the folds, which the trial was scored by; otherwise one head of all images.
        """
        if not self.retrain_on_val:
            return recipe
        if self.folds and recipe.resolve().is_convex:
            return recipe.override({"train.folds": self.folds})
        recipe = recipe.override({"train.with_validation": True})
        resolved = recipe.resolve()
        if resolved.is_convex:  # fitted to convergence
            return recipe
        return recipe.override({"train.epochs": epochs or resolved.train.epochs})

    @property
    def _size(self) -> str:
        return "" if TUNERS[self.tuner].extendable else f"{self.trials} trials, "

    def count_added(self, before: SearchPlan) -> int:
        """Returns by how many trials this plan goes beyond that of a begun search.

        Args:
            before: The plan that the search was started with.

        Raises:
            RunError: The search cannot have another number of trials.
        """
        added = self.trials - before.trials
        if added and not TUNERS[self.tuner].extendable:
            raise RunError(
                f"what {self.tuner} proposes depends on the number of trials from the first on",
                expected=f"--trials {before.trials}",
                received=str(self.trials),
                mend="leave --trials out, or choose another --out",
            )
        if added < 0:
            raise RunError(
                "a search that has begun can have more trials, and no fewer",
                expected=f"--trials {before.trials} or more",
                received=str(self.trials),
                mend="leave --trials out, or choose another --out",
            )
        return added

    def fingerprint(self, recipe: Recipe, source: Source) -> dict[str, str]:
        """Returns digests of everything the results depend on, by the name of each part.

        Args:
            recipe: The recipe whose settings trials change.
            source: The images.
        """
        settings = recipe.model_dump(mode="json")
        # Results do not depend on where the images lie.
        settings["data"].pop("source")
        return {
            "the images": source.digest,
            "the space": compute_fingerprint(self.model_dump(mode="json")["space"]),
            "the recipe": compute_fingerprint(settings),
            "the tuner": f"{self.tuner}, {self._size}{self.folds} folds",
            "the code": digest_code(),
        }


def is_begun(path: Path) -> bool:
    """Returns whether a folder holds a search that can be resumed."""
    return (path / FOLDER / "plan.json").is_file()


@contextlib.contextmanager
def claim_search(path: Path, *, resume: bool) -> Iterator[RunFolder]:
    """Claims a folder for one search: a new one, or one with a search to resume.

    As `RunFolder.claim`, for a folder with a search.

    Args:
        path: The folder.
        resume: Whether a search in it may be continued.

    Raises:
        InputError: The folder cannot be written.
        RunError: It holds something else, or a search and `resume` is off, or another job
            writes into it.
        TrainingError: The folder was removed before the body ended.
    """
    check_destination(path, "--out")
    _check_no_foreign_files(path)
    with RunFolder(path).claimed() as folder:
        _check_no_foreign_files(path)
        if is_begun(path) and not resume:
            raise RunError(
                f"{path} already holds a search",
                expected="a new directory",
                mend="add --resume to go on with it, or choose another --out",
            )
        yield folder


def _check_no_foreign_files(path: Path) -> None:
    if is_begun(path):
        return
    # A killed search may have left its folder before it wrote a plan.
    if foreign_files(path) - {FOLDER} or path.is_file():
        raise RunError(
            f"{path} exists and holds no search",
            expected="a new directory",
            mend="choose another --out",
        )


def digest_code() -> str:
    """Returns the SHA-256 of this project's sources and its libraries' versions."""
    digest = hashlib.sha256()
    for name in _LIBRARIES:
        digest.update(f"{name} {installed_version(name)}\n".encode())
    root = Path(__file__).resolve().parents[2]
    for package in _PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(f"{file.relative_to(root).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
