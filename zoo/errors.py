"""Exceptions that users can act on, as one tree.

    ZooError                       exit status 1: the job ran and failed
    ├── InputError                 exit status 2: the input is wrong
    │   ├── UnknownNameError       a name that its table lacks (also a KeyError)
    │   ├── RecipeError            a wrong recipe key or value (also a ValueError)
    │   ├── DataError              images or labels that cannot be used
    │   │   ├── NoImagesError      no images
    │   │   ├── EmptyClassError    a class without images
    │   │   ├── SingleClassError   only one class
    │   │   ├── UnseenClassError   a class without training images
    │   │   └── UndecodableError   too many files that are not images
    │   ├── WeightsError           a weight file that is absent, damaged or the wrong one
    │   └── RunError               a run folder or a model that cannot be used
    ├── FetchError                 a download that broke off
    ├── StorageError               a file that a full or failing disk does not take (an OSError)
    ├── EngineError                an inference engine that fails or disagrees with Keras
    ├── TrainingError              training that cannot continue, as with a NaN loss
    ├── ClusterError               a cluster that cannot be reached, or refuses
    ├── WorkerError                a task that lost the process or the machine that ran it
    └── ExportError                an export whose predictions differ from its run's

A message is one line: what happened; expected …; received …; how to mend it.
"""

from __future__ import annotations

from zoo.printable import printable

_MAX_RECEIVED = 500
"""Characters of the value received in a message, at most."""

_MAX_PART = 2000
"""Characters of each other part, which may quote an input too."""


class ZooError(Exception):
    """Base class of every error that a user can act on.

    Args:
        problem: What happened, and to which file, row or setting.
        expected: The values that would have been valid.
        received: The value found instead.
        mend: How to correct it, in the imperative.
    """

    exit_status = 1

    def __init__(
        self, problem: str, *, expected: str = "", received: str = "", mend: str = ""
    ) -> None:
        parts = [_cut(problem, _MAX_PART)]
        if expected:
            parts.append(f"expected {_cut(expected, _MAX_PART)}")
        if received:
            parts.append(f"received {_cut(received, _MAX_RECEIVED)}")
        if mend:
            parts.append(_cut(mend, _MAX_PART))
        self.message = printable(" ".join("; ".join(parts).split()))
        super().__init__(self.message)

    def __str__(self) -> str:
        # KeyError's own __str__ would quote the message.
        return self.message


def _cut(text: str, limit: int) -> str:
    """Returns the beginning of a text that would fill the screen."""
    return text if len(text) <= limit else f"{text[:limit]} …"


class InputError(ZooError):
    """The user's input cannot be used."""

    exit_status = 2


class UnknownNameError(InputError, KeyError):
    """A table has no row of the given name."""


class RecipeError(InputError, ValueError):
    """A recipe has an unknown key, a value out of range or an invalid combination."""


class DataError(InputError):
    """Images or labels cannot be used."""


class NoImagesError(DataError):
    """The data set has no images."""


class EmptyClassError(DataError):
    """A class of the data set has no images."""


class SingleClassError(DataError):
    """The data set has only one class."""


class UnseenClassError(DataError):
    """A class occurs in validation or test but not in training."""


class UndecodableError(DataError):
    """More files cannot be decoded than the recipe allows."""


class WeightsError(InputError):
    """A weight file is absent, damaged or not the one of its row."""


class RunError(InputError):
    """A path is not a run or a model, or already exists."""


class FetchError(ZooError):
    """A download broke off."""


class StorageError(ZooError, OSError):
    """A file cannot be written, as on a full or failing disk."""


class EngineError(ZooError):
    """An inference engine is missing, fails or disagrees with Keras."""


class TrainingError(ZooError):
    """Training cannot continue."""


class ClusterError(ZooError):
    """A cluster cannot be reached, or refuses."""


class WorkerError(ZooError):
    """A task lost the process or the machine that ran it."""


class ExportError(ZooError):
    """The predictions of an exported model differ from those of its run."""
