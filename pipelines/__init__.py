"""Data flow, and the jobs a user runs.

    from pipelines import Recipe, train
    run = train("photos/", Recipe.preset("photo"), out="runs/photos")

Names are loaded when first asked for: the command line must answer `--help`
without waiting for TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.audit import audit
    from pipelines.evaluate import evaluate
    from pipelines.export import export
    from pipelines.find_rate import find_rate
    from pipelines.predict import predict
    from pipelines.pretrain import pretrain
    from pipelines.preview import preview
    from pipelines.recipe import Recipe
    from pipelines.runs import Run
    from pipelines.sources import open_source
    from pipelines.train import train
    from pipelines.tune import tune

__all__ = [
    "Recipe", "Run", "audit", "evaluate", "export", "find_rate", "open_source", "predict",
    "pretrain", "preview", "train", "tune",
]  # fmt: skip

_HOMES = {
    "Recipe": "pipelines.recipe",
    "Run": "pipelines.runs",
    "open_source": "pipelines.sources",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pipelines' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, f"pipelines.{name}")), name)


class _Package(ModuleType):
    """Binds a job's function where Python would bind the module of the same name.

    Loading `pipelines/train.py` sets `pipelines.train` to that module, after which
    `from pipelines import train` would give the module: in one order of imports
    and not in another.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in __all__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
