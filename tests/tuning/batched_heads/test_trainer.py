"""Population: every member ends as it does when Keras trains it alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuning.batched_heads.head_spec import HeadSpec
from tuning.batched_heads.trainer import Batches, HeadTrainer, Outcome, can_stack
from tuning.early_stopping import EarlyStopping, StoppingConfig, validated_epochs
from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.losses import LOSSES, build_loss
from tuning.optimization.optimizers import OPTIMIZERS, OptimizerConfig, build_optimizer, build_rules
from tuning.optimization.penalties import PENALTIES, PenaltyConfig
from tuning.optimization.schedules import SCHEDULES, ScheduleConfig, build_schedule
from tuning.reduce_on_plateau import Plateau
from tuning.weight_averaging import validating_averages
from zoo.errors import TrainingError
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import HeadConfig, build_head, initialize_head
from zoo.heads.initializers import INITIALIZERS
from zoo.models.classifier import build_head_model

pytestmark = pytest.mark.train

FEATURES, CLASSES, STEPS, BATCH = 6, 3, 4, 8


@dataclass
class Sample:
    """Three overlapping clouds, in an order of their own in every epoch."""

    num_features: int = FEATURES
    num_classes: int = CLASSES
    steps_per_epoch: int = STEPS
    chunk: int = 3

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.labels = rng.integers(0, CLASSES, STEPS * BATCH)
        centers = rng.normal(size=(CLASSES, self.num_features))
        noise = rng.normal(size=(STEPS * BATCH, self.num_features))
        self.features = (centers[self.labels] + noise).astype(np.float32)
        self.val_labels = rng.integers(0, CLASSES, 21)
        noise = rng.normal(size=(21, self.num_features))
        self.val_features = (centers[self.val_labels] + noise).astype(np.float32)
        self.shares = rng.uniform(0.5, 1.5, STEPS * BATCH).astype(np.float32)

    def order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(epoch).permutation(STEPS * BATCH).reshape(STEPS, BATCH)

    def train(self, epoch: int) -> Iterator[Batches]:
        for some in np.split(self.order(epoch), range(self.chunk, STEPS, self.chunk)):
            yield Batches(self.features[some], self.labels[some], self.shares[some])

    def validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for some in np.split(np.arange(21), [10]):
            yield self.val_features[some], self.val_labels[some]


def replace(member: HeadSpec, **changes: Any) -> HeadSpec:
    return member.model_copy(update=changes)


ROWS = Sample()
BASE = HeadSpec(
    head=HeadConfig(hidden=(5,), dropout=0.3, input_dropout=0.1),
    optimizer=OptimizerConfig(name="adam", learning_rate=0.02),
    stopping=StoppingConfig(patience=0),
    epochs=3,
)


def alone(member: HeadSpec, rows: Sample = ROWS) -> Outcome:
    """Trains a head by Keras' own layers and `fit`, as `zoo train` does."""
    channels = rows.num_features // (2 if member.head.pooling == "concatenated" else 1)
    maps = keras.Input((1, 1, channels))
    model = build_head_model(keras.Model(maps, build_head(maps, member.head, rows.num_classes)))
    initialize_head(model.layers, member.seed)
    rate = member.optimizer.completed().learning_rate or 0.0
    schedule = build_schedule(member.schedule, rate, STEPS * member.epochs, STEPS)
    rules = build_rules(member.optimizer, member.penalty)
    model.compile(
        build_optimizer(member.optimizer, schedule, rule_of=rules, steps_per_epoch=STEPS),
        loss=build_loss(
            member.loss, label_smoothing=member.label_smoothing, focal_gamma=member.focal_gamma
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)
    stopping, plateau = EarlyStopping(member.stopping), Plateau(member.schedule)
    outcome = Outcome()
    class_weights = np.array(member.class_weights or [1.0] * CLASSES, np.float32)

    def one_hot(labels: np.ndarray) -> np.ndarray:
        return np.eye(CLASSES, dtype=np.float32)[labels]

    def end_epoch(epoch: int, logs: Any) -> None:
        outcome.history.append({k: v for k, v in logs.items() if k != "accuracy"})
        model.stop_training = not stopping.end_epoch(model, epoch, logs)
        if "val_loss" in logs:
            plateau.end_validation(model, logs["val_loss"])

    order = np.concatenate([rows.order(epoch).ravel() for epoch in range(member.epochs)])
    weights = rows.shares[order] * class_weights[rows.labels[order]]
    data = (rows.features[order], one_hot(rows.labels[order]), weights)
    try:
        model.fit(
            tf.data.Dataset.from_tensor_slices(data).batch(BATCH),
            steps_per_epoch=STEPS,
            epochs=member.last_epoch,
            validation_data=(rows.val_features, one_hot(rows.val_labels)),
            validation_freq=validated_epochs(member.stopping, 0, member.epochs),
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=end_epoch),
                *validating_averages(model),
            ],
        )
    except TrainingError as error:
        outcome.failure = str(error)
        return outcome
    outcome.score, outcome.loss = stopping.best, stopping.best_loss
    outcome.best_epoch, outcome.epochs = stopping.best_epoch, len(outcome.history)
    outcome.weights = stopping.best_weights
    return outcome


