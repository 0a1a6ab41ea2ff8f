"""Audit by features: label errors, near-duplicates, leaks and outliers that a backbone sees."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipelines.inspection.candidates import name_candidates
from pipelines.inspection.far_images import MIN_IMAGES, NUM_NEIGHBORS, find_far_images
from pipelines.inspection.feature_findings import (
    Duplicates,
    FeatureFindings,
    FeatureOutlier,
    LabelError,
    Leak,
)
from pipelines.inspection.label_errors import NUM_FOLDS, judge_labels
from pipelines.inspection.learning_curve import compute_learning_curve
from pipelines.inspection.next_images import LabeledRows, NextImage, choose_next_images
from pipelines.inspection.variants import NUM_TRUNCATIONS, open_extractor
from pipelines.recipe.levels import reads_lower_levels
from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.overrides import other_backbone
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.isolation import start_keras
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.unlabeled import find_new_images, open_unlabeled
from pipelines.sources.source import Examples, Finding, Listing, join_examples
from pipelines.sources.splitting.copies import group_copies
from pipelines.sources.splitting.groups import group_related, join_groupings, list_groups
from pipelines.sources.splitting.near_duplicates import group_near_duplicates
from tuning.nearest_neighbors import Floats, shorten_rows
from zoo.errors import DataError
from zoo.models.standardization import Standardization
from zoo.weights.fetch import fetch

logger = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]

_SPLITS = ("all", "train", "val", "test")
"""In the order in which a model sees them."""


class FeatureAudit:
    """Audits a data set by the features of a backbone; within `isolated`.

    The constructor refuses what can be refused before an image is read, and starts Keras.

    Args:
        data: DATA as the command line takes it.
        backbone: Its name, with weights.
        recipe: Preprocessing, pooling and engine; None takes the preset that suits the data.

    Attributes:
        kept: Takes the images that the scan decodes, for the features.
        known: The features of the labeled images that are not for testing, once `run` has read
            them; None without labels.

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: It has random weights, or the recipe does not suit it.
        WeightsError: Its weights are absent.
    """

    def __init__(self, data: str, backbone: str, recipe: RecipeSettings | None) -> None:
        (candidate,) = name_candidates([backbone])
        base = Recipe.of(recipe) if recipe else Recipe.for_data(data, backbone=backbone)
        if base.backbone.name != backbone:
            base = Recipe.from_settings(base.to_settings(), other_backbone(backbone))
        start_keras()
        self.backbone = backbone
        self.recipe = base.override({"data.source": data}).resolve()
        fetch(candidate.weights)
        prepare_devices(self.recipe.device, on_images=False).make_deterministic(self.recipe.seed)
        own = self.recipe.input
        self.kept = KeptImages(own.preprocessing.decoder, own.cache_mib)
        self.known: LabeledRows | None = None
        self._splits: Sequence[Examples] = ()

    def run(
        self, listing: Listing, odd_files: Sequence[Finding], *, labeled: bool
    ) -> FeatureFindings:
        """Finds what the features say.

        Args:
            listing: Images that decode, with digests and shapes.
            odd_files: Images that are outliers by their files.
            labeled: Whether images have a class.

        Raises:
            DataError: An image changed while the job ran.
        """
        splits = [split for split in _SPLITS if len(listing.splits.get(split, ()))]
        if not splits:
            return FeatureFindings(self.backbone)
        images = _Images.of(listing, splits)
        self._splits = [listing.splits[split] for split in splits]
        rows = self._extract(images)
        standardized = Standardization.fit(rows).apply(rows)
        short = shorten_rows(standardized)
        copies = group_copies(images.examples)
        logger.info(f"comparing the pixels of {len(images.examples)} images")
        groups = group_near_duplicates(images.examples)
        if groups is None:
            groups = np.arange(len(images.examples))
        members = list_groups(groups)
        outliers, notes = _find_outliers(images, short, odd_files)
        errors: tuple[LabelError, ...] = ()
        curve = None
        if labeled and listing.tasks[0].bare:
            related = _join_related(images.examples, groups)
            self.known = _take_known(images, rows, related)
            errors, unjudged = _find_label_errors(images, rows, related, self.recipe.seed)
            notes += unjudged
            curve = compute_learning_curve(
                rows, images.examples.labels, related, len(images.class_names), self.recipe.seed
            )
        else:
            why = "the recipe has tasks" if labeled else "the images have no labels"
            notes.append(f"label errors are not looked for: {why}")
        return FeatureFindings(
            backbone=self.backbone,
            label_errors=errors,
            duplicates=tuple(_describe_group(images, group, copies) for group in members),
            leaks=_find_leaks(images, standardized, members),
            outliers=outliers,
            groups=_name_groups(images.examples),
            notes=tuple(notes),
            learning_curve=curve,
        )

    def choose_next(self, data: str, count: int) -> tuple[NextImage, ...]:
        """Chooses images to label of those without a label, once `run` has been called.

        Args:
            data: The images, as DATA on the command line; copies of others are left out.
            count: How many to choose, at most.

        Raises:
            DataError: They cannot be read, all of them have a label, or nothing has one.
        """
        if self.known is None:
            raise DataError(
                "nothing says which classes there are",
                expected="a data set with a class for each image",
                mend="put the first images of each class into a folder of their own",
            )
        found = open_unlabeled(data, kept=self.kept).splits["all"]
        examples = found.take(np.flatnonzero(find_new_images(found, self._splits)))
        if not len(examples):
            raise DataError(f"{data} has no image that the data set does not have")
        files = examples.files
        names = examples.names if files is None else [os.path.abspath(file) for file in files]
        rows = self._read(examples)
        return choose_next_images(self.known, names, rows, count, self.recipe.seed)

    def _extract(self, images: _Images) -> Floats:
        first = images.examples.take(np.flatnonzero(images.codes == 0))
        self.recipe = measure_input_depth(self.recipe, first)
        # As `choose` computes them, so that the store has them for both.
        num_trained = sum(images.splits[code] != "test" for code in images.codes.tolist())
        lower = reads_lower_levels(self.recipe, num_trained)
        self._extractor, self._cuts = open_extractor(
            self.backbone, self.recipe, NUM_TRUNCATIONS, lower=lower
        )
        return self._read(images.examples)

    def _read(self, examples: Examples) -> Floats:
        """Returns the features of the plain images at the backbone's top, float32 [N, F]."""
        features = self._extractor.extract(examples, 0)
        top = features.part(slice(self._cuts[0].start, self._cuts[0].stop))
        return top.read(self.recipe.head.pooling)


