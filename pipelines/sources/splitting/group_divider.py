"""Division of the images of each class into parts, related images always into one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class GroupDivider:
    """Divides the images of one class after the other, each group into one part.

    Args:
        groups: The numbers of `group_related`, int64 [N]; None if each image stands alone.
    """

    def __init__(self, groups: npt.NDArray[np.int64] | None) -> None:
        self._groups = groups
        # Parts of groups that an earlier class has images of, too.
        self._parts: dict[int, str] = {}

    def count_groups(self, members: npt.NDArray[np.int64]) -> int:
        """Returns the number of groups that images have, those that stand alone included."""
        import numpy as np

        return len(members) if self._groups is None else len(np.unique(self._groups[members]))

    def divide(
        self, ranked: npt.NDArray[np.int64], counts: Mapping[str, int]
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Divides the images of a class; without groups, the first go to the first part.

        Args:
            ranked: Indices of the images in the order in which they are taken.
            counts: Number of images of each part; the rest goes to `train`. A group that
                does not fit is passed over, unless a part would stay empty.

        Returns:
            Indices by part, in that order; `train` is the last.
        """
        import numpy as np

        if self._groups is None:
            ends = np.cumsum(list(counts.values()))
            return dict(zip((*counts, "train"), np.split(ranked, ends), strict=True))
        members: dict[int, list[int]] = {}
        for index, group in zip(ranked.tolist(), self._groups[ranked].tolist(), strict=True):
            members.setdefault(group, []).append(index)
        divided: dict[str, list[int]] = {part: [] for part in (*counts, "train")}
        for group in [group for group in members if group in self._parts]:
            divided[self._parts[group]] += members.pop(group)
        parts = list(divided)
        for position, (part, count) in enumerate(counts.items()):
            # Each later part needs an image, too.
            reserved = sum(not divided[later] for later in parts[position + 1 :])
            for group in list(members):
                fits = len(divided[part]) + len(members[group]) <= count
                if fits and len(members) > reserved:
                    self._take(part, divided, members, group)
            if not divided[part] and len(members) > reserved:
                smallest = min(members, key=lambda group: len(members[group]))
                self._take(part, divided, members, smallest)
        for group in list(members):
            self._take("train", divided, members, group)
        return {part: np.array(indices, np.int64) for part, indices in divided.items()}

    def _take(
        self, part: str, divided: dict[str, list[int]], members: dict[int, list[int]], group: int
    ) -> None:
        divided[part] += members.pop(group)
        self._parts[group] = part
