"""Recipe: what a user writes down of a run; what it leaves open is decided by `resolve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.recipe.overrides import nested, other_backbone, read_settings
from pipelines.recipe.presets import HEADS, PRESETS
from pipelines.recipe.resolved import ResolvedRecipe, resolve_recipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.recipe.teacher import TeacherConfig
from pipelines.sources.listing.catalog import lasting_name, preset_of, settings_of
from zoo.errors import InputError
from zoo.table import unknown_name


class Recipe(RecipeSettings):
    """Everything that defines a run, before open choices are decided.

    The same recipe, data and machine give the same weights, bit for bit. A setting may say
    `auto` or be left out; `resolve` decides it.

    Example:
        >>> recipe = Recipe.for_data("digits", head="modern").override({"head.dropout": 0.4})
        >>> recipe.optimizer.name, recipe.head.dropout
        ('adamw', 0.4)
    """

    @classmethod
    def of(cls, settings: RecipeSettings) -> Recipe:
        """Returns settings as a recipe: those of a run may be changed and resolved again."""
        return settings if isinstance(settings, cls) else cls.from_settings(settings.to_settings())

    @classmethod
    def for_data(
        cls,
        data: str | Path | None,
        *,
        preset: str | None = None,
        file: Path | None = None,
        backbone: str | None = None,
        head: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """Returns the recipe that suits a data set.

        Args:
            data: DATA as the command line takes it; None takes the file's `data.source`. One
                that `zoo features` wrote comes with the settings of its features.
            preset: A key of PRESETS; None takes the one that suits the data.
            file: A recipe file, used instead of a preset.
            backbone: A backbone instead of the recipe's own.
            head: A row of HEADS: a head and the settings that train it well.
            settings: Nested sections that override all of the above.

        Raises:
            UnknownNameError: There is no such preset, head or backbone.
            RecipeError: A setting is unknown or out of range, or the file is no recipe.
            InputError: There is no data set to work on.
        """
        base: Mapping[str, Any] = read_settings(file) if file else {}
        section = base.get("data")
        source = data or (section.get("source") if isinstance(section, Mapping) else None)
        if not source or not isinstance(source, str | Path):
            raise InputError(
                "there is no data set to work on",
                expected="DATA, or a recipe with data.source",
                mend="zoo train photos/ --out runs/photos",
            )
        own: Mapping[str, Any] = {}
        if not file:
            base = _preset(preset or preset_of(str(source)))
            own = {} if preset else settings_of(str(source))
        recipe = cls._layered([base, own], backbone, head, settings)
        return recipe.override({"data.source": str(data)}) if data else recipe

    @classmethod
    def from_preset(
        cls,
        name: str = "photo",
        *,
        backbone: str | None = None,
        head: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """Returns the recipe that suits a kind of image, without a data set.

        Args:
            name: A key of PRESETS, such as `photo`, `digits`, `textures` or `pretrain`.
            backbone: As `for_data` takes it.
            head: As `for_data` takes it.
            settings: As `for_data` takes it.

        Raises:
            UnknownNameError: There is no such preset, head or backbone.
            RecipeError: A setting is unknown or out of range.

        Example:
            >>> str(Recipe.from_preset("digits").augment)
            'auto: none or digits'
            >>> Recipe.from_preset(settings={"head": {"dropout": 0.3}}).head.dropout
            0.3
        """
        return cls._layered([_preset(name)], backbone, head, settings)

    @classmethod
    def _layered(
        cls,
        bases: Sequence[Mapping[str, Any]],
        backbone: str | None,
        head: str | None,
        settings: Mapping[str, Any] | None,
    ) -> Recipe:
        layers = [*bases]
        if head:
            layers.append(HEADS[head].settings)
        if backbone:
            layers.append(other_backbone(backbone))
        return cls.from_settings(*layers, settings or {})

    def override(self, values: Mapping[str, Any], *, reset: Sequence[str] = ()) -> Recipe:
        """Returns the recipe with other values of some settings.

        Args:
            values: From path, such as `head.dropout`, to value.
            reset: Paths that first return to their defaults.

        Raises:
            RecipeError: A path is unknown or a value out of range.

        Example:
            >>> Recipe().override({"head.dropout": 0.3}).head.dropout
            0.3
        """
        settings = self.to_settings()
        for path in reset:
            *sections, name = path.split(".")
            section = settings
            for key in sections:
                section = section.get(key, {})
            section.pop(name, None)
        return type(self).from_settings(
            settings, *(nested(path, value) for path, value in values.items())
        )

    def with_teacher(
        self, run: str | Path | None = None, unlabeled: str | Path | None = None
    ) -> Recipe:
        """Returns the recipe of a student.

        Args:
            run: A finished run to learn from; None keeps the recipe's.
            unlabeled: Images to learn from it alone, as DATA; None keeps the recipe's.

        Raises:
            RecipeError: There are such images and no teacher.
        """
        given = {"run": run, "unlabeled": unlabeled}
        values = {key: str(value) for key, value in given.items() if value is not None}
        return self.from_settings(self.to_settings(), {"teacher": values})

    def for_source(self, data: str | Path | None) -> Recipe:
        """Returns the recipe for a data set, under a name that holds in any working folder.

        Args:
            data: DATA as the command line takes it; None keeps the recipe's.

        Raises:
            InputError: Neither names a data set.
        """
        source = data or self.data.source
        if not source:
            raise InputError(
                "there is no data set to work on",
                expected="data, or a recipe with data.source",
                mend="train('photos/', out='runs/photos')",
            )
        table = self.data.relabel
        section = self.data.model_copy(
            update={
                "source": lasting_name(str(source)),
                "relabel": str(Path(table).resolve()) if table else "",
            }
        )
        return self.model_copy(update={"data": section, "teacher": self._lasting_teacher()})

    def _lasting_teacher(self) -> TeacherConfig:
        run, unlabeled = self.teacher.run, self.teacher.unlabeled
        return self.teacher.model_copy(
            update={
                "run": str(Path(run).resolve()) if run else "",
                "unlabeled": lasting_name(unlabeled) if unlabeled else "",
            }
        )

    def resolve(self) -> ResolvedRecipe:
        """Decides every open choice: what jobs take.

        Raises:
            RecipeError: Two settings exclude each other.
            WeightsError: The backbone is a file that cannot be read.

        Example:
            >>> Recipe().backbone.frozen, Recipe().resolve().backbone.frozen
            ('auto', True)
        """
        return resolve_recipe(self)


def _preset(name: str) -> Mapping[str, Any]:
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]