@dataclass(frozen=True)
class _Images:
    """The images of all splits.

    Args:
        examples: N images.
        codes: int64 [N], the split of each.
        splits: The names of the splits, in the order of _SPLITS.
        class_names: In the order of the labels.
    """

    examples: Examples
    codes: Indices
    splits: Sequence[str]
    class_names: Sequence[str]

    @classmethod
    def of(cls, listing: Listing, splits: Sequence[str]) -> _Images:
        parts = [replace(listing.splits[split], columns={}, targets={}) for split in splits]
        codes = np.repeat(np.arange(len(splits)), [len(part) for part in parts])
        return cls(join_examples(parts), codes, splits, listing.class_names)

    def place(self, index: int) -> tuple[str, str]:
        """Returns the name of an image, and its split."""
        return self.examples.names[index], self.splits[self.codes[index]]


def _take_known(images: _Images, rows: Floats, groups: Indices) -> LabeledRows:
    """Returns the features and labels of what is not for testing."""
    known = np.flatnonzero([images.splits[code] != "test" for code in images.codes.tolist()])
    own = groups[known]
    grouped = own if len(np.unique(own)) < len(own) else None
    labels = images.examples.labels[known]
    return LabeledRows(rows[known], labels, grouped, images.class_names)


def _join_related(examples: Examples, near_duplicates: Indices) -> Indices:
    """Returns the numbers of near-duplicates, the same for images that their owner groups, too."""
    related = group_related(examples)
    joined = join_groupings([near_duplicates, *([] if related is None else [related])])
    return near_duplicates if joined is None else joined


