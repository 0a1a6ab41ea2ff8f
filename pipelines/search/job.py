"""Search job: plan, recipe, images and devices of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.overrides import read_settings
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.devices import Devices, prepare_devices
from pipelines.runtime.stderr import suppress_stderr
from pipelines.search.plan import SearchPlan
from pipelines.search.plan_defaults import complete_plan
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.sources.source import Source
from pipelines.training.prepare import open_images
from tuning.hyperparameters.space import SearchSpace
from zoo.config import first_problem
from zoo.errors import InputError, RecipeError

SpaceFile = str | Path | Mapping[str, Any]
"""A TOML file with a search space, or its content."""


@dataclass(frozen=True)
class SearchJob:
    """What a search trains on.

    Args:
        plan: Trials, tuner, folds and space.
        recipe: The recipe whose settings trials change.
        space: The plan's, each value tried in the recipe.
        source: The images.
        devices: What this process trains on.
        added_trials: Trials beyond those that the search was started with.
    """

    plan: SearchPlan
    recipe: Recipe
    space: SearchSpace
    source: Source
    devices: Devices
    added_trials: int = 0

    @classmethod
    def prepare(
        cls,
        data: str | Path | None,
        recipe: RecipeSettings | None,
        begun: Path | None,
        *,
        epochs: int | None = None,
        space: SpaceFile | None = None,
        **settings: Any,
    ) -> SearchJob:
        """Opens the images and checks the space; writes nothing.

        Args:
            data: DATA as the command line takes it; None takes the recipe's.
            recipe: The recipe whose settings trials change; None takes that of the search
                to resume, or the preset that suits the data.
            begun: The run folder of a search to resume, or None.
            epochs: Epochs of a trial, at most; None takes the recipe's.
            space: The search space; None takes the plan's.
            **settings: Other fields of `SearchPlan`; None keeps the plan's value.

        Raises:
            DataError: The images or labels cannot be trained on.
            InputError: A setting is out of range, or there is no data set to work on.
            RecipeError: The recipe or the space does not fit itself or the data.
            RunError: The search to resume is damaged.
        """
        before, base = SearchPlan.load(begun) if begun else (SearchPlan(), None)
        base = Recipe.of(recipe or base or Recipe.for_data(data)).for_source(data)
        base = base.override({"train.folds": 0})  # of one training; a search has its own
        if base.teacher.run:
            raise RecipeError(
                "a search learns from labels alone",
                expected="a recipe without teacher.run",
                received=base.teacher.run,
                mend="zoo tune without it, then zoo train --recipe RUN/recipe.toml --teacher …",
            )
        if epochs:
            base = base.override({"train.epochs": epochs})
        if isinstance(space, str | Path):
            space = read_settings(Path(space))
        if space is not None and settings.get("fine_tune"):
            raise InputError(
                "a search space of your own says itself what is fine-tuned",
                expected="--space or --fine-tune",
                received="both",
                mend='put "fine_tune.blocks" = [0, 1, 2] into the space',
            )
        plan = _changed(before, space=space, **settings)
        added_trials = plan.count_added(before) if begun else 0
        if plan.space is not None:  # checked before anything is read
            plan.build_space(base)
        resolved = base.resolve()
        with suppress_stderr():
            devices = prepare_devices(resolved.device, on_images=not resolved.features.use)
        source = open_images(resolved)
        resolved = measure_input_depth(resolved, source.train)
        base = base.override({"input.depth": resolved.input.depth})
        plan = _decide_retraining(complete_plan(plan, resolved, source), base)
        return cls(plan, base, plan.build_space(base), source, devices, added_trials)

    @property
    def fingerprint(self) -> dict[str, str]:
        """Digests of everything the results depend on, by the name of each part."""
        return self.plan.fingerprint(self.recipe, self.source)

    def build_trainer(self, scratch: Path) -> TrialTrainer:
        """Builds the trainer of this process.

        Args:
            scratch: A folder for checkpoints of trials that train alone.
        """
        return TrialTrainer(
            self.recipe,
            list(self.space.domains),
            self.source,
            self.devices,
            folds=self.plan.folds or 0,
            scratch=scratch,
            num_places=self._count_places(),
            activations=self.space.choices("head.activation"),
        )

    def _count_places(self) -> int:
        """Returns how many places below the backbone's output trials read features at, at most."""
        cut, levels = "backbone.truncate_blocks", "backbone.levels"
        domains, backbone = self.space.domains, self.recipe.resolve().backbone
        if not {cut, levels} & set(domains):
            return 0
        most = [backbone.levels, self.space.largest(levels)]
        places = [backbone.truncate_blocks + max(most) - 1]
        for domain in domains.get(cut, ()):
            together = domain.when.get(levels, most)
            places.append(max(domain.extremes) + max(together) - 1)
        return max(places)


def _decide_retraining(plan: SearchPlan, recipe: Recipe) -> SearchPlan:
    """Decides whether the best recipe trains on the validation images, if the plan does not say.

    Folds score trials on all images, so that none need be kept back for validation; unless a
    setting needs them.
    """
    if plan.retrain_on_val is not None:
        return plan
    decided = plan.model_copy(update={"retrain_on_val": bool(plan.folds)})
    try:
        decided.build_space(recipe)
    except RecipeError:
        return plan.model_copy(update={"retrain_on_val": False})
    return decided


def _changed(plan: SearchPlan, **settings: Any) -> SearchPlan:
    """Returns the plan with those settings that are not None."""
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        return SearchPlan.model_validate({**plan.model_dump(), **given})
    except ValidationError as error:
        problem = first_problem(error)
        option = problem.path[0].replace("_", "-")
        raise InputError(f"--{option} does not fit: {problem.message}") from None
