"""What is wrong with a data set: found, named, and left as it is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from statistics import median
from typing import Any

from pipelines.sources.catalogue import kind_of
from pipelines.sources.config import DataConfig
from pipelines.sources.dataset import check_labels
from pipelines.sources.folder import IMAGE_ENDINGS
from pipelines.sources.outliers import find_suspects
from pipelines.sources.scan import Fact, decodable, scan
from pipelines.sources.source import Listing, Remark
from pipelines.sources.split import divide
from pipelines.sources.task_columns import bind_tasks
from pipelines.sources.validation import check_decodable, check_images, exclude
from zoo.errors import DataError
from zoo.tasks import CLASSIFICATION, Task

TINY = 32
"""An image whose shorter side is below this many pixels has little to show a network."""

IMBALANCED = 10.0
"""From this ratio on, a class is so much rarer that accuracy alone misleads."""

Group = tuple[str, ...]
"""Names of images that are the same file, byte for byte."""


@dataclass(frozen=True)
class Audit:
    """The findings about one data set.

    Args:
        data: As the user wrote it.
        images: How many decode.
        counts: Images that decode, by class, then by split; `all` where the source
            has no split of its own.
        blocking: The errors that would stop `zoo train`, in its words.
        undecodable: Files that cannot be decoded, and why.
        outside: Images and folders that no class claims, and rows said twice.
        wrong_endings: Images whose name promises another format than they have.
        suspects: Images that decode and look unlike the rest.
        repeated: The same image several times within one class and split.
        conflicting: The same image in several classes.
        leaking: The same image in several splits: what is measured on it is too good.
        imbalance: Images of the commonest class for one of the rarest, in training.
        widths: Least, median and greatest, in pixels.
        heights: Least, median and greatest, in pixels.
        tiny: Images with a shorter side below TINY, where most are larger.
    """

    data: str
    images: int
    counts: dict[str, dict[str, int]]
    blocking: tuple[str, ...]
    undecodable: tuple[Remark, ...]
    outside: tuple[Remark, ...]
    wrong_endings: tuple[Remark, ...]
    suspects: tuple[Remark, ...]
    repeated: tuple[Group, ...]
    conflicting: tuple[Group, ...]
    leaking: tuple[Group, ...]
    imbalance: float
    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    tiny: tuple[Remark, ...]

    @property
    def clean(self) -> bool:
        """Whether there is nothing to look at."""
        found = (
            self.blocking, self.undecodable, self.outside, self.wrong_endings, self.suspects,
            self.repeated, self.conflicting, self.leaking, self.tiny,
        )  # fmt: skip
        return not any(found) and self.imbalance < IMBALANCED

    def to_json(self) -> dict[str, Any]:
        """Returns everything as values that JSON has."""
        return {**asdict(self), "clean": self.clean}

    def lines(self, *, most: int = 20) -> list[str]:
        """Says everything in words, a finding a line.

        Args:
            most: How many of a kind to name before only counting the rest.
        """
        splits = sorted({split for count in self.counts.values() for split in count}, key=_rank)
        totals = [sum(count.get(s, 0) for count in self.counts.values()) for s in splits]
        shares = ", ".join(f"{total} {split}" for total, split in zip(totals, splits, strict=True))
        lines = [f"{self.data}: {self.images} images, {len(self.counts)} classes ({shares})"]
        for name, count in self.counts.items():
            lines.append(f"  {name}: " + ", ".join(f"{count.get(s, 0)} {s}" for s in splits))
        lines += [
            f"  width {self.widths[0]} to {self.widths[2]}, median {self.widths[1]}; "
            f"height {self.heights[0]} to {self.heights[2]}, median {self.heights[1]}",
            f"  {self.imbalance:.3g} images of the commonest class for one of the rarest",
        ]
        lines += [f"stops training: {message}" for message in self.blocking]
        if self.imbalance >= IMBALANCED:
            lines.append("imbalanced: read macro F1 beside accuracy")
        lines += _capped("undecodable", map(_said, self.undecodable), most)
        lines += _capped("not used", map(_said, self.outside), most)
        lines += _capped("wrong ending", map(_said, self.wrong_endings), most)
        lines += _capped("suspect", map(_said, self.suspects), most)
        lines += _capped("in several classes", map(" = ".join, self.conflicting), most)
        lines += _capped("in several splits", map(" = ".join, self.leaking), most)
        lines += _capped("repeated", map(" = ".join, self.repeated), most)
        lines += _capped("tiny", map(_said, self.tiny), most)
        lines += ["nothing to mend"] if self.clean else []
        return ["".join(map(_printable, line)) for line in lines]


def audit(
    data: str, config: DataConfig | None = None, tasks: Sequence[Task] = (CLASSIFICATION,)
) -> Audit:
    """Looks a data set over and changes nothing.

    What would stop a training run is a finding here, so that all of it is seen at
    once. Copies are found byte for byte; the same picture saved anew is not one.

    Args:
        data: As `open_source` takes it.
        config: What is left out, and how many undecodable files are too many.
        tasks: What a model is to learn; the classes of several are those by which the
            images are divided.

    Raises:
        DataError: There is nothing to look at, or it cannot be listed at all.
    """
    config = config or DataConfig()
    listing = exclude(kind_of(data).listing(data, tasks), config.exclude)
    check_images(data, listing)
    listing = bind_tasks(data, listing, tasks)
    facts = scan(listing)
    everything = [fact for found in facts.values() for fact in found]
    kept, good = decodable(listing, facts)
    sizes = [min(fact.width, fact.height) for fact in good]
    # Where all images are small (digits, CIFAR), none of them is remarkable for it.
    usually_larger = bool(sizes) and median(sizes) >= 2 * TINY
    repeated, conflicting, leaking = _copies(listing, facts)
    return Audit(
        data=data,
        images=len(good),
        counts=_counts(kept),
        blocking=_blocking(data, listing, kept, everything, config),
        undecodable=tuple(Remark(f.name, f.problem) for f in everything if f.problem),
        outside=listing.outside,
        wrong_endings=tuple(_wrong_endings(good)),
        suspects=find_suspects(good),
        repeated=repeated,
        conflicting=conflicting,
        leaking=leaking,
        imbalance=_imbalance(kept),
        widths=_range([fact.width for fact in good]),
        heights=_range([fact.height for fact in good]),
        tiny=tuple(
            Remark(fact.name, f"{fact.width}x{fact.height} pixels")
            for fact in good
            if usually_larger and min(fact.width, fact.height) < TINY
        ),
    )


def _blocking(
    data: str, listing: Listing, kept: Listing, facts: Sequence[Fact], config: DataConfig
) -> tuple[str, ...]:
    """Returns the messages of the checks that `open_source` makes, each made on its own."""
    messages: list[str] = []
    try:
        check_decodable(data, facts, config.max_undecodable)
    except DataError as error:
        messages.append(str(error))
    for which, found in ((listing, "image"), (kept, "image that can be decoded")):
        try:
            check_labels(data, which, found=found)
        except DataError as error:
            messages.append(str(error))
            break
    else:
        try:
            # Which images each part gets depends on the seed; whether there are enough does not.
            divide(kept, config, seed=0)
        except DataError as error:
            messages.append(str(error))
    return tuple(messages)


def _counts(listing: Listing) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {name: {} for name in listing.class_names}
    for split, examples in listing.splits.items():
        found = Counter(examples.labels.tolist())
        for label, name in enumerate(listing.class_names):
            counts[name][split] = found[label]
    return counts


def _imbalance(listing: Listing) -> float:
    fitted = listing.splits.get("train", listing.splits.get("all"))
    if fitted is None:
        return 1.0
    counts = Counter(fitted.labels.tolist()).values()
    return round(max(counts) / min(counts), 3)


def _wrong_endings(facts: Iterable[Fact]) -> Iterable[Remark]:
    for fact in facts:
        promised = IMAGE_ENDINGS.get(PurePosixPath(fact.name).suffix.lower())
        if promised and promised != fact.format:
            yield Remark(fact.name, f"a {fact.format} by its content")


def _copies(
    listing: Listing, facts: dict[str, tuple[Fact, ...]]
) -> tuple[tuple[Group, ...], tuple[Group, ...], tuple[Group, ...]]:
    """Groups equal files: within a class and split, across classes, across splits."""
    same: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for split, examples in listing.splits.items():
        for fact, label in zip(facts[split], examples.labels.tolist(), strict=True):
            if not fact.problem:
                same[fact.sha256].append((fact.name, split, label))
    repeated, conflicting, leaking = [], [], []
    for members in same.values():
        names = tuple(name for name, _, _ in members)
        in_classes = {label for _, _, label in members}
        in_splits = {split for _, split, _ in members}
        if len(in_classes) > 1:
            conflicting.append(names)
        if len(in_splits) > 1:
            leaking.append(names)
        if len(names) > 1 and len(in_classes) == len(in_splits) == 1:
            repeated.append(names)
    return tuple(repeated), tuple(conflicting), tuple(leaking)


def _range(values: list[int]) -> tuple[int, int, int]:
    return (min(values), round(median(values)), max(values)) if values else (0, 0, 0)


def _rank(split: str) -> int:
    return ("all", "train", "val", "test").index(split)


def _said(remark: Remark) -> str:
    return f"{remark.name}: {remark.reason}"


def _printable(character: str) -> str:
    """A line break in a file's name, say, would make two lines of one."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _capped(kind: str, said: Iterable[str], most: int) -> list[str]:
    texts = list(said)
    lines = [f"{kind} {text}" if ":" in text else f"{kind}: {text}" for text in texts[:most]]
    if len(texts) > most:
        lines.append(f"{kind}: {len(texts) - most} more")
    return lines
