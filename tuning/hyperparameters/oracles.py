"""KerasTuner's search algorithms behind an ask-and-tell interface for batches of trials.

The oracles live in memory only. KerasTuner writes its own files in place, so a kill during
a write leaves a project that cannot be opened. A search is resumed by replaying it instead:
a new oracle with the same seed proposes the same trials and is told the recorded results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tuning.hyperparameters.space import SearchSpace
from tuning.hyperparameters.trial import Result, Trial
from zoo.private_api import build_bayesian_class, build_grid_class, build_hyperband_class, in_memory
from zoo.table import Table

_FACTOR = 3
"""Hyperband's reduction factor: a third of the trials continues, for three times the epochs."""


@dataclass(frozen=True)
class Tuner:
    """A search algorithm.

    Args:
        name: The key in TUNERS.
        summary: When to use it.
        batch_size: Trials proposed at a time. They train together, and none of them learns
            from another.
        build: Builds a KerasTuner oracle from the arguments that all oracles take, the
            number of trials and the epochs of a trial.
        paper: Its paper.
        extendable: Whether the first trials are the same whatever their number, so that a
            search may go on with more of them.
    """

    name: str
    summary: str
    batch_size: int
    build: Callable[[Mapping[str, Any], int, int], Any]
    paper: str = ""
    extendable: bool = False


def _build_random(common: Mapping[str, Any], num_trials: int, epochs: int) -> Any:
    from keras_tuner import oracles

    return in_memory(oracles.RandomSearchOracle)(max_trials=num_trials, **common)