def check(
    member: HeadSpec, together: Outcome, rows: Sample = ROWS, tolerance: float = 2e-5
) -> None:
    expected = alone(member, rows)
    assert together.failure == expected.failure
    assert together.epochs == expected.epochs
    assert together.best_epoch == expected.best_epoch
    assert together.score == pytest.approx(expected.score, abs=1e-6)
    for ours, theirs in zip(together.history, expected.history, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name
    assert together.weights is not None
    for ours, theirs in zip(together.weights, expected.weights or [], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def check_all(members: list[HeadSpec], rows: Sample = ROWS) -> None:
    """Trains them together, and each alone."""
    outcomes = HeadTrainer().train(members, rows, keep_weights=True)
    for member, outcome in zip(members, outcomes, strict=True):
        check(member, outcome, rows)


def _optimizer(name: str, rate: float, **settings: Any) -> OptimizerConfig:
    usual = OPTIMIZERS[name].learning_rate
    return OptimizerConfig(name=name, learning_rate=rate * usual, **settings).completed()


def test_members_that_differ_in_all_a_stack_allows_are_what_they_are_alone() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"activation": "relu", "dropout": 0.5, "initializer": "glorot_uniform"},
        {"activation": "rrelu", "batch_norm": False, "input_dropout": 0.0},
    ]
    penalties = [{}, {"name": "l1", "l1": 0.01}, {"name": "elastic_net", "l2": 0.1}]
    check_all(
        [
            replace(
                BASE,
                head=BASE.head.model_copy(update=change),
                optimizer=_optimizer("nesterov", rate, weight_decay=0.01),
                penalty=PenaltyConfig.model_validate(penalty).completed(),
                schedule=ScheduleConfig(name=schedule),
                label_smoothing=0.1 * rate,
            )
            for change, penalty, rate, schedule in zip(
                changes, penalties, (1.0, 5.0, 2.0), ("cosine", "constant", "linear"), strict=True
            )
        ]
    )


STACKABLE = [row.name for row in OPTIMIZERS.values() if row.elementwise]


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKABLE)
def test_member_is_what_it_is_alone_with_every_optimizer(name: str) -> None:
    check_all(
        [
            replace(BASE, optimizer=_optimizer(name, rate, weight_decay=decay))
            for rate, decay in ((1.0, 0.0), (3.0, 0.1), (0.3, 0.0))
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["nesterov", "adam", "rmsprop"])
@pytest.mark.parametrize("name", PENALTIES)
def test_member_is_what_it_is_alone_with_every_penalty(name: str, optimizer: str) -> None:
    row = PENALTIES[name]
    members = [
        replace(
            BASE,
            optimizer=_optimizer(optimizer, 2.0),
            penalty=PenaltyConfig(
                name=name,
                l1=strength if row.l1 else None,
                l2=strength if row.l2 else None,
            ).completed(),
        )
        for strength in (1e-3, 0.1)
    ]
    check_all([*members, replace(BASE, optimizer=_optimizer(optimizer, 2.0))])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([{"activation": name} for name in ACTIVATIONS], id="activations"),
        pytest.param([{"initializer": name} for name in INITIALIZERS], id="initializers"),
        pytest.param(
            [
                {"dropout": a, "input_dropout": b}
                for a, b in ((0, 0), (0.5, 0), (0, 0.4), (0.8, 0.2))
            ],
            id="dropout",
        ),
        pytest.param(
            [
                {"batch_norm": False},
                {"batch_norm_position": "after"},
                {"hidden": ()},
                {"hidden": (), "batch_norm": False, "activation": "tanh", "input_dropout": 0.3},
                {"hidden": (4, 7)},
                {"hidden": (4, 7), "activation": "prelu", "batch_norm_position": "after"},
                {"pooling": "concatenated"},
            ],
            id="shapes",
        ),
    ],
)
def test_member_is_what_it_is_alone_with_every_head(changes: list[dict[str, Any]]) -> None:
    check_all([replace(BASE, head=BASE.head.model_copy(update=change)) for change in changes])


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPPINGS)
def test_member_is_what_it_is_alone_when_clipped(clip: str) -> None:
    optimizers = [
        OptimizerConfig(name="momentum", learning_rate=0.1, clip=clip, clip_value=bound).completed()
        for bound in (0.02, 0.3, 100.0)
    ]
    check_all([replace(BASE, optimizer=optimizer) for optimizer in optimizers])


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema": 0.7},
        {"accumulation_steps": 2},
        {"accumulation_steps": 3, "clip": "global_norm", "clip_value": 0.1},
    ],
)
def test_member_is_what_it_is_alone_averaged_and_accumulated(settings: dict[str, Any]) -> None:
    check_all(
        [
            replace(BASE, optimizer=OptimizerConfig(learning_rate=rate, **settings).completed())
            for rate in (0.02, 0.1)
        ]
    )


