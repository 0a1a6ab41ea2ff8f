"""Every error a user can meet, as one tree.

    ZooError                       exit status 1: the job ran and failed
    ├── InputError                 exit status 2: the input is wrong
    │   ├── UnknownNameError       a name that no table has (also a KeyError)
    │   ├── RecipeError            a recipe key or value (also a ValueError)
    │   ├── DataError              the images or their labels
    │   │   ├── NoImagesError      nothing to read
    │   │   ├── EmptyClassError    a class without an image
    │   │   ├── SingleClassError   nothing to tell apart
    │   │   ├── UnseenClassError   a class that training never sees
    │   │   └── UndecodableError   too many files that are no images
    │   ├── WeightsError           a weight file that is wrong or not to be had
    │   └── RunError               a run directory or a model that is not one
    ├── FetchError                 a download broke off
    ├── EngineError                an engine that cannot run a network, or runs it otherwise
    ├── TrainingError              training met a loss that is not a number
    ├── WorkerError                a search's chief or all of its workers are gone
    └── ExportError                an export that does not answer as its run does

A message is one line: what happened; expected …; received …; how to mend it.
"""

from __future__ import annotations


class ZooError(Exception):
    """A failure the user can act on.

    Args:
        what: What happened, and to which thing.
        expected: What would have been right.
        received: What was there instead.
        mend: What to do about it, in the imperative.
    """

    exit_status = 1

    def __init__(
        self, what: str, *, expected: str = "", received: str = "", mend: str = ""
    ) -> None:
        parts = [what]
        if expected:
            parts.append(f"expected {expected}")
        if received:
            parts.append(f"received {received}")
        if mend:
            parts.append(mend)
        self.message = " ".join("; ".join(parts).split())
        super().__init__(self.message)

    def __str__(self) -> str:
        # KeyError would print the message quoted.
        return self.message


class InputError(ZooError):
    """What the user gave cannot be used."""

    exit_status = 2


class UnknownNameError(InputError, KeyError):
    """A name that the table asked for does not have."""


class RecipeError(InputError, ValueError):
    """A recipe with an unknown key, a value out of range or a bad combination."""


class DataError(InputError):
    """Images or labels that cannot be trained on."""


class NoImagesError(DataError):
    """The data set has no image at all."""


class EmptyClassError(DataError):
    """A class of the data set has no image."""


class SingleClassError(DataError):
    """The data set has one class, so there is nothing to tell apart."""


class UnseenClassError(DataError):
    """A class stands in validation or test and not in training."""


class UndecodableError(DataError):
    """More files than the recipe allows cannot be decoded."""


class WeightsError(InputError):
    """A weight file is absent, damaged, or not the one its row names."""


class RunError(InputError):
    """A path is not a run or a model, or would be overwritten."""


class FetchError(ZooError):
    """A download did not arrive whole."""


class EngineError(ZooError):
    """An inference engine is missing, fails, or does not agree with Keras."""


class TrainingError(ZooError):
    """Training cannot go on."""


class WorkerError(ZooError):
    """A search cannot go on without its chief, or without any worker."""


class ExportError(ZooError):
    """An exported model does not answer as its run does."""
