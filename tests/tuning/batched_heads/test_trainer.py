"""Head trainer: each head ends as it does when Keras trains it alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from tuning.batched_heads.head_spec import HeadSpec
from tuning.batched_heads.trainer import Batches, HeadTrainer, Outcome, can_stack
from tuning.early_stopping import EarlyStopping, StoppingConfig, validated_epochs
from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.losses import LOSSES, build_loss
from tuning.optimization.optimizer_config import OptimizerConfig, build_optimizer, build_rules
from tuning.optimization.optimizers import OPTIMIZERS
from tuning.optimization.penalties import PENALTIES, PenaltyConfig
from tuning.optimization.schedules import SCHEDULES, ScheduleConfig, build_schedule
from tuning.reduce_on_plateau import ReduceOnPlateau
from tuning.weight_averaging import build_averaging_callbacks
from zoo.errors import TrainingError
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import HeadConfig, build_head, initialize_head
from zoo.heads.initializers import INITIALIZERS
from zoo.models.trainable import build_head_model

pytestmark = pytest.mark.train

FEATURES, CLASSES, STEPS, BATCH = 6, 3, 4, 8


@dataclass
class Sample:
    """Three overlapping clusters, in a new order in every epoch."""

    num_features: int = FEATURES
    num_classes: int = CLASSES
    steps_per_epoch: int = STEPS
    batch_size: int = BATCH
    chunk: int = 3
    seed: int = 0
    num_validated: int = 21

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.labels = rng.integers(0, CLASSES, STEPS * self.batch_size)
        centers = rng.normal(size=(CLASSES, self.num_features))
        noise = rng.normal(size=(STEPS * self.batch_size, self.num_features))
        self.features = (centers[self.labels] + noise).astype(np.float32)
        self.val_labels = rng.integers(0, CLASSES, self.num_validated)
        noise = rng.normal(size=(self.num_validated, self.num_features))
        self.val_features = (centers[self.val_labels] + noise).astype(np.float32)
        self.sample_weights = rng.uniform(0.5, 1.5, STEPS * self.batch_size).astype(np.float32)

    def order(self, epoch: int) -> np.ndarray:
        return (
            np.random.default_rng(epoch)
            .permutation(STEPS * self.batch_size)
            .reshape(STEPS, self.batch_size)
        )

    def train(self, epoch: int) -> Iterator[Batches]:
        for some in np.split(self.order(epoch), range(self.chunk, STEPS, self.chunk)):
            yield Batches(self.features[some], self.labels[some], self.sample_weights[some])

    def validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for some in np.split(np.arange(self.num_validated), [10]):
            yield self.val_features[some], self.val_labels[some]


def replace(spec: HeadSpec, **changes: Any) -> HeadSpec:
    return spec.model_copy(update=changes)


ROWS = Sample()
BASE = HeadSpec(
    head=HeadConfig(hidden=(5,), dropout=0.3, input_dropout=0.1),
    optimizer=OptimizerConfig(name="adam", learning_rate=0.02),
    stopping=StoppingConfig(patience=0),
    epochs=3,
)


def alone(spec: HeadSpec, rows: Sample = ROWS) -> Outcome:
    """Trains a head by the layers and `fit` of Keras, as `zoo train` does."""
    channels = rows.num_features // (2 if spec.head.pooling == "concatenated" else 1)
    maps = keras.Input((1, 1, channels))
    model = build_head_model(keras.Model(maps, build_head(maps, spec.head, rows.num_classes)))
    initialize_head(model.layers, spec.seed)
    rate = spec.optimizer.completed().learning_rate or 0.0
    schedule = build_schedule(spec.schedule, rate, STEPS * spec.epochs, STEPS)
    rules = build_rules(spec.optimizer, spec.penalty)
    model.compile(
        build_optimizer(spec.optimizer, schedule, rule_of=rules, steps_per_epoch=STEPS),
        loss=build_loss(
            spec.loss,
            label_smoothing=spec.label_smoothing,
            focal_gamma=spec.focal_gamma,
            from_logits=True,
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)
    stopping, plateau = EarlyStopping(spec.stopping), ReduceOnPlateau(spec.schedule)
    outcome = Outcome()
    class_weights = np.array(spec.class_weights or [1.0] * CLASSES, np.float32)

    def one_hot(labels: np.ndarray) -> np.ndarray:
        return np.eye(CLASSES, dtype=np.float32)[labels]

    def end_epoch(epoch: int, logs: Any) -> None:
        outcome.history.append({k: v for k, v in logs.items() if k != "accuracy"})
        model.stop_training = not stopping.end_epoch(model, epoch, logs)
        if "val_loss" in logs:
            factor = plateau.update(logs["val_loss"])
            if factor < 1:
                model.optimizer.learning_rate = float(model.optimizer.learning_rate) * factor

    order = np.concatenate([rows.order(epoch).ravel() for epoch in range(spec.epochs)])
    weights = rows.sample_weights[order] * class_weights[rows.labels[order]]
    data = (rows.features[order], one_hot(rows.labels[order]), weights)
    try:
        model.fit(
            tf.data.Dataset.from_tensor_slices(data).batch(BATCH),
            steps_per_epoch=STEPS,
            epochs=spec.max_epochs,
            validation_data=(rows.val_features, one_hot(rows.val_labels)),
            validation_freq=validated_epochs(spec.stopping, 0, spec.epochs),
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=end_epoch),
                *build_averaging_callbacks(model),
            ],
        )
    except TrainingError as error:
        outcome.failure = str(error)
        return outcome
    outcome.score, outcome.loss = stopping.best, stopping.best_loss
    outcome.best_epoch, outcome.epochs = stopping.best_epoch, len(outcome.history)
    outcome.weights = stopping.best_weights
    return outcome


def check(spec: HeadSpec, together: Outcome, rows: Sample = ROWS, tolerance: float = 2e-5) -> None:
    expected = alone(spec, rows)
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


def check_all(specs: list[HeadSpec], rows: Sample = ROWS) -> list[Outcome]:
    """Compares heads that train together with each trained alone; returns the former."""
    outcomes = HeadTrainer().train(specs, rows, keep_weights=True)
    for spec, outcome in zip(specs, outcomes, strict=True):
        check(spec, outcome, rows)
    return outcomes


def _optimizer(name: str, rate: float, **settings: Any) -> OptimizerConfig:
    usual = OPTIMIZERS[name].learning_rate
    return OptimizerConfig(name=name, learning_rate=rate * usual, **settings).completed()


def test_heads_of_one_stack_train_as_they_do_alone() -> None:
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
def test_head_trains_as_it_does_alone_with_every_optimizer(name: str) -> None:
    check_all(
        [
            replace(BASE, optimizer=_optimizer(name, rate, weight_decay=decay))
            for rate, decay in ((1.0, 0.0), (3.0, 0.1), (0.3, 0.0))
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["nesterov", "adam", "rmsprop"])
def test_head_trains_as_it_does_alone_with_every_penalty(optimizer: str) -> None:
    penalties = [
        PenaltyConfig(
            name=row.name,
            l1=strength if row.l1 else None,
            l2=strength if row.l2 else "auto",
        ).completed()
        for row in PENALTIES.values()
        for strength in ((1e-3, 0.1) if row.l1 or row.l2 else (0.0,))
    ]
    base = replace(BASE, optimizer=_optimizer(optimizer, 2.0))
    check_all([replace(base, penalty=penalty) for penalty in penalties])


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
def test_head_trains_as_it_does_alone_with_every_head(changes: list[dict[str, Any]]) -> None:
    check_all([replace(BASE, head=BASE.head.model_copy(update=change)) for change in changes])


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPPINGS)
def test_head_trains_as_it_does_alone_when_clipped(clip: str) -> None:
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
def test_head_trains_as_it_does_alone_averaged_and_accumulated(settings: dict[str, Any]) -> None:
    check_all(
        [
            replace(BASE, optimizer=OptimizerConfig(learning_rate=rate, **settings).completed())
            for rate in (0.02, 0.1)
        ]
    )


@pytest.mark.slow
def test_head_trains_as_it_does_alone_with_every_schedule() -> None:
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
def test_head_trains_as_it_does_alone_with_every_loss() -> None:
    losses = [name for name, row in LOSSES.items() if row.kind == "single_label"]
    check_all(
        [
            replace(BASE, loss=loss, label_smoothing=smoothing, class_weights=weights)
            for loss in losses
            for smoothing in (0.0, 0.2)
            for weights in ((), (0.5, 1.0, 2.5))
        ]
    )


def test_each_head_stops_by_its_own_early_stopping() -> None:
    stoppings = [
        StoppingConfig(patience=1),
        StoppingConfig(patience=2, monitor="val_loss"),
        StoppingConfig(patience=1, every=2),
        StoppingConfig(patience=0),
    ]
    base = replace(BASE, epochs=8, optimizer=OptimizerConfig(learning_rate=0.3))
    specs = [replace(base, stopping=stopping) for stopping in stoppings]
    outcomes = check_all(specs)
    assert len({outcome.epochs for outcome in outcomes}) > 1


def test_stop_after_keeps_the_schedule_of_all_epochs() -> None:
    whole = replace(BASE, epochs=6, schedule=ScheduleConfig(name="cosine"))
    short = replace(whole, stop_after=2)
    long, cut = HeadTrainer().train([whole, short], ROWS)
    assert cut.epochs == 2
    assert [epoch["val_loss"] for epoch in cut.history] == pytest.approx(
        [epoch["val_loss"] for epoch in long.history[:2]], rel=1e-5
    )


def test_diverged_head_fails_and_changes_no_other() -> None:
    wild = OptimizerConfig(name="sgd", learning_rate=10.0)
    linear = BASE.head.model_copy(
        update={"hidden": (64,) * 4, "batch_norm": False, "activation": "relu"}
    )
    specs = [
        replace(BASE, head=linear, optimizer=replace_rate(wild, rate), epochs=12)
        for rate in (10.0, 0.01)
    ]
    bad, good = HeadTrainer().train(specs, ROWS, keep_weights=True)
    assert bad.failure.startswith("the loss is not finite in epoch")
    assert np.isnan(bad.score)
    check(specs[1], good)


def replace_rate(config: OptimizerConfig, rate: float) -> OptimizerConfig:
    return config.model_copy(update={"learning_rate": rate})


def test_outcome_is_independent_of_the_other_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [
        replace(BASE, optimizer=OptimizerConfig(name="adam", learning_rate=0.01 * (i + 1)))
        for i in range(5)
    ]
    trainer = HeadTrainer(list(ACTIVATIONS))
    whole = trainer.train(specs, ROWS, keep_weights=True)
    # In another order, in stacks of other sizes, and in a stack used before.
    backwards = trainer.train(specs[::-1], ROWS, keep_weights=True)[::-1]
    monkeypatch.setattr("tuning.batched_heads.trainer._MAX_HEADS", 2)
    apart = trainer.train(specs, ROWS, keep_weights=True)
    for one, *others in zip(whole, backwards, apart, strict=True):
        for other in others:
            for a, b in zip(one.weights or [], other.weights or [], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


@pytest.mark.slow
def test_heads_of_several_divisions_train_as_on_each_alone() -> None:
    """Folds have other rows, and not always as many of them; the numbers are the same."""
    divisions = [
        Sample(seed=0),
        Sample(seed=1, num_validated=17),
        Sample(seed=2, num_validated=9, batch_size=BATCH - 1),
    ]
    stopping = StoppingConfig(patience=2)
    specs = [
        replace(BASE, epochs=6, stopping=stopping, head=BASE.head.model_copy(update=changes))
        for changes in ({}, {"activation": "tanh"}, {"hidden": ()}, {"batch_norm": True})
    ]
    together = HeadTrainer().train_divided([specs] * 3, divisions, keep_weights=True)
    trainer = HeadTrainer()
    for outcomes, rows in zip(together, divisions, strict=True):
        separate = trainer.train(specs, rows, keep_weights=True)
        for one, other in zip(outcomes, separate, strict=True):
            for epoch, same in zip(one.history, other.history, strict=True):
                assert epoch == pytest.approx(same, rel=1e-5)
            assert (one.score, one.best_epoch) == (other.score, other.best_epoch)
            for a, b in zip(one.weights or [], other.weights or [], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    check(specs[0], together[1][0], divisions[1])


def test_image_metrics_are_those_of_each_row() -> None:
    divisions = [Sample(seed=0), Sample(seed=1, num_validated=17)]
    specs = [replace(BASE, stopping=StoppingConfig(patience=0, every=2)), BASE]
    trainer = HeadTrainer()
    kept = [
        trainer.train_divided([specs] * 2, divisions, keep_weights=True, keep_image_metrics=epochs)
        for epochs in ("all", "best")
    ]
    for rows, every, best in zip(divisions, *kept, strict=True):
        for spec, outcome, short in zip(specs, every, best, strict=True):
            validated = [epoch - 1 for epoch in validated_epochs(spec.stopping, 0, spec.epochs)]
            assert list(outcome.image_metrics) == validated
            for epoch, metrics in outcome.image_metrics.items():
                loss, accuracy = metrics.mean(axis=1, dtype=np.float64)
                assert outcome.history[epoch]["val_loss"] == loss
                assert outcome.history[epoch]["val_accuracy"] == accuracy
            assert list(short.image_metrics) == [outcome.best_epoch]
            maps = keras.Input((1, 1, FEATURES))
            model = build_head_model(keras.Model(maps, build_head(maps, spec.head, CLASSES)))
            model.set_weights(outcome.weights)
            logits = model.predict(rows.val_features, verbose=0).astype(np.float64)
            losses = -log_softmax(logits, axis=1)[range(len(logits)), rows.val_labels]
            metrics = outcome.image_metrics[outcome.best_epoch]
            np.testing.assert_allclose(metrics[0], losses, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(metrics[1], logits.argmax(axis=1) == rows.val_labels)


def test_least_recently_used_stack_is_dropped_with_its_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuning.batched_heads.trainer._MAX_STACKS", 1)
    trainer = HeadTrainer()
    graphs = []
    for units in (2, 3):
        # Not with silu: TensorFlow keeps the gradient of its own, and so the graph.
        head = BASE.head.model_copy(update={"hidden": (units,), "activation": "step"})
        trainer.train([replace(BASE, head=head, epochs=1)], ROWS)
        gc.collect()
        graphs.append(sum(isinstance(held, tf.Graph) for held in gc.get_objects()))
    assert len(trainer._stacks) == 1
    assert graphs[0] == graphs[1] > 0


def test_optimizer_that_is_not_elementwise_raises() -> None:
    for row in OPTIMIZERS.values():
        spec = replace(BASE, optimizer=OptimizerConfig(name=row.name).completed())
        assert can_stack(spec) == row.elementwise
        if not row.elementwise:
            with pytest.raises(ValueError, match="cannot train heads side by side"):
                HeadTrainer().train([spec], ROWS)
