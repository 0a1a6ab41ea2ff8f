"""Private API of Keras, KerasTuner, TensorFlow Datasets and others, all of it in this file.

These libraries promise nothing about it. It was read in the versions of `READ_IN`;
`tests/zoo/test_private_api.py` fails when another minor version is installed, or when
something here no longer does what it says.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

READ_IN = {
    "keras": "3.15.1",
    "keras-tuner": "1.4.8",
    "tensorflow-cpu": "2.21.0",
    "tensorflow-datasets": "4.9.10",
    "threadpoolctl": "3.8.0",
}
"""The version of each distribution that this file was written for."""

OPTIMIZER_SLOTS = {
    "Adagrad": ("accumulators",),
    "Adadelta": ("accumulated_grads", "accumulated_delta_vars"),
    "RMSprop": ("velocities",),
    "Adam": ("momentums", "velocities"),
    "Nadam": ("momentums", "velocities"),
    "Adamax": ("u",),
    "Lamb": ("momentums", "velocities"),
}
"""By class of `keras.optimizers`, the slots that `optimizer_slot` reads."""


# Keras: layers, models and their graphs.


def build_at_init(layer: Any) -> None:
    """Marks a Keras layer without weights as built, at the end of its constructor.

    Otherwise Keras warns of a layer whose `build` does nothing.
    """
    layer._build_at_init()


def nested_layers(model: Any) -> list[Any]:
    """Returns a Keras model and its layers, those of nested models included."""
    return list(model._flatten_layers())


def inputs_in(model: Any) -> dict[int, list[Any]]:
    """Returns the Keras tensors that go into each layer and operation, by its identity.

    Args:
        model: Functional. What goes into its layers in other models is left out.
    """
    inputs: dict[int, list[Any]] = {}
    for node in (node for nodes in model._nodes_by_depth.values() for node in nodes):
        inputs.setdefault(id(node.operation), []).extend(node.input_tensors)
    return inputs


def calls_in(model: Any) -> list[Any]:
    """Returns the layers and operations of a functional or sequential model, once for each call."""
    graph = getattr(model, "_functional", None) or model  # a Sequential model has one
    return [node.operation for nodes in graph._nodes_by_depth.values() for node in nodes]


def producer_of(tensor: Any) -> Any:
    """Returns the Keras operation whose output a Keras tensor is."""
    return tensor._keras_history.operation


_OPTIMIZATIONS = 3
"""Proposals of the Gaussian process before one is drawn at random."""

_COLLISIONS = 1000
"""Draws of known settings in a row before a space counts as exhausted."""


# Keras and TensorFlow: state of the process.


def save_keras_state() -> Callable[[], None]:
    """Gives this thread a fresh state of Keras: dtype policy, seed, names of layers.

    Returns:
        A function that puts the former state back, also after `keras.utils.clear_session`,
        which takes the state of every thread away.
    """
    from keras.src.backend.common import global_state

    trackers = {
        name: getattr(global_state, name)
        for name in ("GLOBAL_STATE_TRACKER", "GLOBAL_SETTINGS_TRACKER")
    }
    before = {name: dict(vars(tracker)) for name, tracker in trackers.items()}
    vars(global_state.GLOBAL_STATE_TRACKER).clear()

    def restore() -> None:
        for name, tracker in trackers.items():
            setattr(global_state, name, tracker)
            vars(tracker).clear()
            vars(tracker).update(before[name])

    return restore


def save_tensorflow_seed() -> Callable[[], None]:
    """Returns a function that puts TensorFlow's seed, and what follows from it, back."""
    from tensorflow.python.eager import context

    seed, rng = context.context()._seed, getattr(context.context(), "_rng", None)

    def restore() -> None:
        # Setting a seed drops the kernels of every function, which then take seconds to come back.
        if getattr(context.context(), "_rng", None) is not rng:
            context.context()._set_global_seed(seed)
            context.context()._rng = rng

    return restore


def is_tensorflow_started() -> bool:
    """Returns whether TensorFlow, which has been imported, has started its threads."""
    from tensorflow.python.eager import context

    return bool(context.context()._initialized)


def is_op_determinism_enabled() -> bool:
    """Returns whether TensorFlow uses deterministic operations only."""
    from tensorflow.python.framework import config

    return bool(config.is_op_determinism_enabled())


def disable_op_determinism() -> None:
    """Lets TensorFlow use other operations again."""
    from tensorflow.python.framework import config

    config.disable_op_determinism()


# Keras: optimizers.


def variable_index(optimizer: Any, variable: Any) -> int:
    """Returns the position of a variable among those a built Keras optimizer trains."""
    return int(optimizer._get_variable_index(variable))


def optimizer_slot(optimizer: Any, name: str, index: int) -> Any:
    """Returns the variable in which a built Keras optimizer accumulates for one it trains.

    Args:
        optimizer: A Keras optimizer of a class in OPTIMIZER_SLOTS.
        name: One of its slots.
        index: The position of the trained variable.
    """
    return getattr(optimizer, f"_{name}")[index]


def moving_averages(optimizer: Any) -> list[Any]:
    """Returns the averages that a built Keras optimizer with `use_ema` keeps.

    One for each trained variable, in their order.
    """
    return optimizer._model_variables_moving_average


