"""Hypothesis strategies for recipes: every section, every row of every table.

Each section is valid by itself; sections may contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from pipelines.augment.policies import POLICIES
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import CHOICES as ENGINE_CHOICES
from tests.support.policy_strategies import policies
from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.losses import LOSSES
from tuning.optimization.optimizers import OPTIMIZERS
from tuning.optimization.penalties import PENALTIES
from tuning.optimization.schedules import SCHEDULES
from zoo.backbones.catalog import BACKBONES, WEIGHTS
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import POOLINGS
from zoo.heads.initializers import INITIALIZERS
from zoo.models.symmetry import SYMMETRIES
from zoo.normalization import NORMALIZATIONS
from zoo.tasks import TASK_KINDS

_shares = st.floats(0, 0.99)
# Keras warns of a softmax over a single unit, which is always 1.
_CONSTANT = ("softmax", True)
_strengths = st.floats(0, 0.1)


def _row(*tables: Mapping[str, Any]) -> Any:
    return st.sampled_from([name for table in tables for name in table])


def _section(**settings: Any) -> Any:
    return st.fixed_dictionaries({}, optional=settings)


def _schedule(**settings: Any) -> Any:
    always = {"name": _row({name: 0 for name in SCHEDULES if name != "multi_step"}), **settings}
    return st.fixed_dictionaries(
        always,
        optional={
            "warmup": _shares,
            "every": st.integers(1, 10),
            "factor": st.floats(0.01, 0.99),
            "patience": st.integers(1, 6),
            "tenfold": st.floats(0.1, 100),
        },
    )


_milestones = st.lists(st.integers(1, 10), min_size=1, max_size=3, unique=True).map(sorted)


def _penalty(name: str) -> Any:
    row = PENALTIES[name]
    strengths = {"l1": row.l1, "l2": row.l2, "backbone_l1": row.l1, "backbone_l2": row.l2}
    given = {setting: _strengths for setting, usual in strengths.items() if usual}
    return st.fixed_dictionaries({"name": st.just(name)}, optional=given)


_balanced = st.sampled_from(["none", "balanced"])
_epochs = st.integers(1, 50)
_stopping = {
    "every": st.integers(1, 4),
    "patience": st.integers(0, 20),
    "min_delta": st.floats(0, 0.1),
}

_of_train: dict[str, Any] = {
    "standardize": st.booleans(),
    "epochs": _epochs,
    "loss": _row({loss.name: 0 for loss in LOSSES.values() if loss.kind == "single_label"}),
    "label_smoothing": _shares,
    "focal_gamma": st.floats(0, 5),
    "class_weights": _balanced,
    "oversample": _balanced,
}


_sections: dict[str, Any] = dict(
    seed=st.integers(0, 2**31 - 1),
    data=_section(
        source=st.text(),
        val_fraction=st.floats(0.01, 0.5),
        test_fraction=st.floats(0, 0.4),
        train_per_class=st.integers(0, 100),
        exclude=st.lists(st.text(max_size=8), max_size=2),
        relabel=st.just(""),
        max_undecodable=st.floats(0, 1),
        damaged=st.sampled_from(["skip", "keep"]),
        max_pixels=st.integers(1, 10**12),
        verify=st.sampled_from(["stat", "content"]),
        leaves=st.booleans(),
        group=st.sampled_from(["", r"patient_(\d+)"]),
        columns=_section(
            path=st.sampled_from(["path", "file"]),
            label=st.sampled_from(["label", "class"]),
            split=st.sampled_from(["split", ""]),
            group=st.sampled_from(["group", "patient", ""]),
        ),
        suffix=st.sampled_from(["", ".jpg"]),
        folder=st.sampled_from(["", "images"]),
    ),
    input=_section(
        size=st.integers(400, 1024),
        fit=st.sampled_from(["crop", "stretch", "pad"]),
        interpolation=st.sampled_from(["bilinear", "bicubic", "lanczos3"]),
        background=st.sampled_from(["#ffffff", "#000000", "#12aB9f"]),
        depth=st.one_of(st.just("auto"), st.integers(8, 16)),
        decode=st.sampled_from(["scaled", "full"]),
        normalization=st.sampled_from(["own", "own", *NORMALIZATIONS]),
        batch_size=st.integers(1, 512),
        cache_mib=st.integers(0, 4096),
    ),
    augment=_section(
        policy=st.one_of(st.just("auto"), policies()),
        candidate=_row(POLICIES),
        border=st.sampled_from(["reflect", "edge", "black"]),
        renderer=st.sampled_from(["opencv", "tensorflow"]),
    ),
    backbone=_section(
        name=_row(BACKBONES, WEIGHTS),
        frozen=st.sampled_from(["auto", "auto", True, False]),
        # The maxima are known only from the built network.
        truncate_blocks=st.just(0),
        levels=st.just(1),
        symmetry=_row(SYMMETRIES),
    ),
    features=_section(
        use=st.sampled_from(["auto", "auto", True, False]),
        views=st.one_of(st.just("auto"), st.integers(0, 8)),
        engine=_row(ENGINE_CHOICES, ENGINES),
        cache_gib=st.floats(0.001, 100),
    ),
    head=_section(
        pooling=_row(POOLINGS),
        hidden=st.lists(st.integers(1, 64), max_size=2),
        initializer=_row(INITIALIZERS),
        initializer_stddev=st.floats(0.01, 1),
        activation=_row(ACTIVATIONS),
        batch_norm=st.booleans(),
        batch_norm_position=st.sampled_from(["before", "after"]),
        input_dropout=_shares,
        dropout=_shares,
    ).filter(lambda head: (head.get("activation"), 1 in head.get("hidden", ())) != _CONSTANT),
    optimizer=_section(
        name=_row(OPTIMIZERS),
        learning_rate=st.floats(1e-6, 0.1),
        weight_decay=_shares,
        backbone_weight_decay=_shares,
        ema=_shares,
        clip=_row(CLIPPINGS),
        clip_value=st.floats(0.01, 10),
        accumulation_steps=st.integers(1, 4),
    ),
    schedule=st.one_of(_schedule(), _schedule(name=st.just("multi_step"), milestones=_milestones)),
    penalty=st.sampled_from(list(PENALTIES)).flatmap(_penalty),
    train=st.one_of(
        _section(folds=st.sampled_from([0, 2, 3]), **_of_train),
        _section(with_validation=st.booleans(), **_of_train),
    ),
    teacher=_section(
        run=st.just(""),
        weight=st.floats(0.01, 1),
        temperature=st.one_of(st.just("auto"), st.floats(1, 20)),
        unlabeled=st.just(""),
    ),
    stopping=_section(monitor=st.sampled_from(["val_accuracy", "val_loss"]), **_stopping),
    fine_tune=_section(
        blocks=st.integers(0, 3),
        epochs=st.integers(1, 10),
        learning_rate=st.floats(1e-6, 0.1),
        block_decay=st.floats(0.1, 1),
        gradual=st.integers(0, 3),
        maps=st.sampled_from(["auto", "float16", "float32", "none"]),
    ),
    calibration=_section(method=st.sampled_from(["auto", "none", "temperature", "vector"])),
    unknown=_section(method=st.sampled_from(["auto", "none"]), share=st.floats(0.001, 0.5)),
    decision=_section(
        sets=st.sampled_from(["auto", "none", "least_ambiguous", "adaptive"]),
        error_rate=st.floats(0.001, 0.5),
        thresholds=st.sampled_from(["auto", "none", "f1"]),
    ),
    # `zoo train` refuses the methods that read no labels.
    pretraining=_section(
        method=st.just("supervised"), noise_std=st.floats(0, 1), masked_fraction=st.floats(0, 0.9)
    ),
    device=st.one_of(
        _section(
            precision=st.sampled_from(["auto", "float32", "mixed_float16", "mixed_bfloat16"]),
            deterministic=st.booleans(),
            xla=st.sampled_from([False, "auto"]),
        ),
        st.fixed_dictionaries({"deterministic": st.just(False), "xla": st.just(True)}),
    ),
)


@st.composite
def _task(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(_row(TASK_KINDS))
    losses = {loss.name: 0 for loss in LOSSES.values() if loss.kind == kind}
    settings = {
        "kind": kind,
        "column": draw(st.text(max_size=8)),
        "weight": draw(st.floats(0.01, 100)),
        "loss": draw(_row({"": 0}, losses)),
        "focal_gamma": draw(st.floats(0, 5)),
        "hidden": draw(st.lists(st.integers(1, 64), max_size=2)),
    }
    if kind != "regression":
        settings["label_smoothing"] = draw(_shares)
    if kind == "single_label":
        settings["class_weights"] = draw(_balanced)
    return settings


_names = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).filter(
    lambda name: not name.startswith("val")
)
# With `[tasks]`, each task has its own loss, and there is no single accuracy to monitor.
_of_tasks = {
    **_sections,
    "train": _section(epochs=_epochs, oversample=_balanced),
    "stopping": _section(monitor=st.just("val_loss"), **_stopping),
}
_tasks = st.dictionaries(_names, _task(), min_size=1, max_size=3)

recipes = st.one_of(
    _section(**_sections), st.fixed_dictionaries({"tasks": _tasks}, optional=_of_tasks)
)
"""Settings of a recipe; every section and setting may be absent."""
