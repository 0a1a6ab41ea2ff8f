"""AUGMENTATIONS: every operation that a policy can be made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from pipelines.augment import color, filters, geometry, mixing
from pipelines.augment.base import Augmentation, Operation
from zoo.errors import RecipeError
from zoo.table import Table, unknown_name


def read_operation(value: Any) -> Any:
    """Turns a mapping into the operation it names; leaves anything else as it is.

    Raises:
        UnknownNameError: No such operation.
        RecipeError: The mapping names none, or a setting does not fit.
    """
    if not isinstance(value, Mapping):
        return value
    if "name" not in value:
        raise RecipeError(
            "an operation of a policy has no name",
            expected='a table such as { name = "rotate", degrees = 15 }',
            received=repr(dict(value)),
        )
    name = value["name"]
    operation = AUGMENTATIONS[name].operation
    try:
        return operation.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    setting = str(first["loc"][0]) if first["loc"] else "policy"
    if first["type"] == "extra_forbidden":
        settings = [key for key in operation.model_fields if key != "name"]
        raise RecipeError(str(unknown_name(f"setting of {name}", setting, settings)))
    if first["type"] == "value_error":
        raise first["ctx"]["error"]
    raise RecipeError(
        f"{name}'s {setting} does not fit",
        expected=first["msg"].removeprefix("Input should be "),
        received=repr(first["input"]),
    )


AnyOperation = Annotated[SerializeAsAny[Operation], BeforeValidator(read_operation)]


class Choose(Operation):
    """Applies some of several operations to each image, drawn anew for each.

    TrivialAugment is one of many, RandAugment two; each member's own probability
    counts besides.

    Args:
        count: How many of them, at least 1.
        operations: Among which; none of them may choose itself.
    """

    main: ClassVar[str] = "count"
    name: Literal["choose"] = "choose"
    count: Annotated[int, Field(ge=1)] = 1
    operations: Annotated[tuple[AnyOperation, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Choose:
        if any(isinstance(operation, Choose) for operation in self.operations):
            raise RecipeError("a choose stands inside of a choose", mend="list all in one")
        if self.count > len(self.operations):
            raise RecipeError(
                "choose is to choose more than there are",
                expected=f"a count of at most {len(self.operations)}",
                received=str(self.count),
            )
        return self


AUGMENTATIONS: Table[Augmentation] = Table(
    "augmentation",
    [
        *geometry.ROWS,
        *color.ROWS,
        *filters.ROWS,
        *mixing.ROWS,
        Augmentation(
            "choose",
            "applies some of several operations, drawn for each image",
            "group",
            Choose,
            "Müller and Hutter, 2021, https://arxiv.org/abs/2103.10158; "
            "Cubuk et al., 2020, https://arxiv.org/abs/1909.13719",
        ),
    ],
)
