"""Oracles: KerasTuner's search algorithms, asked for many trials at once.

They live in memory alone. KerasTuner's own files are written in place, and a kill in the
middle leaves a project that cannot be opened; here a search is brought back by asking a
fresh oracle, with the same seed, the same questions and telling it the same results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tuning.hyperparameters.space import Space
from tuning.hyperparameters.trial import Result, Trial
from zoo.table import Table

_FACTOR = 3
"""Hyperband's: a third of the trials goes on, for three times the epochs."""


@dataclass(frozen=True)
class Tuner:
    """One way to search.

    Args:
        name: The key in TUNERS.
        summary: When to use it.
        batch: How many trials are asked for at once. They train together, and none of
            them can learn from another.
        build: Maps KerasTuner's oracle module, what all oracles take, the number of
            trials and the epochs of a trial to an oracle.
        paper: Where it comes from.
    """

    name: str
    summary: str
    batch: int
    build: Callable[[Any, Mapping[str, Any], int, int], Any]
    paper: str = ""


def _random(oracles: Any, common: Mapping[str, Any], trials: int, epochs: int) -> Any:
    return _in_memory(oracles.RandomSearchOracle)(max_trials=trials, **common)


def _bayesian(oracles: Any, common: Mapping[str, Any], trials: int, epochs: int) -> Any:
    # KerasTuner would draw at random for three times as many trials as there are settings,
    # which in a short search is all of them.
    dimensions = len(common["hyperparameters"].space)
    first = max(min(3 * dimensions, trials // 2), 3)
    return _in_memory(oracles.BayesianOptimizationOracle)(
        max_trials=trials, num_initial_points=first, **common
    )


def _hyperband(oracles: Any, common: Mapping[str, Any], trials: int, epochs: int) -> Any:
    class Oracle(_in_memory(oracles.HyperbandOracle)):  # type: ignore[misc]
        def _random_trial(self, trial_id: str, bracket: Any) -> Any:
            """Opens no bracket while the trials that open another are still in training.

            KerasTuner would open one after the other, and none would ever go on.
            """
            ongoing = [trial.hyperparameters.values for trial in self.ongoing_trials.values()]
            if not bracket["rounds"][0] and any(v["tuner/round"] == 0 for v in ongoing):
                return {"status": "IDLE"}
            return super()._random_trial(trial_id, bracket)

    # It begins anew until there are trials enough.
    oracle = Oracle(max_epochs=epochs, factor=_FACTOR, hyperband_iterations=trials, **common)
    oracle.max_trials = trials
    return oracle


def _grid(oracles: Any, common: Mapping[str, Any], trials: int, epochs: int) -> Any:
    class Oracle(_in_memory(oracles.GridSearchOracle)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            """Does not wait for a trial's end to look for the next: no setting turns up late."""
            found = super().populate_space(trial_id)
            if found["status"] == "RUNNING":
                self._populate_next.append(trial_id)
            return found

    return Oracle(max_trials=trials, **common)


TUNERS: Table[Tuner] = Table(
    "tuner",
    [
        Tuner(
            "random",
            "the default: as good as any while trials are cheap, and all train at once",
            128,
            _random,
            "https://jmlr.org/papers/v13/bergstra12a.html",
        ),
        Tuner(
            "bayesian",
            "learns from earlier trials where to look: for few trials that are dear",
            12,
            _bayesian,
            "https://arxiv.org/abs/1206.2944",
        ),
        Tuner(
            "hyperband",
            "stops the poor ones early: for trials of many epochs; each promotion counts as a "
            "trial, and is trained from its start",
            64,
            _hyperband,
            "https://arxiv.org/abs/1603.06560",
        ),
        Tuner("grid", "every combination in turn: for a small space of choices", 128, _grid),
    ],
)


class BatchedOracle:
    """An oracle that is asked for, and told, a batch of trials at a time.

    The same arguments and the same results give the same trials.

    Args:
        tuner: A row of TUNERS.
        space: What is searched.
        objective: The figure a score is.
        maximize: Whether a larger one is better.
        trials: How many there are to be.
        epochs: Of a trial that is not stopped early.
        seed: Of what is drawn.
    """

    def __init__(
        self,
        tuner: str,
        space: Space,
        *,
        objective: str,
        maximize: bool,
        trials: int,
        epochs: int,
        seed: int,
    ) -> None:
        import keras_tuner
        from keras_tuner import oracles

        row = TUNERS[tuner]
        common = {
            "objective": keras_tuner.Objective(objective, "max" if maximize else "min"),
            "hyperparameters": space.build_hyperparameters(),
            "tune_new_entries": False,
            "allow_new_entries": False,
            # 0 would be taken for none, and a random one.
            "seed": seed + 1,
            "max_consecutive_failed_trials": trials + 1,
        }
        self.space, self.objective = space, objective
        self._oracle = row.build(oracles, common, trials, epochs)
        self._oracle.verbose = 0
        self._first = max(row.batch, getattr(self._oracle, "num_initial_points", 0))
        self._batch = row.batch
        self._asked: list[Any] = []
        self._width = len(str(trials - 1))
        self._epochs = epochs

    def ask(self) -> list[Trial]:
        """Returns the next trials; none at the end. Those before have to be told first.

        Raises:
            ValueError: They have not been.
        """
        if self._asked:
            raise ValueError("Some trials have not been told yet.")
        with _quietly():
            for slot in range(self._batch if self._oracle.trials else self._first):
                asked = self._oracle.create_trial(f"slot{slot}")
                if asked.status != "RUNNING":
                    break
                self._asked.append(asked)
        return [self._trial(asked) for asked in self._asked]

    def tell(self, results: Mapping[str, Result]) -> None:
        """Takes the results of all that were asked for, by their ids."""
        with _quietly():
            for asked in self._asked:
                result = results[self._name(asked)]
                if result.score is None:
                    asked.status, asked.message = "FAILED", result.failure
                else:
                    self._oracle.update_trial(asked.trial_id, {self.objective: result.score})
                    asked.status = "COMPLETED"
                self._oracle.end_trial(asked)
        self._asked = []

    def _trial(self, asked: Any) -> Trial:
        values = asked.hyperparameters.values
        epochs = int(values.get("tuner/epochs", 0))
        return Trial(
            self._name(asked), self.space.values_of(values), epochs if epochs < self._epochs else 0
        )

    def _name(self, asked: Any) -> str:
        return f"{int(asked.trial_id):0{self._width}d}"


def _in_memory(oracle: type[Any]) -> Any:
    """An oracle that writes no files."""

    class Oracle(oracle):
        def save(self) -> None:
            """Writes nothing."""

        def _save_trial(self, trial: Any) -> None:
            """Writes nothing."""

    return Oracle


@contextmanager
def _quietly() -> Iterator[None]:
    import sklearn
    from threadpoolctl import threadpool_limits

    # The Gaussian process is asked for one point at a time, thousands of times: checks and
    # threads cost five times what it computes.
    quick = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
    with warnings.catch_warnings(), quick, threadpool_limits(1):
        # KerasTuner 1.4.8 asks threads for their names in an old way, and its Gaussian
        # process does not always settle, which costs no more than a poorer guess.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", module="sklearn")
        yield