def _name_groups(examples: Examples) -> tuple[tuple[str, ...], ...]:
    """Returns the names of the images of each group that the owner names."""
    if examples.groups is None:
        return ()
    return tuple(
        tuple(examples.names[index] for index in group.tolist())
        for group in list_groups(examples.groups)
        if examples.groups[group[0]] >= 0  # the others stand alone
    )


def _describe_group(images: _Images, group: Indices, copies: Indices | None) -> Duplicates:
    labels = np.unique(images.examples.labels[group]).tolist()
    return Duplicates(
        tuple(images.place(index)[0] for index in group.tolist()),
        tuple(images.class_names[label] for label in labels),
        copies is not None and len(np.unique(copies[group])) == 1,
    )


def _find_leaks(images: _Images, rows: Floats, members: Sequence[Indices]) -> tuple[Leak, ...]:
    from sklearn.preprocessing import normalize

    leaks = []
    for group in members:
        codes = images.codes[group]
        directions = normalize(rows[group]).astype(np.float64)
        for position in np.flatnonzero(codes > codes.min()).tolist():
            before = np.flatnonzero(codes < codes[position])
            cosines = directions[before] @ directions[position]
            twin = int(group[before[cosines.argmax()]])
            similarity = round(min(float(cosines.max()), 1.0), 4)
            image = int(group[position])
            leaks.append(Leak(*images.place(image), *images.place(twin), similarity))
    return tuple(sorted(leaks, key=lambda leak: -leak.similarity))


def _find_outliers(
    images: _Images, rows: Floats, odd_files: Sequence[Finding]
) -> tuple[tuple[FeatureOutlier, ...], list[str]]:
    """Returns the outliers, the farthest first, and what could not be examined."""
    num_neighbors = min(NUM_NEIGHBORS, len(rows) - 1)
    if num_neighbors < 1:
        return (), []
    found = find_far_images(rows, num_neighbors)
    reasons: dict[int, list[str]] = {}
    notes = []
    if odd_files:
        places = {name: index for index, name in enumerate(images.examples.names)}
        reasons = {places[finding.name]: [finding.reason] for finding in odd_files}
    if len(rows) < MIN_IMAGES:
        notes.append(f"outliers by features are not looked for among fewer than {MIN_IMAGES}")
    else:
        for index in found.images.tolist():
            far = f"distance {found.distances[index]:.1f} to its {NUM_NEIGHBORS}th neighbor"
            text = f"{far}, above {found.threshold:.1f}"
            reasons.setdefault(index, []).append(text)
    ranked = sorted(reasons, key=lambda index: -float(found.distances[index]))
    outliers = (
        FeatureOutlier(
            *images.place(index), round(float(found.distances[index]), 4), "; ".join(reasons[index])
        )
        for index in ranked
    )
    return tuple(outliers), notes


def _find_label_errors(
    images: _Images, rows: Floats, groups: Indices, seed: int
) -> tuple[tuple[LabelError, ...], list[str]]:
    """Returns the labels that are doubted, worst first, and what could not be examined."""
    names, labels = images.class_names, images.examples.labels
    judged = judge_labels(rows, labels, groups, len(names), seed)
    notes = []
    if judged.too_small:
        small = ", ".join(names[label] for label in judged.too_small)
        notes.append(
            f"label errors are not looked for where a class has fewer than {NUM_FOLDS} different "
            f"images: {small}"
        )
    elif judged.doubted is None:
        notes.append("label errors are not looked for: there is one class")
    if judged.doubted is None:
        return (), notes
    found = judged.doubted
    ranked = zip(
        found.images.tolist(), found.suggested.tolist(), found.scores.tolist(), strict=True
    )
    errors = [
        LabelError(
            *images.place(index),
            names[labels[index]],
            names[suggested],
            float(f"{score:.4g}"),
            likely=rank < found.num_errors,
        )
        for rank, (index, suggested, score) in enumerate(ranked)
    ]
    return tuple(errors), notes
