"""Hyperparameter search: hands out trials and records their results in a journal."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tuning.hyperparameters.image_scores import ImageScores
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import RunError
from zoo.files import write_json
from zoo.reading import parse_json, read_text


class Oracle(Protocol):
    """A search algorithm that proposes trials in batches, such as `BatchedOracle`."""

    def ask(self) -> list[Trial]:
        """Proposes the next batch of trials; an empty one ends the search."""

    def tell(self, results: Mapping[str, Result]) -> None:
        """Receives the results of the batch that `ask` returned, by trial id."""


class Journal:
    """The results of a search, kept in a file so that the search can be resumed.

    The file holds one JSON object and is replaced as a whole. It records a fingerprint of
    all that results depend on: results for other images, of another space or by other code
    must not be mixed. What each validation image scored lies in files beside it, one a trial.

    Args:
        file: The file's path. An existing file is read.
        fingerprint: By name, a digest of each thing that results depend on.

    Raises:
        RunError: The file belongs to another search, or is damaged.
    """

    def __init__(self, file: Path, fingerprint: Mapping[str, str]) -> None:
        self.file, self.fingerprint = file, dict(fingerprint)
        self.image_scores_folder = file.parent / "image_scores"
        self.results: dict[str, Result] = {}
        self.search_s = 0.0
        if file.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = parse_json(read_text(self.file))
            fingerprint = dict(content["fingerprint"])
            if not all(id.isdecimal() for id in content["results"]):
                raise ValueError("a trial without a number")
            self.results = {id: Result.from_json(r) for id, r in content["results"].items()}
            self.search_s = float(content["search_s"])
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
                f"{self.file} belongs to another search: {_join(changed)} changed since it started",
                expected="what the search started with",
                mend="choose another --out to start a new search",
            )

    def renumber(self, num_trials: int) -> None:
        """Gives the results the ids that they have in a search of another size.

        Args:
            num_trials: Trials of the search; ids have as many digits as the last.
        """
        width = len(str(num_trials - 1))
        self.results = {f"{int(id):0{width}d}": r for id, r in self.results.items()}

    def add(self, results: Mapping[str, Result], search_s: float = 0.0) -> None:
        """Adds results and writes the file.

        Args:
            results: By trial id.
            search_s: Duration of the search so far, in seconds.
        """
        for id, result in results.items():
            if result.image_scores is not None:
                result.image_scores.save(self._image_scores_file(id))
        self.results |= {id: replace(r, image_scores=None) for id, r in results.items()}
        self.search_s = search_s
        write_json(
            self.file,
            {
                "fingerprint": self.fingerprint,
                "search_s": round(search_s, 3),
                "results": {id: r.to_json() for id, r in sorted(self.results.items())},
            },
        )

    def has_image_scores(self, id: str) -> bool:
        """Returns whether it is known what each validation image scored in a trial."""
        return self._image_scores_file(id).exists()

    def image_scores(self, id: str) -> ImageScores:
        """Reads what each validation image scored in a trial.

        Raises:
            RunError: The file is damaged.
        """
        return ImageScores.load(self._image_scores_file(id))

    def _image_scores_file(self, id: str) -> Path:
        # The number of leading zeros changes with that of trials.
        return self.image_scores_folder / f"{int(id)}.npz"


class Search:
    """A running search: hands out trials and receives their results in any order.

    The oracle receives a batch of results once the whole batch is complete, in the order in
    which it proposed the trials. The search is therefore the same whoever trains a trial, in
    whatever order trials end, and whether or not it was interrupted.

    Args:
        oracle: A new oracle, not asked yet.
        journal: The results so far; receives the others.
        num_trials: The number of trials; a small space may end the search earlier.
        clock: Returns the duration of the search so far, in seconds.
    """

    def __init__(
        self, oracle: Oracle, journal: Journal, num_trials: int, clock: Callable[[], float]
    ) -> None:
        self.num_trials, self._oracle, self._journal = num_trials, oracle, journal
        self._clock = clock
        self._trials: dict[str, Trial] = {}
        self._batch: list[Trial] = []
        self._queue: deque[Trial] = deque()
        self._finished = False
        self._advance()

    def ask(self, count: int) -> list[Trial]:
        """Returns up to `count` trials to train; none while the batch is being trained."""
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    def tell(self, results: Mapping[str, Result]) -> None:
        """Records results, by trial id; they are on disk when this returns."""
        self._journal.add(results, self._clock())
        self._advance()

    @property
    def remaining(self) -> int:
        """The largest number of trials that `ask` may still return."""
        unproposed = 0 if self._finished else self.num_trials - len(self._trials)
        return len(self._queue) + unproposed

    @property
    def finished(self) -> bool:
        """Whether every trial has a result and the oracle proposes no others."""
        return self._finished

    @property
    def completed(self) -> list[tuple[Trial, Result]]:
        """The trials that have results, in the order of their proposal."""
        results = self._journal.results
        return [(trial, results[id]) for id, trial in self._trials.items() if id in results]

    def _advance(self) -> None:
        """Moves on to the next batch that has trials without results."""
        results = self._journal.results
        while not self._finished and all(trial.id in results for trial in self._batch):
            if self._batch:
                self._oracle.tell(results)
            self._batch = self._oracle.ask()
            self._trials |= {trial.id: trial for trial in self._batch}
            self._queue.extend(trial for trial in self._batch if trial.id not in results)
            self._finished = not self._batch


def compute_fingerprint(value: Any) -> str:
    """Computes the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
