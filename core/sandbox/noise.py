"""Smooth noise: the raw material of hills, clouds and water."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.float32]


def line(generator: np.random.Generator, length: int, first: int, octaves: int, fall: float = 0.5) -> Frame:
    """A row of `length` values around 0 (about -1 to 1): `first` bumps across, then finer ones."""
    x = np.linspace(0, 1, length, dtype=np.float32)
    total = np.zeros(length, dtype=np.float32)
    for octave in range(octaves):
        count = first * 2**octave
        knots = generator.uniform(-1, 1, count + 2)
        place = x * count
        index = place.astype(np.int64)
        part = place - index
        part = part * part * (3 - 2 * part)
        total += (knots[index] * (1 - part) + knots[index + 1] * part).astype(np.float32) * fall**octave
    return total


def field(
    generator: np.random.Generator,
    width: int,
    height: int,
    cells: tuple[int, int],
    octaves: int,
    fall: float = 0.5,
) -> Frame:
    """height × width values around 0: `cells` (across, down) bumps, then finer ones."""
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(octaves):
        across, down = cells[0] * 2**octave + 2, cells[1] * 2**octave + 2
        rough = generator.uniform(-1, 1, (down, across)).astype(np.float32)
        smooth = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) * np.float32(fall**octave)
    return total


def soft(low: float, high: float, values: Frame) -> Frame:
    """0 below `low`, 1 above `high`, smooth between."""
    part = np.clip((values - low) / (high - low), 0, 1)
    result: Frame = part * part * (3 - 2 * part)
    return result


def enlarge(frame: Frame, width: int, height: int) -> Frame:
    """height × width × 3 from a smaller frame, bilinear."""
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(frame[:, :, plane])).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for plane in range(frame.shape[2])
    ]
    return np.stack(planes, axis=2)