@pytest.mark.slow
def test_member_is_what_it_is_alone_with_every_schedule() -> None:
    settings = {
        "step": {"every": 1},
        "multi_step": {"milestones": (1, 2)},
        "exponential": {"tenfold": 4.0},
        "reduce_on_plateau": {"patience": 1},
        "cosine": {"warmup": 0.25},
    }
    schedules = [ScheduleConfig(name=name, **settings.get(name, {})) for name in SCHEDULES]
    # So large a rate that the validation loss rises, and the performance schedule acts.
    optimizer = OptimizerConfig(name="nesterov", learning_rate=0.5)
    base = replace(BASE, epochs=5, optimizer=optimizer)
    check_all([replace(base, schedule=schedule) for schedule in schedules])


@pytest.mark.slow
def test_member_is_what_it_is_alone_with_every_loss() -> None:
    losses = [name for name, row in LOSSES.items() if row.kind == "single_label"]
    check_all(
        [
            replace(BASE, loss=loss, label_smoothing=smoothing, class_weights=weights)
            for loss in losses
            for smoothing in (0.0, 0.2)
            for weights in ((), (0.5, 1.0, 2.5))
        ]
    )


def test_each_member_stops_at_its_own_end() -> None:
    stoppings = [
        StoppingConfig(patience=1),
        StoppingConfig(patience=2, monitor="val_loss"),
        StoppingConfig(patience=1, every=2),
        StoppingConfig(patience=0),
    ]
    base = replace(BASE, epochs=8, optimizer=OptimizerConfig(learning_rate=0.3))
    members = [replace(base, stopping=stopping) for stopping in stoppings]
    check_all(members)
    outcomes = HeadTrainer().train(members, ROWS)
    assert len({outcome.epochs for outcome in outcomes}) > 1


def test_member_that_is_stopped_after_a_few_epochs_keeps_its_schedule() -> None:
    whole = replace(BASE, epochs=6, schedule=ScheduleConfig(name="cosine"))
    short = replace(whole, stop_after=2)
    long, cut = HeadTrainer().train([whole, short], ROWS)
    assert cut.epochs == 2
    assert [epoch["val_loss"] for epoch in cut.history] == pytest.approx(
        [epoch["val_loss"] for epoch in long.history[:2]], rel=1e-5
    )


def test_member_whose_loss_is_no_number_fails_and_harms_no_other() -> None:
    wild = OptimizerConfig(name="sgd", learning_rate=10.0)
    linear = BASE.head.model_copy(
        update={"hidden": (64,) * 6, "batch_norm": False, "activation": "relu"}
    )
    members = [
        replace(BASE, head=linear, optimizer=replace_rate(wild, rate), epochs=12)
        for rate in (10.0, 0.01)
    ]
    bad, good = HeadTrainer().train(members, ROWS, keep_weights=True)
    assert bad.failure.startswith("the loss is no longer a number in epoch")
    assert np.isnan(bad.score)
    check(members[1], good)


def replace_rate(config: OptimizerConfig, rate: float) -> OptimizerConfig:
    return config.model_copy(update={"learning_rate": rate})


def test_company_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [
        replace(BASE, optimizer=OptimizerConfig(name="adam", learning_rate=0.01 * (i + 1)))
        for i in range(5)
    ]
    population = HeadTrainer(list(ACTIVATIONS))
    whole = population.train(members, ROWS, keep_weights=True)
    # In another order, in stacks of other sizes, in a stack that held others before.
    backwards = population.train(members[::-1], ROWS, keep_weights=True)[::-1]
    monkeypatch.setattr("tuning.batched_heads.trainer._MOST_HEADS", 2)
    apart = population.train(members, ROWS, keep_weights=True)
    for one, *others in zip(whole, backwards, apart, strict=True):
        for other in others:
            for a, b in zip(one.weights or [], other.weights or [], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_old_stacks_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuning.batched_heads.trainer._MOST_STACKS", 2)
    population = HeadTrainer()
    for units in (2, 3, 4, 2):
        head = BASE.head.model_copy(update={"hidden": (units,)})
        population.train([replace(BASE, head=head, epochs=1)], ROWS)
    assert len(population._stacks) == 2


def test_optimizer_that_looks_at_all_weights_is_refused() -> None:
    for row in OPTIMIZERS.values():
        member = replace(BASE, optimizer=OptimizerConfig(name=row.name).completed())
        assert can_stack(member) == row.elementwise
        if not row.elementwise:
            with pytest.raises(ValueError, match="cannot train heads side by side"):
                HeadTrainer().train([member], ROWS)
