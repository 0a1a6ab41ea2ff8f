"""Steps of a study: measurements that are kept on disk, so that a study can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.files import write_json
from zoo.reading import parse_json, read_text


class Steps:
    """The finished measurements of a study, in one JSON file.

    Args:
        file: The file. One of another fingerprint is not gone on with.
        fingerprint: What all measurements depend on.
        told: Is told of every step, with its name.
    """

    def __init__(
        self, file: Path, fingerprint: str, told: Callable[[str], None] = lambda name: None
    ) -> None:
        self._file, self._fingerprint, self._told = file, fingerprint, told
        self.folder = file.parent
        """The study's folder."""
        self._results: dict[str, Any] = {}
        self.seconds = 0.0
        """Seconds that all steps took, those of earlier runs included."""
        if file.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = parse_json(read_text(self._file))
            if content["fingerprint"] == self._fingerprint:
                self._results, self.seconds = dict(content["steps"]), float(content["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self._file} is damaged",
                received=f"{type(error).__name__}: {str(error)[:80]}",
                mend="delete it, and the study measures again",
            ) from None

    def __call__(self, name: str, measure: Callable[[], Any]) -> Any:
        """Returns a measurement: that of an earlier run, or a new one, which is kept.

        Args:
            name: Its name, unique in the study.
            measure: Returns JSON values; the same whenever it is called.
        """
        if name not in self._results:
            self._told(name)
            started = time.perf_counter()
            self._results[name] = measure()
            self.seconds += time.perf_counter() - started
            write_json(
                self._file,
                {
                    "fingerprint": self._fingerprint,
                    "seconds": round(self.seconds, 3),
                    "steps": self._results,
                },
            )
        return self._results[name]
