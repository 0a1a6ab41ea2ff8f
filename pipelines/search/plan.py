"""Plan: all that defines a search, kept in its run's directory from the start.

RUN/search/plan.json      what is searched, and how
RUN/search/recipe.toml    what trials change settings of
RUN/search/journal.json   the results so far
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from pipelines.recipe.overrides import setting_paths
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.output_paths import check_destination
from pipelines.sources.source import Source
from pipelines.storage.run_folder import FOUND_PICTURE, FOUND_TABLE
from tuning.hyperparameters.default_space import DEFAULT_SPACE
from tuning.hyperparameters.oracles import TUNERS
from tuning.hyperparameters.search import compute_fingerprint
from tuning.hyperparameters.space import SearchSpace
from zoo.config import Config
from zoo.errors import RunError
from zoo.files import write_json, write_text

FOLDER = "search"

# A search is over recipes for the same images, and its scores have to mean the same.
_NOT_SEARCHED = ("data.", "device.", "tasks", "stopping.monitor", "train.epochs")
_LIBRARIES = ("transfer-zoo", "tensorflow", "keras", "keras-tuner", "numpy")


class Plan(Config):
    """What is searched, and how.

    Args:
        trials: How many, at most.
        tuner: A row of TUNERS.
        folds: Into how many folds images are divided to score a trial; 0 scores it on
            the validation images.
        retrain_on_val: Whether the best recipe is trained on the validation images too.
        space: As a space file holds it.
    """

    trials: Annotated[int, Field(ge=1)] = 100
    tuner: str = "random"
    folds: Annotated[int, Field(ge=0)] = 0
    retrain_on_val: bool = False
    space: Mapping[str, Any] = DEFAULT_SPACE

    @field_validator("tuner")
    @classmethod
    def _known(cls, name: str) -> str:
        return TUNERS[name].name

    @field_validator("folds")
    @classmethod
    def _is_a_division(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("1 fold divides nothing; expected 0, or 2 or more")
        return folds

    def save(self, run: Path, recipe: Recipe) -> None:
        """Writes the plan and what trials change settings of."""
        write_text(run / FOLDER / "recipe.toml", recipe.to_toml())
        write_json(run / FOLDER / "plan.json", self.model_dump(mode="json"))

    @classmethod
    def load(cls, run: Path) -> tuple[Plan, Recipe]:
        """Reads a plan, and what trials change settings of.

        Raises:
            RunError: There is none, or it is damaged.
        """
        file = run / FOLDER / "plan.json"
        try:
            plan = cls.model_validate(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise RunError(f"{run} holds no search", expected="what `zoo tune` wrote") from None
        except (OSError, ValueError, ValidationError) as error:
            said = " ".join(str(error).split())[:120]
            raise RunError(f"{file} is damaged", received=said) from None
        return plan, Recipe.from_toml(run / FOLDER / "recipe.toml")

    def read_space(self, recipe: Recipe) -> SearchSpace:
        """Returns the space, every value of which was tried in the recipe.

        Args:
            recipe: What trials change settings of.

        Raises:
            RecipeError: A value does not fit.
            UnknownNameError: A path that cannot be searched.
        """
        paths = [p for p in setting_paths(Recipe) if not p.startswith(_NOT_SEARCHED)]
        searched: list[str] = []

        def check(values: Mapping[str, Any]) -> None:
            changed = recipe.with_values(values, instead_of=searched)
            self.final(changed).completed()

        unchecked = SearchSpace.from_settings(self.space, paths, lambda values: None)
        searched.extend(unchecked.domains)
        return SearchSpace.from_settings(self.space, paths, check)

    def final(self, recipe: Recipe, epochs: int = 0) -> Recipe:
        """Returns a trial's recipe as it is trained when it was the best.

        Args:
            recipe: The trial's.
            epochs: After how many the trial was at its best. Without validation images
                there is nothing to stop training by, so that it goes on for as many.
        """
        if not self.retrain_on_val:
            return recipe
        length = epochs or recipe.train.epochs
        train = recipe.train.model_copy(update={"with_validation": True, "epochs": length})
        return recipe.model_copy(update={"train": train})

    def fingerprint(self, recipe: Recipe, source: Source) -> dict[str, str]:
        """Returns what results depend on, in parts that a message can name.

        Args:
            recipe: What trials change settings of.
            source: The images.
        """
        settings = recipe.model_dump(mode="json")
        # Wherever the images lie, and whatever computes their features.
        settings["data"].pop("source")
        return {
            "the images": source.digest,
            "the space": compute_fingerprint(self.model_dump(mode="json")["space"]),
            "the recipe": compute_fingerprint(settings),
            "the tuner": f"{self.tuner}, {self.trials} trials, {self.folds} folds",
            "the code": _digest_of_code(),
        }


def is_begun(path: Path) -> bool:
    """Returns whether a directory holds a search to go on with."""
    return (path / FOLDER / "plan.json").is_file()


def claim_search(path: Path, *, resume: bool) -> bool:
    """Checks that a directory is free for a search, or holds one to go on with.

    Args:
        path: The directory.
        resume: Whether a search in it may be gone on with.

    Returns:
        Whether there is one.

    Raises:
        InputError: Nothing can be written there.
        RunError: It holds something else, or a search and `resume` was not asked for.
    """
    check_destination(path, "--out")
    held = {p.name for p in path.iterdir()} if path.is_dir() else set()
    begun = is_begun(path)
    if begun and not resume:
        raise RunError(
            f"{path} already holds a search",
            expected="a new directory",
            mend="add --resume to go on with it, or choose another --out",
        )
    # A kill may have left the folder of a search that had no plan yet.
    if not begun and (held - {FOUND_PICTURE, FOUND_TABLE, FOLDER} or path.is_file()):
        raise RunError(
            f"{path} exists and holds no search",
            expected="a new directory",
            mend="choose another --out",
        )
    return begun


def _digest_of_code() -> str:
    """SHA-256 of this project's sources and of what they compute with."""
    digest = hashlib.sha256()
    for name in _LIBRARIES:
        digest.update(f"{name} {_version_of(name)}\n".encode())
    root = Path(__file__).resolve().parents[2]
    for package in ("zoo", "tuning", "pipelines"):
        for file in sorted((root / package).rglob("*.py")):
            digest.update(f"{file.relative_to(root).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _version_of(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(distribution)
    except PackageNotFoundError:  # run from its sources
        return ""
