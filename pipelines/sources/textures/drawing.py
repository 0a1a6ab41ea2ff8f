"""Drawing of the embedded data set `textures`.

An image is a pure function of (seed, index): the pattern of its class, rotated,
scaled, shifted and slightly warped, in two random colors, under uneven light,
with noise, and with up to two foreign shapes (litter) on top. Single pixel
values do not reveal the class: a linear classifier on raw pixels is near
chance, while a person or a small convolutional network tells the ten apart.

All computation is in float64 NumPy. The last digit of a sine differs between
processors; float64 has eight more digits than a uint8 pixel needs, so the
difference does not reach the pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.table import Table

SIZE = 64
"""Height and width of an image, in pixels."""

Plane = npt.NDArray[np.float64]
"""float64 [SIZE, SIZE]."""

_LUMA = np.array([0.299, 0.587, 0.114])
_Y, _X = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2


@dataclass(frozen=True)
class Drawing:
    """An image and its properties other than the class.

    The field names are those of the TFDS features.

    Args:
        image: uint8 RGB [64, 64, 3].
        angle: Rotation of the pattern in degrees, -46 to 46; invisible in rings and
            clouds.
        contrast: Difference in brightness between the two colors, 60 to 120 gray
            levels before the uneven light.
        tint: `red`, `green` or `blue`: the dominant channel of the two colors.
        litter: The kinds of foreign shape on the image, any of `disc` and `stick`,
            in alphabetical order.
    """

    image: npt.NDArray[np.uint8]
    angle: float
    contrast: float
    tint: str
    litter: tuple[str, ...]


@dataclass(frozen=True)
class Texture:
    """A class of texture.

    Args:
        name: The class's name.
        summary: Its appearance in a few words.
        paint: Maps coordinates u and v in pixels, and a random generator that also
            draws the size of the pattern, to brightness in 0 to 1.
    """

    name: str
    summary: str
    paint: Callable[[Plane, Plane, np.random.Generator], Plane]


def draw(index: int, *, seed: int) -> Drawing:
    """Draws one image; its class is `index % 10`, in the order of TEXTURES.

    Args:
        index: Number of the image, from 0; consecutive images cycle through the classes.
        seed: Each seed gives a different data set.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    texture = tuple(TEXTURES.values())[index % len(TEXTURES)]
    u, v, angle = _coordinates(rng)
    pattern = texture.paint(u, v, rng)
    back, front = _colors(rng)
    image = back + pattern[..., None] * (front - back)
    image, litter = _add_litter(image, rng)
    image = image * _light(rng)[..., None]
    image += rng.normal(0, rng.uniform(2, 9), (SIZE, SIZE, 1))
    brightness = _LUMA @ np.stack([back, front], axis=1)
    tint = back + front - brightness.sum()
    return Drawing(
        image=np.clip(np.rint(image), 0, 255).astype(np.uint8),
        angle=float(np.degrees(angle)),
        contrast=float(abs(brightness[1] - brightness[0])),
        tint=("red", "green", "blue")[int(tint.argmax())],
        litter=litter,
    )


def _coordinates(rng: np.random.Generator) -> tuple[Plane, Plane, float]:
    """Returns pixel coordinates u and v, rotated, shifted and slightly bent, and the angle.

    The angle is in radians, -0.8 to 0.8.
    """
    bend = rng.uniform(0, 1.2, 2)
    wave = rng.uniform(0, 2 * np.pi, 2)
    bent_x = _X + bend[0] * np.sin(2 * np.pi * _Y / SIZE + wave[0])
    bent_y = _Y + bend[1] * np.sin(2 * np.pi * _X / SIZE + wave[1])
    angle = rng.uniform(-0.8, 0.8)
    shift = rng.uniform(-40, 40, 2)
    u = np.cos(angle) * bent_x + np.sin(angle) * bent_y + shift[0]
    v = -np.sin(angle) * bent_x + np.cos(angle) * bent_y + shift[1]
    return u, v, angle


