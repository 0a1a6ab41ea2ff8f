"""Geometry: at fixed values, what SciPy, Pillow and OpenCV make of the same image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy import ndimage

from pipelines.augment.geometry import (
    Crop,
    FlipLeftRight,
    FlipUpDown,
    Perspective,
    Rescale,
    Rotate,
    Shear,
    Shift,
    Transpose,
    Zoom,
)
from pipelines.augment.plan import Drawn
from tests.support.rendering import (
    RENDERERS,
    Image,
    drawn,
    plan_of,
    render,
    textured,
)

SIZE = 64
MARGIN = 8  # Pixels at the border, where every library has rules of its own.

both = pytest.mark.parametrize("renderer", RENDERERS)


def _interior_differs_by(one: Any, other: Any, margin: int = MARGIN) -> float:
    inside = (slice(margin, -margin),) * 2
    difference = np.asarray(one, float)[inside] - np.asarray(other, float)[inside]
    return float(np.abs(difference).max())


def _pillow(image: Image, *coefficients: float, perspective: bool = False) -> Image:
    """Pillow's bilinear transform, by the map from corners of the result to the input."""
    method = PillowImage.Transform.PERSPECTIVE if perspective else PillowImage.Transform.AFFINE
    whole = PillowImage.fromarray(image)
    size = image.shape[1::-1]
    return np.asarray(whole.transform(size, method, coefficients, PillowImage.Resampling.BILINEAR))


@both
def test_flips_and_transposition_are_numpys(renderer: str) -> None:
    image = textured(SIZE, SIZE)
    for operation, expected in (
        (FlipLeftRight(), image[:, ::-1]),
        (FlipUpDown(), image[::-1]),
        (Transpose(), image.swapaxes(0, 1)),
    ):
        np.testing.assert_array_equal(render(image, drawn(operation), renderer=renderer), expected)


@both
@pytest.mark.parametrize("border", ["reflect", "edge", "black"])
@pytest.mark.parametrize(("across", "down"), [(5, 0), (-7, 3), (0, -8)])
def test_shift_is_that_of_a_padded_image_to_the_bit(
    renderer: str, border: str, across: int, down: int
) -> None:
    image = textured(SIZE, SIZE)
    mode: Any = {"black": "constant"}.get(border, border)
    padded = np.pad(image, ((8, 8), (8, 8), (0, 0)), mode=mode)
    expected = padded[8 - down : 8 - down + SIZE, 8 - across : 8 - across + SIZE]
    step = drawn(Shift(), across=across / SIZE, down=down / SIZE)
    found = render(image, step, renderer=renderer, border=border)
    np.testing.assert_array_equal(found, expected)


def test_pretraining_mirrors_shifts_by_four_pixels_and_covers_eight() -> None:
    from pipelines.recipe.recipe import Recipe

    flip, shift, cutout = Recipe.preset("pretrain").augment.policy
    assert (flip.name, flip.p) == ("flip_lr", 0.5)
    assert isinstance(shift, Shift)
    assert round(shift.share * 32) == 4
    assert (cutout.name, cutout.p) == ("erase", 1.0)
    assert cutout.least * 32**2 == cutout.area * 32**2 == 8**2


