"""Listing: tables of choices, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.table import Table, unknown_name

Columns = Mapping[str, Callable[[Any], object]]


def _backbones() -> tuple[Table[Any], Columns]:
    from zoo.backbones.catalog import BACKBONES

    return BACKBONES, {
        "weights": lambda row: ", ".join(w.name.partition(".")[2] for w in row.weights),
        "input": lambda row: row.input_size,
        "parameters": lambda row: row.num_parameters,
        "features": lambda row: row.num_features,
        "top1": lambda row: next((w.top1 for w in row.weights if w.top1 is not None), None),
        "license": lambda row: ", ".join(sorted({w.license for w in row.weights})),
        "paper": lambda row: row.paper,
    }


def _weights() -> tuple[Table[Any], Columns]:
    from zoo.backbones.catalog import WEIGHTS

    return WEIGHTS, {
        "license": lambda row: row.license,
        "data": lambda row: row.data,
        "input": lambda row: row.input_size,
        "normalization": lambda row: row.normalization,
        "top1": lambda row: row.top1,
        "proof": lambda row: row.proof,
        "file": lambda row: row.file,
        "url": lambda row: row.url,
        "origin": lambda row: row.origin,
    }


def _heads() -> tuple[Table[Any], Columns]:
    from pipelines.recipe.presets import HEADS

    return HEADS, {}


def _poolings() -> tuple[Table[Any], Columns]:
    from zoo.heads.head import POOLINGS

    return POOLINGS, {}


def _activations() -> tuple[Table[Any], Columns]:
    from zoo.heads.activations import ACTIVATIONS

    return ACTIVATIONS, {"paper": lambda row: row.paper}


def _initializers() -> tuple[Table[Any], Columns]:
    from zoo.heads.initializers import INITIALIZERS

    return INITIALIZERS, {"paper": lambda row: row.paper}


def _optimizers() -> tuple[Table[Any], Columns]:
    from tuning.optimization.optimizers import OPTIMIZERS

    return OPTIMIZERS, {
        "learning_rate": lambda row: row.learning_rate,
        "l1": lambda row: "yes" if row.step_size else "no",
        "paper": lambda row: row.paper,
    }


def _tuners() -> tuple[Table[Any], Columns]:
    from tuning.hyperparameters.oracles import TUNERS

    return TUNERS, {"at_once": lambda row: row.batch_size, "paper": lambda row: row.paper}


def _losses() -> tuple[Table[Any], Columns]:
    from tuning.optimization.losses import LOSSES

    return LOSSES, {"task": lambda row: row.kind}


def _tasks() -> tuple[Table[Any], Columns]:
    from zoo.tasks import TASK_KINDS

    return TASK_KINDS, {}


def _schedules() -> tuple[Table[Any], Columns]:
    from tuning.optimization.schedules import SCHEDULES

    return SCHEDULES, {}


def _penalties() -> tuple[Table[Any], Columns]:
    from tuning.optimization.penalties import PENALTIES

    return PENALTIES, {"l1": lambda row: row.l1, "l2": lambda row: row.l2}


def _clippings() -> tuple[Table[Any], Columns]:
    from tuning.optimization.clipping import CLIPPINGS

    return CLIPPINGS, {}


def _engines() -> tuple[Table[Any], Columns]:
    from pipelines.features.engines.catalog import ENGINES

    return ENGINES, {
        "installed": lambda row: "yes" if row.installed else "no",
        "extra": lambda row: row.extra,
    }


def _sources() -> tuple[Table[Any], Columns]:
    from pipelines.sources.catalogue import SOURCES

    return SOURCES, {}


def _augmentations() -> tuple[Table[Any], Columns]:
    from pipelines.augment import AUGMENTATIONS
    from pipelines.augment.shorthand import print_defaults

    return AUGMENTATIONS, {
        "stage": lambda row: row.stage,
        "defaults": lambda row: print_defaults(row.operation),
        "reference": lambda row: row.reference,
    }


def _policies() -> tuple[Table[Any], Columns]:
    from pipelines.augment import POLICIES

    return POLICIES, {"operations": lambda row: row.operations}


def _methods() -> tuple[Table[Any], Columns]:
    from pipelines.recipe.pretraining import METHODS

    return METHODS, {
        "labels": lambda row: "yes" if row.labeled else "no",
        "paper": lambda row: row.paper,
    }


def _normalizations() -> tuple[Table[Any], Columns]:
    from zoo.preprocessing import NORMALIZATIONS

    return NORMALIZATIONS, {}


# Each is loaded only when it is shown.
LISTINGS: Mapping[str, Callable[[], tuple[Table[Any], Columns]]] = {
    "backbones": _backbones,
    "weights": _weights,
    "sources": _sources,
    "engines": _engines,
    "augmentations": _augmentations,
    "policies": _policies,
    "heads": _heads,
    "poolings": _poolings,
    "activations": _activations,
    "initializers": _initializers,
    "optimizers": _optimizers,
    "schedules": _schedules,
    "penalties": _penalties,
    "tuners": _tuners,
    "clippings": _clippings,
    "losses": _losses,
    "tasks": _tasks,
    "normalizations": _normalizations,
    "methods": _methods,
}

# Too long for a line of a terminal; `--json` has them.
_HIDDEN = {
    "augmentations": {"reference"},
    "backbones": {"paper"},
    "weights": {"url", "normalization", "origin"},
    "activations": {"paper"},
    "initializers": {"paper"},
    "optimizers": {"paper"},
}


def show_table(name: str, *, as_json: bool) -> None:
    """Prints one table, a line a row.

    Raises:
        UnknownNameError: No such table.
    """
    if name not in LISTINGS:
        raise unknown_name("table", name, LISTINGS)
    table, columns = LISTINGS[name]()
    rows = [
        {"name": row.name, **{c: get(row) for c, get in columns.items()}, "summary": row.summary}
        for row in table.values()
    ]
    if as_json:
        print(json.dumps({name: rows}, indent=2, ensure_ascii=False))
        return
    shown = [c for c in ("name", *columns, "summary") if c not in _HIDDEN.get(name, ())]
    if name == "weights":
        shown.remove("summary")  # it repeats the columns
    print_grid(shown, [[_in_words(row[c]) for c in shown] for row in rows])


def show_tables(*, as_json: bool) -> None:
    """Prints which tables there are; loads none of them."""
    if as_json:
        print(json.dumps({"tables": list(LISTINGS)}))
        return
    for name in LISTINGS:
        print(f"zoo list {name}")


def _in_words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def print_grid(header: Sequence[str], rows: Sequence[Sequence[str]], indent: int = 0) -> None:
    """Prints a table; columns of numbers are flush right.

    Args:
        header: The columns' titles.
        rows: A text for each column.
        indent: Blanks in front of each line.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, title in enumerate(header):
        numeric = all(_is_number(row[position]) for row in rows)
        grid.add_column(title, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    # Names are shown as they are: `:cat:` is no animal. A pipe has no width; what reads it
    # wants a row a line.
    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = 400
    # Rich fills every line up to the console's width.
    with console.capture() as captured:
        console.print(Padding(grid, (0, 0, 0, indent), expand=False))
    print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def _is_number(text: str) -> bool:
    return not text or text.replace(",", "").replace(".", "").replace("e-", "").isdecimal()
