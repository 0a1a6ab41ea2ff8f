"""Geometry and crops at fixed parameters, against SciPy, Pillow and OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy import ndimage

from pipelines.augment.crops import Crop, Perspective
from pipelines.augment.geometry import (
    FlipLeftRight,
    FlipUpDown,
    Rescale,
    Rotate,
    Shear,
    Shift,
    Transpose,
    Zoom,
)
from pipelines.augment.plan import SampledOperation
from tests.support.rendering import (
    RENDERERS,
    Image,
    build_plan,
    build_texture,
    fix_parameters,
    render,
)

SIZE = 64
MARGIN = 8  # Pixels at the border, where the libraries' conventions differ.

both = pytest.mark.parametrize("renderer", RENDERERS)


def _max_interior_difference(one: Any, other: Any, margin: int = MARGIN) -> float:
    inside = (slice(margin, -margin),) * 2
    difference = np.asarray(one, float)[inside] - np.asarray(other, float)[inside]
    return float(np.abs(difference).max())


def _transform_with_pillow(image: Image, *coefficients: float, perspective: bool = False) -> Image:
    """Pillow's bilinear transform; the coefficients map points of the result to the input."""
    method = PillowImage.Transform.PERSPECTIVE if perspective else PillowImage.Transform.AFFINE
    whole = PillowImage.fromarray(image)
    size = image.shape[1::-1]
    return np.asarray(whole.transform(size, method, coefficients, PillowImage.Resampling.BILINEAR))


@both
def test_flips_and_transpose_equal_numpy(renderer: str) -> None:
    image = build_texture(SIZE, SIZE)
    for operation, expected in (
        (FlipLeftRight(), image[:, ::-1]),
        (FlipUpDown(), image[::-1]),
        (Transpose(), image.swapaxes(0, 1)),
    ):
        np.testing.assert_array_equal(
            render(image, fix_parameters(operation), renderer=renderer), expected
        )


@both
@pytest.mark.parametrize("border", ["reflect", "edge", "black"])
@pytest.mark.parametrize(("dx", "dy"), [(5, 0), (-7, 3), (0, -8)])
def test_shift_equals_slice_of_padded_image(renderer: str, border: str, dx: int, dy: int) -> None:
    image = build_texture(SIZE, SIZE)
    mode: Any = {"black": "constant"}.get(border, border)
    padded = np.pad(image, ((8, 8), (8, 8), (0, 0)), mode=mode)
    expected = padded[8 - dy : 8 - dy + SIZE, 8 - dx : 8 - dx + SIZE]
    step = fix_parameters(Shift(), dx=dx / SIZE, dy=dy / SIZE)
    found = render(image, step, renderer=renderer, border=border)
    np.testing.assert_array_equal(found, expected)


def test_pretrain_preset_flips_shifts_by_four_pixels_and_erases_eight() -> None:
    from pipelines.recipe.recipe import Recipe

    flip, shift, cutout = Recipe.from_preset("pretrain").augment.policy
    assert (flip.name, flip.p) == ("flip_lr", 0.5)
    assert isinstance(shift, Shift)
    assert round(shift.share * 32) == 4
    assert (cutout.name, cutout.p) == ("erase", 1.0)
    assert cutout.min_area * 32**2 == cutout.area * 32**2 == 8**2