def _colors(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Returns the colors of background and pattern, float64 [3] in 0 to 255.

    Their brightness differs by 60 to 120 gray levels. The pattern is the brighter one
    in four images out of five: regular enough to learn from 1,600 images, and useless
    to a classifier that does not see shapes.
    """
    middle = rng.uniform(85, 165)
    half = rng.uniform(30, 60) * (1 if rng.random() < 0.8 else -1)
    tint = rng.uniform(-40, 40, (2, 3))
    # Remove the luma of the tint, so that it changes the hue and not the brightness.
    tint -= (tint @ _LUMA)[:, None]
    return middle - half + tint[0], middle + half + tint[1]


def _light(rng: np.random.Generator) -> Plane:
    """Returns light that falls off to one side, as a factor for each pixel."""
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.6)
    gamma = rng.uniform(0.75, 1.15)
    return gamma * (1 + slope * (np.cos(angle) * _X + np.sin(angle) * _Y) / SIZE)


def _add_litter(image: Plane, rng: np.random.Generator) -> tuple[Plane, tuple[str, ...]]:
    """Draws up to two discs or sticks of a random color over the image."""
    kinds: set[str] = set()
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(-SIZE / 2, SIZE / 2, 2)
        angle = rng.uniform(0, np.pi)
        along = np.cos(angle) * (_X - x) + np.sin(angle) * (_Y - y)
        across = -np.sin(angle) * (_X - x) + np.cos(angle) * (_Y - y)
        is_disc = rng.random() < 0.5
        kinds.add("disc" if is_disc else "stick")
        if is_disc:
            a, b = rng.uniform(4, 11, 2)
            inside = (1 - np.hypot(along / a, across / b)) * min(a, b)
        else:
            inside = rng.uniform(0.7, 1.6) - np.abs(across)
        cover = _soft(inside)[..., None]
        image = image + cover * (rng.uniform(20, 235, 3) - image)
    return image, tuple(sorted(kinds))


def _soft(inside: Plane) -> Plane:
    """Returns antialiased coverage, 0 to 1, from the signed distance to an edge in pixels."""
    return np.clip(0.5 + inside, 0, 1)


def _saw(x: Plane, period: float) -> Plane:
    """Returns the distance to the nearest multiple of `period`, in pixels."""
    return np.abs(x - period * np.rint(x / period))


def _hash(i: Plane, j: Plane, salt: float) -> Plane:
    """Returns a pseudorandom number in 0 to 1 for each cell (i, j)."""
    return np.modf(np.abs(np.sin(12.9898 * i + 78.233 * j + salt) * 437.585))[0]


def _stripes(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    period = rng.uniform(6, 18)
    return _soft(period * rng.uniform(0.18, 0.32) - _saw(u, period))


def _checks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    period = rng.uniform(13, 30)
    return _soft(period / 4 - _saw(u, period)) * (1 - 2 * _soft(period / 4 - _saw(v, period))) + (
        _soft(period / 4 - _saw(v, period))
    )


def _dots(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    period = rng.uniform(9, 19)
    row = np.rint(v / period)
    staggered = u + period / 2 * (row % 2) * (rng.random() < 0.5)
    distance = np.hypot(_saw(staggered, period), v - period * row)
    return _soft(period * rng.uniform(0.24, 0.36) - distance)


def _waves(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    length = rng.uniform(18, 34)
    period = rng.uniform(8, 15)
    bent = u + rng.uniform(0.14, 0.22) * length * np.sin(2 * np.pi * v / length)
    return _soft(period * rng.uniform(0.2, 0.3) - _saw(bent, period))


def _bricks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    height = rng.uniform(8, 14)
    width = height * rng.uniform(1.9, 2.5)
    row = np.floor(v / height)
    shifted = u + width / 2 * (row % 2)
    joint = rng.uniform(0.7, 1.3)
    edge = np.minimum(_saw(shifted, width), _saw(v, height)) - joint
    tint = 0.65 + 0.35 * _hash(row, np.floor(shifted / width), rng.uniform(0, 9))
    return _soft(edge) * tint


def _weave(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    cell = rng.uniform(11, 17)
    strand = cell / rng.integers(2, 4)
    i, j = np.floor(u / cell), np.floor(v / cell)
    across = np.where((i + j) % 2 == 0, _saw(v, strand), _saw(u, strand))
    along = np.where((i + j) % 2 == 0, u - cell * i, v - cell * j) / cell
    hump = 0.6 + 0.4 * np.sin(np.pi * along)
    return _soft(across - 0.7) * hump


def _rings(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    period = rng.uniform(7, 15)
    x, y = u - np.mean(u), v - np.mean(v)
    center = rng.uniform(-20, 20, 2)
    distance = np.hypot(x - center[0], y - center[1]) + rng.uniform(0, period)
    return _soft(period * rng.uniform(0.18, 0.32) - _saw(distance, period))


def _zigzag(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    length = rng.uniform(15, 28)
    period = rng.uniform(8, 15)
    bent = u + rng.uniform(1.0, 1.7) * _saw(v, length)
    return _soft(period * rng.uniform(0.2, 0.3) - _saw(bent, period))


def _clouds(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None]) + 1 / SIZE
    spectrum = np.fft.fft2(rng.normal(0, 1, (SIZE, SIZE))) / frequency ** rng.uniform(1.5, 2.1)
    field = np.fft.ifft2(spectrum).real
    return 1 / (1 + np.exp(-1.8 * (field - field.mean()) / field.std()))


def _cells(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    cell = rng.uniform(11, 18)
    salt = rng.uniform(0, 9)
    i, j = np.floor(u / cell), np.floor(v / cell)
    nearest = np.full_like(u, np.inf)
    second = np.full_like(u, np.inf)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            x = i + di + 0.12 + 0.76 * _hash(i + di, j + dj, salt)
            y = j + dj + 0.12 + 0.76 * _hash(i + di, j + dj, salt + 5.3)
            distance = np.hypot(u - cell * x, v - cell * y)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    return _soft((second - nearest) / 2 - rng.uniform(0.5, 1.0)) * (1 - 0.35 * nearest / cell)


TEXTURES: Table[Texture] = Table(
    "texture",
    [
        Texture("bricks", "courses of bricks, each shifted by half", _bricks),
        Texture("cells", "irregular cells between thin walls", _cells),
        Texture("checks", "a chessboard", _checks),
        Texture("clouds", "smooth fractal noise", _clouds),
        Texture("dots", "discs on a square or staggered lattice", _dots),
        Texture("rings", "concentric circles", _rings),
        Texture("stripes", "straight parallel bars", _stripes),
        Texture("waves", "parallel bars, bent smoothly", _waves),
        Texture("weave", "strands that pass over and under", _weave),
        Texture("zigzag", "parallel bars, bent sharply", _zigzag),
    ],
)
