"""Names that folders and tables use for the splits."""

from __future__ import annotations

import re
from functools import lru_cache

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "development": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
    "heldout": "test",
}
"""Split by the names for it, in lower case and without what joins or ends them."""

_JOINTS = re.compile(r"[\s_.-]+")
_ENDINGS = ("set", "data", "images", "split")


@lru_cache(maxsize=1024)
def split_of(name: str) -> str:
    """Returns the split that a name stands for: train, val or test; empty if it is none.

    Case does not matter, nor a joint (`hold-out`), nor an ending such as `_set`.

    Example:
        >>> [split_of(name) for name in ("Training_Set", "hold-out", "Testing", "ants")]
        ['train', 'test', 'test', '']
    """
    plain = _JOINTS.sub("", name.lower())
    stems = (plain, *(plain.removesuffix(ending) for ending in _ENDINGS))
    return next((SPLIT_NAMES[stem] for stem in stems if stem in SPLIT_NAMES), "")


def looks_like_split(name: str) -> str:
    """Returns the split that a part of a name stands for, as in `seg_train`; else nothing.

    Example:
        >>> looks_like_split("seg_train"), looks_like_split("strain")
        ('train', '')
    """
    found = {split_of(part) for part in _JOINTS.split(name)} - {""}
    return found.pop() if len(found) == 1 else ""