@both
@pytest.mark.parametrize("degrees", [-170.0, -30.0, 7.5, 90.0])
def test_rotation_is_scipys(renderer: str, degrees: float) -> None:
    image = textured(SIZE, SIZE)
    planes = [
        ndimage.rotate(image[..., c].astype(float), degrees, reshape=False, order=1, mode="mirror")
        for c in range(3)
    ]
    found = render(image, drawn(Rotate(), degrees=degrees), renderer=renderer)
    assert _interior_differs_by(found, np.stack(planes, -1)) <= 1
    # Positive is anticlockwise, as OpenCV counts.
    middle = (SIZE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    turned = cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
    assert _interior_differs_by(found, turned) <= 1


@both
@pytest.mark.parametrize(("across", "down"), [(20.0, 0.0), (0.0, -35.0)])
def test_shear_is_pillows(renderer: str, across: float, down: float) -> None:
    image = textured(SIZE, SIZE)
    tan_x, tan_y = np.tan(np.radians([across, down]))
    # Along the slanted side neighbors lie 1/cos apart, which is softened as shrinking is.
    soft = image.astype(float)
    for axis, tan in ((1, tan_x), (0, tan_y)):
        share = tan**2 / 12
        soft = ndimage.correlate1d(soft, [share, 1 - 2 * share, share], axis=axis, mode="mirror")
    middle = SIZE / 2
    slant = (1, tan_x, -tan_x * middle, tan_y, 1, -tan_y * middle)
    expected = _pillow(np.rint(soft).astype(np.uint8), *slant)
    found = render(image, drawn(Shear(), across=across, down=down), renderer=renderer)
    # What comes into view at the slanted sides is black in Pillow's.
    seen = ndimage.binary_erosion(_pillow(np.full_like(image, 255), *slant)[..., 0] == 255)
    assert seen.mean() > 0.6
    assert np.abs(found[seen].astype(int) - expected[seen]).max() <= 1


@both
def test_crop_that_enlarges_is_pillows_resize_of_the_box(renderer: str) -> None:
    image = textured(SIZE, SIZE)
    values = {"width": 0.7, "height": 0.45, "left": 0.1, "top": 0.3}
    box = tuple(SIZE * share for share in (0.1, 0.3, 0.8, 0.75))
    expected = PillowImage.fromarray(image).resize(
        (SIZE, SIZE), PillowImage.Resampling.BILINEAR, box
    )
    found = render(image, drawn(Crop(), **values), renderer=renderer)
    assert _interior_differs_by(found, expected) <= 1


@both
@pytest.mark.parametrize(
    ("operation", "values", "scales"),
    [
        (Rescale(), {"across": 1.3, "down": 1.1}, (1.3, 1.1)),
        (Rescale(), {"across": 1.6, "down": 1.0}, (1.6, 1.0)),
        (Zoom(), {"factor": 1.4}, (1.4, 1.4)),
    ],
)
def test_scaling_is_pillows(renderer: str, operation: Any, values: Any, scales: Any) -> None:
    image = textured(SIZE, SIZE)
    (x, y), middle = scales, SIZE / 2
    expected = _pillow(image, 1 / x, 0, middle - middle / x, 0, 1 / y, middle - middle / y)
    found = render(image, drawn(operation, **values), renderer=renderer)
    assert _interior_differs_by(found, expected) <= 1


@both
def test_perspective_is_that_of_opencvs_four_points(renderer: str) -> None:
    image = textured(SIZE, SIZE)
    inwards = np.array([[0.05, 0.2], [0.15, 0.0], [0.1, 0.12], [0.2, 0.03]])
    values = {f"{side}{i}": inwards[i, j] for i in range(4) for j, side in enumerate("xy")}
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * SIZE
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    moved = (corners + signs * inwards * SIZE).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    expected = _pillow(image, *(matrix / matrix[2, 2]).ravel()[:8], perspective=True)
    found = render(image, drawn(Perspective(), **values), renderer=renderer)
    assert _interior_differs_by(found, expected, margin=1) <= 1


def test_operations_are_applied_in_the_order_of_the_policy() -> None:
    image = textured(SIZE, SIZE)
    shift, turn = drawn(Shift(), across=0.25, down=0.0), drawn(Rotate(), degrees=90.0)
    # Moved to the right and then turned anticlockwise, the content has moved up.
    np.testing.assert_array_equal(
        render(image, shift, turn, border="black"),
        np.rot90(np.pad(image, ((0, 0), (16, 0), (0, 0)))[:, :SIZE]),
    )
    np.testing.assert_array_equal(
        render(image, turn, shift, border="black"),
        np.pad(np.rot90(image), ((0, 0), (16, 0), (0, 0)))[:, :SIZE],
    )


def _detail(image: Image) -> float:
    """The mean square of the Laplacian, which blurring takes away."""
    inside = image[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(float)
    return float(np.mean([ndimage.laplace(inside[..., c])[1:-1, 1:-1] ** 2 for c in range(3)]))


ALL_GEOMETRY: list[Drawn] = [
    drawn(FlipLeftRight()),
    drawn(Rotate(), degrees=11.0),
    drawn(Shear(), across=6.0, down=0.0),
    drawn(Rescale(), across=1.04, down=0.97),
    drawn(Zoom(), factor=1.03),
    drawn(Crop(), width=0.93, height=0.96, left=0.02, top=0.03),
    drawn(Perspective(), x0=0.01, y0=0.0, x1=0.02, y1=0.01, x2=0.0, y2=0.0, x3=0.0, y3=0.02),
]


@both
def test_a_policy_of_all_geometry_resamples_once(renderer: str) -> None:
    image = textured(128, 128)
    once = render(image, *ALL_GEOMETRY, renderer=renderer)
    one_by_one = image
    for step in ALL_GEOMETRY:
        one_by_one = render(one_by_one, step, renderer=renderer)
    # What cubic splines, which hardly blur, make of the same matrix.
    (matrix,) = (
        plan_of(*(s.operation for s in ALL_GEOMETRY), size=128)
        .compose(ALL_GEOMETRY, np.zeros(1))
        .matrix.numpy()
        .astype(float)
    )
    y, x = (np.mgrid[:128, :128] + 0.5) / 128 - 0.5
    seen = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
    rows, columns = ((seen[i] / seen[2] + 0.5) * 128 - 0.5 for i in (1, 0))
    sharp = np.stack(
        [
            ndimage.map_coordinates(
                image[..., c].astype(float), [rows, columns], order=5, mode="mirror"
            )
            for c in range(3)
        ],
        axis=-1,
    )
    # It is the same picture, and has kept more than twice the detail.
    assert np.corrcoef(once.ravel(), sharp.ravel())[0, 1] > 0.99
    kept, lost = _detail(once) / _detail(sharp), _detail(one_by_one) / _detail(sharp)
    assert kept > 0.4
    assert kept > 2 * lost
    nearer = np.abs(once - sharp).mean() / np.abs(one_by_one - sharp).mean()
    assert nearer < 0.6