def replace_clipping(optimizer: Any, clip: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    """Has a Keras optimizer clip gradients by a function instead of its own arguments."""
    optimizer._clip_gradients = clip


def optimizer_base(optimizer_class: Any) -> Any:
    """Returns a Keras optimizer class to derive from.

    It leaves weight decay to its subclasses. On one device it leaves gradients as they are, where
    Keras would sum them over a single replica: TensorFlow keeps the gradient of that sum, and with
    it the whole graph, for as long as the process lives.
    """

    class Base(optimizer_class):
        def _apply_weight_decay(self, variables: list[Any]) -> None:
            """Changes nothing."""

        def _all_reduce_sum_gradients(self, pairs: Any) -> Any:
            if self._distribution_strategy.num_replicas_in_sync == 1:
                return pairs
            return super()._all_reduce_sum_gradients(pairs)

    return Base


# KerasTuner.


def build_condition(parent: str, values: Sequence[str]) -> Any:
    """Builds the condition under which a KerasTuner hyperparameter is active.

    Args:
        parent: The name of another hyperparameter.
        values: Those of its values that make this one active.
    """
    from keras_tuner.src.engine.conditions import Parent

    return Parent(parent, list(values))


def in_memory(oracle_class: Any) -> Any:
    """Returns a KerasTuner oracle class that writes no files."""

    class InMemoryOracle(oracle_class):
        def save(self) -> None:
            """Writes nothing."""

        def _save_trial(self, trial: Any) -> None:
            """Writes nothing."""

    return InMemoryOracle


def build_hyperband_class() -> Any:
    """Returns KerasTuner's Hyperband, in memory, with one bracket's first round at a time.

    KerasTuner answers a request during a bracket's first round with the first round of
    another bracket. With many requests before the first result it opens brackets without
    end, and promotes no trial of any.
    """
    from keras_tuner import oracles

    class SequentialHyperband(in_memory(oracles.HyperbandOracle)):  # type: ignore[misc]
        def _random_trial(self, trial_id: str, bracket: Any) -> Any:
            ongoing = [trial.hyperparameters.values for trial in self.ongoing_trials.values()]
            if not bracket["rounds"][0] and any(v["tuner/round"] == 0 for v in ongoing):
                return {"status": "IDLE"}
            return super()._random_trial(trial_id, bracket)

    return SequentialHyperband


def build_bayesian_class() -> Any:
    """Returns KerasTuner's Bayesian search, in memory, which proposes no setting twice.

    KerasTuner takes the optimum of its Gaussian process as it is: between few choices, or
    for trials proposed together, that is often a setting whose result is known or awaited.
    Then another random start of the same optimization is tried, and after a few a setting
    that is drawn among those that are left.
    """
    from keras_tuner import oracles

    class BayesianWithoutRepeats(in_memory(oracles.BayesianOptimizationOracle)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            """Proposes values that no trial has."""
            for _ in range(_OPTIMIZATIONS):
                proposed = super().populate_space(trial_id)
                if proposed["status"] != "RUNNING" or not self._is_known(proposed["values"]):
                    return proposed
            self._max_collisions = _COLLISIONS
            return self._random_populate_space()

        def _is_known(self, values: Any) -> bool:
            hyperparameters = self.hyperparameters.copy()
            hyperparameters.values = dict(values)
            hyperparameters.ensure_active_values()
            return bool(self._duplicate(hyperparameters.values))

    return BayesianWithoutRepeats


def build_grid_class() -> Any:
    """Returns KerasTuner's grid search, in memory, with all trials available at once.

    KerasTuner looks for the next combination when a trial ends, since a trial might add
    hyperparameters; here none does.
    """
    from keras_tuner import oracles

    class EagerGridSearch(in_memory(oracles.GridSearchOracle)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            answer = super().populate_space(trial_id)
            if answer["status"] == "RUNNING":
                self._populate_next.append(trial_id)
            return answer

    return EagerGridSearch


# TensorFlow Datasets.


@contextlib.contextmanager
def replaced_download(
    build_open_url: Callable[[Callable[..., Any]], Callable[..., Any]], *, max_retries: int
) -> Iterator[None]:
    """Replaces how TFDS opens a URL, until the context ends.

    Args:
        build_open_url: Maps TFDS' own function to its replacement; both take a URL and
            the keyword arguments of `requests.get`.
        max_retries: Attempts at a download before it fails.
    """
    from tensorflow_datasets.core.download import downloader

    original, retries = downloader._open_url, downloader.MAX_RETRIES
    downloader._open_url = build_open_url(original)
    downloader.MAX_RETRIES = max_retries
    try:
        yield
    finally:
        downloader._open_url, downloader.MAX_RETRIES = original, retries


# Python, 3.11 to 3.13.


def compress_noise(member: Any) -> None:
    """Has deflate write noise-like bytes as literals, in a member of a zip file.

    By default it replaces three equal bytes by a reference to earlier ones; the sign and exponent
    bytes of weights then take 3 % more. Each `write` ends a block and has a code of its own.

    Args:
        member: A member of a deflated `zipfile.ZipFile`, just opened for writing.
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
    member._compressor = SimpleNamespace(
        compress=lambda data: deflate.compress(data) + deflate.flush(zlib.Z_BLOCK),
        flush=deflate.flush,
    )


# threadpoolctl.


def set_blas_threads(library: Any, count: int) -> None:
    """Sets the threads of a library, whichever thread of the process set them last.

    Args:
        library: One of a `ThreadpoolController`'s, which would leave OpenBLAS as it is while
            another thread of Python holds a limit of its own.
        count: From now on, in the whole process.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)