def _build_bayesian(common: Mapping[str, Any], num_trials: int, epochs: int) -> Any:
    # KerasTuner draws the first 3 × dimensions trials at random, which may be all trials of
    # a short search.
    num_dimensions = len(common["hyperparameters"].space)
    num_random = max(min(3 * num_dimensions, num_trials // 2), 3)
    return build_bayesian_class()(max_trials=num_trials, num_initial_points=num_random, **common)


def _build_hyperband(common: Mapping[str, Any], num_trials: int, epochs: int) -> Any:
    # Iterations repeat until `max_trials` ends the search; there are never more than trials.
    oracle = build_hyperband_class()(
        max_epochs=epochs, factor=_FACTOR, hyperband_iterations=num_trials, **common
    )
    oracle.max_trials = num_trials
    return oracle


def _build_grid(common: Mapping[str, Any], num_trials: int, epochs: int) -> Any:
    return build_grid_class()(max_trials=num_trials, **common)


TUNERS: Table[Tuner] = Table(
    "tuner",
    [
        Tuner(
            "random",
            "the default: as good as any where trials are cheap; all of them train together",
            128,
            _build_random,
            "https://jmlr.org/papers/v13/bergstra12a.html",
            extendable=True,
        ),
        Tuner(
            "bayesian",
            "proposes trials by the results of earlier ones: for few, expensive trials",
            12,
            _build_bayesian,
            "https://arxiv.org/abs/1206.2944",
        ),
        Tuner(
            "hyperband",
            "stops poor trials early: for trials of many epochs; each promotion counts as a "
            "trial, and goes on where it trains alone",
            64,
            _build_hyperband,
            "https://arxiv.org/abs/1603.06560",
        ),
        Tuner(
            "grid",
            "every combination once: for small spaces of choices",
            128,
            _build_grid,
            extendable=True,
        ),
    ],
)


class BatchedOracle:
    """A search algorithm that proposes trials, and receives their results, in batches.

    The same arguments and results give the same trials.

    Args:
        tuner: A row of TUNERS.
        space: The search space.
        objective: The name of the metric that scores are values of.
        maximize: Whether a larger score is better.
        num_trials: Trials to propose in all.
        epochs: Epochs of a trial that is not stopped early.
        seed: Seeds the proposals.

    Example:
        >>> space = SearchSpace.from_settings({"x": [1, 2]}, ["x"], lambda values: None)
        >>> oracle = BatchedOracle(
        ...     "grid", space, objective="accuracy", maximize=True, num_trials=9, epochs=1, seed=0
        ... )
        >>> [trial.values for trial in oracle.ask()]
        [{'x': 1}, {'x': 2}]
        >>> oracle.tell({"0": Result(score=0.5), "1": Result(score=0.9)})
        >>> oracle.ask()
        []
    """

    def __init__(
        self,
        tuner: str,
        space: SearchSpace,
        *,
        objective: str,
        maximize: bool,
        num_trials: int,
        epochs: int,
        seed: int,
    ) -> None:
        import keras_tuner

        row = TUNERS[tuner]
        common = {
            "objective": keras_tuner.Objective(objective, "max" if maximize else "min"),
            "hyperparameters": space.build_hyperparameters(),
            "tune_new_entries": False,
            "allow_new_entries": False,
            # KerasTuner replaces a seed of 0 by a random one.
            "seed": seed + 1,
            "max_consecutive_failed_trials": num_trials + 1,
        }
        self.space, self.objective = space, objective
        self._oracle = row.build(common, num_trials, epochs)
        self._oracle.verbose = 0
        self._batch_size = row.batch_size
        self._first_batch_size = max(row.batch_size, getattr(self._oracle, "num_initial_points", 0))
        self._pending: list[Any] = []
        self._id_width = len(str(num_trials - 1))
        self._epochs = epochs

    def ask(self) -> list[Trial]:
        """Proposes the next batch of trials; an empty one ends the search.

        Raises:
            ValueError: The previous batch has no results yet.
        """
        if self._pending:
            raise ValueError(
                "The previous batch has no results yet; expected tell() between two calls of ask()"
            )
        with _quiet_and_fast():
            batch_size = self._batch_size if self._oracle.trials else self._first_batch_size
            for slot in range(batch_size):
                proposed = self._oracle.create_trial(f"slot{slot}")
                if proposed.status != "RUNNING":
                    break
                self._pending.append(proposed)
        return [self._to_trial(proposed) for proposed in self._pending]

    def tell(self, results: Mapping[str, Result]) -> None:
        """Receives the results of the batch that `ask` returned.

        Args:
            results: By trial id; those of other trials are ignored.
        """
        with _quiet_and_fast():
            for pending in self._pending:
                result = results[self._id_of(pending.trial_id)]
                if result.score is None:
                    pending.status, pending.message = "FAILED", result.failure
                else:
                    self._oracle.update_trial(pending.trial_id, {self.objective: result.score})
                    pending.status = "COMPLETED"
                self._oracle.end_trial(pending)
        self._pending = []

    def _to_trial(self, proposed: Any) -> Trial:
        values = proposed.hyperparameters.values
        epochs = int(values.get("tuner/epochs", 0))
        stop_after = epochs if epochs < self._epochs else 0
        before = values.get("tuner/trial_id")
        return Trial(
            self._id_of(proposed.trial_id),
            self.space.decode(values),
            stop_after,
            promoted_from=self._id_of(before) if before is not None else "",
            trained_epochs=int(values.get("tuner/initial_epoch", 0)),
        )

    def _id_of(self, number: str) -> str:
        return f"{int(number):0{self._id_width}d}"


@contextmanager
def _quiet_and_fast() -> Iterator[None]:
    """Speeds up KerasTuner's Gaussian process, and silences its warnings."""
    import sklearn
    from threadpoolctl import threadpool_limits

    # KerasTuner evaluates the Gaussian process at one point at a time, thousands of times:
    # input checks and threads take five times as long as the computation.
    unchecked = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
    with warnings.catch_warnings(), unchecked, threadpool_limits(1):
        # KerasTuner 1.4.8 calls deprecated methods of threads. Its Gaussian process does not
        # always converge, which makes a proposal less good and nothing wrong.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", module="sklearn")
        yield
