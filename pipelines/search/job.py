"""Search job: what a search trains on, for its chief and its workers alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.recipe.overrides import read_settings
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices, prepare_devices, quiet_start
from pipelines.search.plan import Plan
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.sources.catalogue import preset_of
from pipelines.sources.source import Source
from pipelines.training.prepare import lasting_name, open_images
from tuning.hyperparameters.space import SearchSpace
from zoo.errors import InputError


@dataclass(frozen=True)
class SearchJob:
    """What a search trains on.

    Args:
        plan: What is searched, and how.
        recipe: What trials change settings of.
        space: The plan's, checked against the recipe.
        source: The images.
        devices: What this process trains on.
    """

    plan: Plan
    recipe: Recipe
    space: SearchSpace
    source: Source
    devices: Devices

    @classmethod
    def prepare(
        cls,
        data: str | Path,
        recipe: Recipe | None,
        begun: Path | None,
        *,
        epochs: int | None = None,
        space: str | Path | Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> SearchJob:
        """Reads what there is to search; writes nothing.

        Args:
            data: DATA as the command line takes it; empty takes the recipe's.
            recipe: What trials change settings of; left out, that of the search to go on
                with, or the preset that suits the data.
            begun: The run of a search to go on with, if there is one.
            epochs: Of a trial, at most; left out, the recipe's.
            space: A TOML file, or what such a file holds; left out, the plan's.
            **settings: Others of the plan; None leaves one as it is.

        Raises:
            DataError: The images or labels cannot be trained on.
            InputError: A setting is out of range.
            RecipeError: The recipe or the space does not fit itself or the data.
            RunError: The search to go on with is damaged.
        """
        before, base = Plan.load(begun) if begun else (Plan(), None)
        recipe = recipe or base or Recipe.preset(preset_of(str(data)))
        if isinstance(space, str | Path):
            space = read_settings(Path(space))
        plan = _changed(before, space=space, **settings)
        values: dict[str, Any] = {"data.source": lasting_name(str(data) or recipe.data.source)}
        recipe = recipe.with_values(values | ({"train.epochs": epochs} if epochs else {}))
        searched = plan.read_space(recipe)
        with quiet_start():
            devices = prepare_devices(recipe.device)
        source = open_images(recipe, data or recipe.data.source)
        return cls(plan, recipe, searched, source, devices)

    @property
    def fingerprint(self) -> dict[str, str]:
        """What results depend on, by the name of each part."""
        return self.plan.fingerprint(self.recipe, self.source)

    def build_trainer(self, scratch: Path) -> TrialTrainer:
        """Returns what trains trials in this process.

        Args:
            scratch: A folder for what trials that train alone write, and remove.
        """
        return TrialTrainer(
            self.recipe,
            list(self.space.domains),
            self.source,
            self.devices,
            folds=self.plan.folds,
            scratch=scratch,
        )


def _changed(plan: Plan, **settings: Any) -> Plan:
    """Returns a plan with those of some settings that are not None."""
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        return Plan.model_validate({**plan.model_dump(), **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = first["msg"].removeprefix("Value error, ")
        name = str(first["loc"][0])
        raise InputError(f"--{name.replace('_', '-')} does not fit: {said}") from None
