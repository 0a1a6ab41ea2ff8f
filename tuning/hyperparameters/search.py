"""Search: trials asked for, their results written down and told, until there are enough."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tuning.hyperparameters.oracles import BatchedOracle
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import RunError
from zoo.files import write_json


class Journal:
    """The results of a search, on disk as soon as they are there.

    One JSON file, replaced whole. It says what the results are of: a search of other
    images, of another space or by other code must not be mixed with them.

    Args:
        file: Where it is.
        fingerprint: What results depend on, by the name of each part.

    Raises:
        RunError: The file is of another search, or damaged.
    """

    def __init__(self, file: Path, fingerprint: Mapping[str, str]) -> None:
        self.file, self.fingerprint = file, dict(fingerprint)
        self.results: dict[str, Result] = {}
        self.search_s = 0.0
        if file.exists():
            self._read()

    def _read(self) -> None:
        try:
            held = json.loads(self.file.read_text(encoding="utf-8"))
            fingerprint = dict(held["fingerprint"])
            self.results = {id: Result.from_json(r) for id, r in held["results"].items()}
            self.search_s = float(held["search_s"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{self.file} is damaged",
                received=f"{type(error).__name__}: {str(error)[:80]}",
                mend="choose another --out and start again",
            ) from None
        parts = {**fingerprint, **self.fingerprint}
        changed = [p for p in parts if fingerprint.get(p) != self.fingerprint.get(p)]
        if changed:
            raise RunError(
                f"{self.file} is of another search: {_in_words(changed)} changed since",
                expected="what it was started with",
                mend="choose another --out to start a new one",
            )

    def add(self, results: Mapping[str, Result], search_s: float = 0.0) -> None:
        """Writes results down.

        Args:
            results: By the trials' ids.
            search_s: Seconds the search has taken so far.
        """
        self.results |= results
        self.search_s = search_s
        write_json(
            self.file,
            {
                "fingerprint": self.fingerprint,
                "search_s": round(search_s, 3),
                "results": {id: r.to_json() for id, r in sorted(self.results.items())},
            },
        )


class Search:
    """A search under way: which trials are asked for next, and what came of the others.

    An oracle is told a batch when all of it is done, in the order it was asked for. So
    it does not matter who trains a trial, in which order they end, nor whether some were
    done before an interruption: the search is the same.

    Args:
        asker: Of whom nothing was asked yet.
        journal: What is known already, and what becomes known.
        num_trials: How many there are to be; there are fewer where the space has no more.
        clock: Returns the seconds the search has taken so far.
    """

    def __init__(
        self, asker: BatchedOracle, journal: Journal, num_trials: int, clock: Callable[[], float]
    ) -> None:
        self.num_trials, self._asker, self._journal, self._clock = num_trials, asker, journal, clock
        self._trials: dict[str, Trial] = {}
        self._batch: list[Trial] = []
        self._waiting: deque[Trial] = deque()
        self._over = False
        self._next_batch()

    def ask(self, count: int) -> list[Trial]:
        """Returns at most `count` trials that are to be trained; none if none are for now."""
        return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def tell(self, results: Mapping[str, Result]) -> None:
        """Takes what came of trials, by id; it is on disk when this returns."""
        self._journal.add(results, self._clock())
        self._next_batch()

    @property
    def remaining(self) -> int:
        """How many trials may still be asked for."""
        later = 0 if self._over else self.num_trials - len(self._trials)
        return len(self._waiting) + later

    @property
    def finished(self) -> bool:
        """Whether all trials there are to be are done."""
        return self._over

    @property
    def done(self) -> list[tuple[Trial, Result]]:
        """The trials that are done, with their results, in the order they were asked for."""
        known = self._journal.results
        return [(trial, known[id]) for id, trial in self._trials.items() if id in known]

    def _next_batch(self) -> None:
        """Goes on to the next batch in which anything is left to train."""
        known = self._journal.results
        while not self._over and all(trial.id in known for trial in self._batch):
            if self._batch:
                self._asker.tell(known)
            self._batch = self._asker.ask()
            self._trials |= {trial.id: trial for trial in self._batch}
            self._waiting.extend(trial for trial in self._batch if trial.id not in known)
            self._over = not self._batch


def fingerprint_of(value: Any) -> str:
    """Returns the SHA-256 of JSON values, however they are ordered."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _in_words(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