@both
@pytest.mark.parametrize("degrees", [-170.0, -30.0, 7.5, 90.0])
def test_rotate_matches_scipy(renderer: str, degrees: float) -> None:
    image = build_texture(SIZE, SIZE)
    planes = [
        ndimage.rotate(image[..., c].astype(float), degrees, reshape=False, order=1, mode="mirror")
        for c in range(3)
    ]
    found = render(image, fix_parameters(Rotate(), degrees=degrees), renderer=renderer)
    assert _max_interior_difference(found, np.stack(planes, -1)) <= 1
    # Positive angles are counterclockwise, as in OpenCV.
    middle = (SIZE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    rotated = cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
    assert _max_interior_difference(found, rotated) <= 1


@both
@pytest.mark.parametrize(("x_degrees", "y_degrees"), [(20.0, 0.0), (0.0, -35.0)])
def test_shear_matches_pillow(renderer: str, x_degrees: float, y_degrees: float) -> None:
    image = build_texture(SIZE, SIZE)
    tan_x, tan_y = np.tan(np.radians([x_degrees, y_degrees]))
    # Along the sheared axis neighbors lie 1/cos apart, which is smoothed as in shrinking.
    smooth = image.astype(float)
    for axis, tan in ((1, tan_x), (0, tan_y)):
        a = tan**2 / 12
        smooth = ndimage.correlate1d(smooth, [a, 1 - 2 * a, a], axis=axis, mode="mirror")
    middle = SIZE / 2
    coefficients = (1, tan_x, -tan_x * middle, tan_y, 1, -tan_y * middle)
    expected = _transform_with_pillow(np.rint(smooth).astype(np.uint8), *coefficients)
    found = render(
        image, fix_parameters(Shear(), x_degrees=x_degrees, y_degrees=y_degrees), renderer=renderer
    )
    # Pillow fills the pixels beyond the image with black.
    inside = ndimage.binary_erosion(
        _transform_with_pillow(np.full_like(image, 255), *coefficients)[..., 0] == 255
    )
    assert inside.mean() > 0.6
    assert np.abs(found[inside].astype(int) - expected[inside]).max() <= 1


@both
def test_crop_matches_pillow_resize_of_the_box(renderer: str) -> None:
    image = build_texture(SIZE, SIZE)
    parameters = {"width": 0.7, "height": 0.45, "left": 0.1, "top": 0.3}
    box = tuple(SIZE * fraction for fraction in (0.1, 0.3, 0.8, 0.75))
    expected = PillowImage.fromarray(image).resize(
        (SIZE, SIZE), PillowImage.Resampling.BILINEAR, box
    )
    found = render(image, fix_parameters(Crop(), **parameters), renderer=renderer)
    assert _max_interior_difference(found, expected) <= 1


@both
@pytest.mark.parametrize(
    ("operation", "parameters", "scales"),
    [
        (Rescale(), {"x_factor": 1.3, "y_factor": 1.1}, (1.3, 1.1)),
        (Rescale(), {"x_factor": 1.6, "y_factor": 1.0}, (1.6, 1.0)),
        (Zoom(), {"factor": 1.4}, (1.4, 1.4)),
    ],
)
def test_scaling_matches_pillow(
    renderer: str, operation: Any, parameters: Any, scales: Any
) -> None:
    image = build_texture(SIZE, SIZE)
    (x, y), middle = scales, SIZE / 2
    expected = _transform_with_pillow(
        image, 1 / x, 0, middle - middle / x, 0, 1 / y, middle - middle / y
    )
    found = render(image, fix_parameters(operation, **parameters), renderer=renderer)
    assert _max_interior_difference(found, expected) <= 1


@both
def test_perspective_matches_opencv_homography_of_four_points(renderer: str) -> None:
    image = build_texture(SIZE, SIZE)
    inwards = np.array([[0.05, 0.2], [0.15, 0.0], [0.1, 0.12], [0.2, 0.03]])
    parameters = {f"{axis}{i}": inwards[i, j] for i in range(4) for j, axis in enumerate("xy")}
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * SIZE
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    moved = (corners + signs * inwards * SIZE).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    expected = _transform_with_pillow(image, *(matrix / matrix[2, 2]).ravel()[:8], perspective=True)
    found = render(image, fix_parameters(Perspective(), **parameters), renderer=renderer)
    assert _max_interior_difference(found, expected, margin=1) <= 1


def test_operations_apply_in_policy_order() -> None:
    image = build_texture(SIZE, SIZE)
    shift = fix_parameters(Shift(), dx=0.25, dy=0.0)
    rotate = fix_parameters(Rotate(), degrees=90.0)
    # Shifted to the right and then rotated counterclockwise, the content has moved up.
    np.testing.assert_array_equal(
        render(image, shift, rotate, border="black"),
        np.rot90(np.pad(image, ((0, 0), (16, 0), (0, 0)))[:, :SIZE]),
    )
    np.testing.assert_array_equal(
        render(image, rotate, shift, border="black"),
        np.pad(np.rot90(image), ((0, 0), (16, 0), (0, 0)))[:, :SIZE],
    )


def _compute_detail(image: Image) -> float:
    """The mean square of the Laplacian, which blurring reduces."""
    inside = image[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(float)
    return float(np.mean([ndimage.laplace(inside[..., c])[1:-1, 1:-1] ** 2 for c in range(3)]))


ALL_GEOMETRY: list[SampledOperation] = [
    fix_parameters(FlipLeftRight()),
    fix_parameters(Rotate(), degrees=11.0),
    fix_parameters(Shear(), x_degrees=6.0, y_degrees=0.0),
    fix_parameters(Rescale(), x_factor=1.04, y_factor=0.97),
    fix_parameters(Zoom(), factor=1.03),
    fix_parameters(Crop(), width=0.93, height=0.96, left=0.02, top=0.03),
    fix_parameters(
        Perspective(), x0=0.01, y0=0.0, x1=0.02, y1=0.01, x2=0.0, y2=0.0, x3=0.0, y3=0.02
    ),
]


@both
def test_policy_of_all_geometry_resamples_once(renderer: str) -> None:
    image = build_texture(128, 128)
    once = render(image, *ALL_GEOMETRY, renderer=renderer)
    one_by_one = image
    for step in ALL_GEOMETRY:
        one_by_one = render(one_by_one, step, renderer=renderer)
    # Reference: the same matrix with quintic splines, which hardly blur.
    (matrix,) = (
        build_plan(*(s.operation for s in ALL_GEOMETRY), size=128)
        .compose(ALL_GEOMETRY, np.zeros(1))
        .matrix.numpy()
        .astype(float)
    )
    y, x = (np.mgrid[:128, :128] + 0.5) / 128 - 0.5
    points = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
    rows, columns = ((points[i] / points[2] + 0.5) * 128 - 0.5 for i in (1, 0))
    sharp = np.stack(
        [
            ndimage.map_coordinates(
                image[..., c].astype(float), [rows, columns], order=5, mode="mirror"
            )
            for c in range(3)
        ],
        axis=-1,
    )
    # The content is the same, and more than twice the detail is kept.
    assert np.corrcoef(once.ravel(), sharp.ravel())[0, 1] > 0.99
    kept, lost = (
        _compute_detail(once) / _compute_detail(sharp),
        _compute_detail(one_by_one) / _compute_detail(sharp),
    )
    assert kept > 0.4
    assert kept > 2 * lost
    error_ratio = np.abs(once - sharp).mean() / np.abs(one_by_one - sharp).mean()
    assert error_ratio < 0.6
