"""AUGMENTATIONS, the registry of operations, and `choose`, which selects among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from pipelines.augment import color, crops, filters, geometry, mixing
from pipelines.augment.base import Augmentation, Operation
from zoo.config import first_problem
from zoo.errors import RecipeError
from zoo.table import Table, unknown_name


def parse_operation(value: Any) -> Any:
    """Builds the operation that a mapping describes; returns any other value unchanged.

    Raises:
        UnknownNameError: The name is not in AUGMENTATIONS.
        RecipeError: The mapping has no name, or a setting is invalid.
    """
    if not isinstance(value, Mapping):
        return value
    if "name" not in value:
        raise RecipeError(
            "an operation of the policy has no name",
            expected='a table such as { name = "rotate", degrees = 15 }',
            received=repr(dict(value)),
        )
    name = value["name"]
    operation = AUGMENTATIONS[name].operation
    try:
        return operation.model_validate(dict(value))
    except ValidationError as error:
        problem = first_problem(error)
    setting = problem.path[0] if problem.path else "policy"
    if problem.is_unknown_key:
        settings = [key for key in operation.model_fields if key != "name"]
        raise RecipeError(str(unknown_name(f"setting of {name}", setting, settings)))
    if problem.cause is not None:
        raise problem.cause
    raise RecipeError(
        f"{name}'s {setting} does not fit", expected=problem.message, received=problem.received
    )


AnyOperation = Annotated[SerializeAsAny[Operation], BeforeValidator(parse_operation)]


class Choose(Operation):
    """Applies a random subset of its operations to each image.

    TrivialAugment applies one operation, RandAugment two. Each operation's own
    probability applies in addition.

    Args:
        count: Size of the subset, at least 1.
        operations: The candidates; a `choose` cannot contain another one.
    """

    main_setting: ClassVar[str] = "count"
    name: Literal["choose"] = "choose"
    count: Annotated[int, Field(ge=1)] = 1
    operations: Annotated[tuple[AnyOperation, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Choose:
        if any(isinstance(operation, Choose) for operation in self.operations):
            raise RecipeError("choose contains another choose", mend="list all operations in one")
        if self.count > len(self.operations):
            raise RecipeError(
                "choose has a count above the number of its operations",
                expected=f"a count of at most {len(self.operations)}",
                received=str(self.count),
            )
        return self


def expand_groups(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Yields the operations in order, with the members of each `choose` in its place."""
    for operation in operations:
        yield from operation.operations if isinstance(operation, Choose) else (operation,)


AUGMENTATIONS: Table[Augmentation] = Table(
    "augmentation",
    [
        *geometry.ROWS,
        *crops.ROWS,
        *color.ROWS,
        *filters.ROWS,
        *mixing.ROWS,
        Augmentation(
            "choose",
            "applies a random subset of its operations to each image",
            "group",
            Choose,
            "Müller and Hutter, 2021, https://arxiv.org/abs/2103.10158; "
            "Cubuk et al., 2020, https://arxiv.org/abs/1909.13719",
        ),
    ],
)
