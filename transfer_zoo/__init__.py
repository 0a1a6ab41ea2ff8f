"""Fine-tune pretrained CNNs on your own images: `import transfer_zoo as tz`.

    run = tz.train("photos/", backbone="efficientnet_lite0.imagenet", out="runs/photos")
    run.metrics["val"]["accuracy"]
    run.predict("new_photos/")[0].label
    run.export("saved_models/photos")

The verbs are jobs, each also a command of `zoo`. The tables (`tz.backbones`,
`tz.policies`, …) map names to rows. The builders are the parts of a training loop of
your own. Each name is imported when it is first used: TensorFlow loads with the first
job, not with this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.cli.tables import TABLES

if TYPE_CHECKING:
    from pipelines.augment.operations import AUGMENTATIONS as augmentations
    from pipelines.augment.policies import POLICIES as policies
    from pipelines.evaluation.evaluate import evaluate
    from pipelines.extraction.compute_features import compute_features
    from pipelines.features.engines.catalog import ENGINES as engines
    from pipelines.input_pipeline.image_data import open_data
    from pipelines.inspection.audit import audit
    from pipelines.inspection.choose import choose
    from pipelines.inspection.report.report import report
    from pipelines.pretraining.pretrain import pretrain
    from pipelines.recipe.presets import HEADS as heads
    from pipelines.recipe.pretraining import METHODS as pretraining_methods
    from pipelines.recipe.recipe import Recipe
    from pipelines.search.tune import tune
    from pipelines.serving.export import export
    from pipelines.serving.export_all import export_all
    from pipelines.serving.predict import predict
    from pipelines.serving.run import Run
    from pipelines.serving.serve import serve
    from pipelines.sources.listing.catalog import SOURCES as sources
    from pipelines.studies.catalog import STUDIES as studies
    from pipelines.studies.run import study
    from pipelines.training.average import average
    from pipelines.training.find_learning_rate import find_learning_rate
    from pipelines.training.preview import preview
    from pipelines.training.train import train
    from pipelines.training.train_all import train_all
    from tuning.hyperparameters.oracles import TUNERS as tuners
    from tuning.optimization.clipping import CLIPPINGS as clippings
    from tuning.optimization.losses import LOSSES as losses
    from tuning.optimization.losses import build_loss
    from tuning.optimization.optimizer_config import build_optimizer
    from tuning.optimization.optimizers import OPTIMIZERS as optimizers
    from tuning.optimization.penalties import PENALTIES as penalties
    from tuning.optimization.schedules import SCHEDULES as schedules
    from tuning.optimization.schedules import build_schedule
    from zoo.backbones.catalog import BACKBONES as backbones
    from zoo.backbones.catalog import WEIGHTS as weights
    from zoo.backbones.catalog import build_backbone
    from zoo.backbones.kerashub.families import FAMILIES as kerashub
    from zoo.errors import ZooError
    from zoo.export.formats import FORMATS as formats
    from zoo.heads.activations import ACTIVATIONS as activations
    from zoo.heads.head import POOLINGS as poolings
    from zoo.heads.initializers import INITIALIZERS as initializers
    from zoo.models.classifier import build_classifier
    from zoo.models.symmetry import SYMMETRIES as symmetries
    from zoo.normalization import NORMALIZATIONS as normalizations
    from zoo.tasks import TASK_KINDS as tasks

__all__ = [
    "Recipe",
    "Run",
    "ZooError",
    "activations",
    "audit",
    "augmentations",
    "average",
    "backbones",
    "build_backbone",
    "build_classifier",
    "build_loss",
    "build_optimizer",
    "build_schedule",
    "choose",
    "clippings",
    "compute_features",
    "engines",
    "evaluate",
    "export",
    "export_all",
    "find_learning_rate",
    "formats",
    "heads",
    "initializers",
    "kerashub",
    "losses",
    "normalizations",
    "open_data",
    "optimizers",
    "penalties",
    "policies",
    "poolings",
    "predict",
    "pretrain",
    "pretraining_methods",
    "preview",
    "report",
    "schedules",
    "serve",
    "sources",
    "studies",
    "study",
    "symmetries",
    "tasks",
    "train",
    "train_all",
    "tune",
    "tuners",
    "weights",
]

_VERBS = {
    "audit": "pipelines.inspection.audit",
    "average": "pipelines.training.average",
    "choose": "pipelines.inspection.choose",
    "compute_features": "pipelines.extraction.compute_features",
    "evaluate": "pipelines.evaluation.evaluate",
    "export": "pipelines.serving.export",
    "export_all": "pipelines.serving.export_all",
    "find_learning_rate": "pipelines.training.find_learning_rate",
    "predict": "pipelines.serving.predict",
    "pretrain": "pipelines.pretraining.pretrain",
    "preview": "pipelines.training.preview",
    "report": "pipelines.inspection.report.report",
    "serve": "pipelines.serving.serve",
    "study": "pipelines.studies.run",
    "train": "pipelines.training.train",
    "train_all": "pipelines.training.train_all",
    "tune": "pipelines.search.tune",
}
_CLASSES = {
    "Recipe": "pipelines.recipe.recipe",
    "Run": "pipelines.serving.run",
    "ZooError": "zoo.errors",
}
_BUILDERS = {
    "build_backbone": "zoo.backbones.catalog",
    "build_classifier": "zoo.models.classifier",
    "build_loss": "tuning.optimization.losses",
    "build_optimizer": "tuning.optimization.optimizer_config",
    "build_schedule": "tuning.optimization.schedules",
    "open_data": "pipelines.input_pipeline.image_data",
}

_LOCATIONS = {
    **{name: (module, name) for name, module in (_VERBS | _CLASSES | _BUILDERS).items()},
    **{name: (entry.module, entry.attribute) for name, entry in TABLES.items()},
    # Not among those of `zoo list`, which load no NumPy; `zoo study --list` prints it.
    "studies": ("pipelines.studies.catalog", "STUDIES"),
}
"""Module and attribute of each public name."""


def __getattr__(name: str) -> Any:
    if name not in _LOCATIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LOCATIONS[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
