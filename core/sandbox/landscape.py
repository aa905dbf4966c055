"""A lake among hills, at an hour of the day, drifting slowly when asked for later moments."""

from dataclasses import dataclass

import numpy as np

from core.sandbox.noise import Frame, enlarge, field, line, soft

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Hour:
    """The light: the sky from top to horizon, the sun, the far haze and the nearest hill (RGB, 0 to 1)."""

    words: tuple[str, ...]
    top: Colour
    middle: Colour
    horizon: Colour
    sun: Colour
    haze: Colour
    near: Colour
    glow: float


HOURS = (
    Hour(("sunset", "evening", "golden", "autumn"), (0.20, 0.29, 0.48), (0.72, 0.50, 0.47), (1.0, 0.70, 0.40),
         (1.0, 0.86, 0.60), (0.86, 0.57, 0.45), (0.07, 0.07, 0.09), 0.9),
    Hour(("dawn", "morning", "mist", "pastel"), (0.38, 0.50, 0.68), (0.76, 0.74, 0.78), (0.99, 0.84, 0.73),
         (1.0, 0.93, 0.80), (0.83, 0.77, 0.77), (0.12, 0.17, 0.17), 0.7),
    Hour(("day", "summer", "blue", "mountain"), (0.16, 0.39, 0.68), (0.42, 0.64, 0.84), (0.82, 0.90, 0.95),
         (1.0, 0.98, 0.90), (0.66, 0.78, 0.87), (0.10, 0.19, 0.12), 0.5),
    Hour(("winter", "snow", "storm", "cold"), (0.30, 0.36, 0.44), (0.55, 0.61, 0.67), (0.85, 0.86, 0.86),
         (0.97, 0.95, 0.92), (0.74, 0.78, 0.81), (0.10, 0.13, 0.16), 0.4),
    Hour(("dusk", "twilight", "purple", "moon"), (0.07, 0.09, 0.22), (0.30, 0.22, 0.42), (0.86, 0.46, 0.45),
         (1.0, 0.80, 0.70), (0.50, 0.34, 0.48), (0.03, 0.04, 0.08), 0.6),
)  # fmt: skip

RIDGES = 5
FACETED = 3  # the far ones show their rock, the near ones are wooded
SPARE = 1.35  # the hills go on beyond the picture's edge, for the drift


class Landscape:
    """One scene of `width` × `height` pixels; `words` of the prompt choose the hour."""

    def __init__(self, generator: np.random.Generator, width: int, height: int, words: str = "") -> None:
        self._size = width, height
        fitting = [hour for hour in HOURS if any(word in words for word in hour.words)]
        self._hour = fitting[0] if fitting else HOURS[generator.integers(len(HOURS))]
        self._shore = float(generator.uniform(0.62, 0.72))
        self._sun = float(generator.uniform(0.18, 0.82)), float(generator.uniform(0.24, 0.44))
        self._sky_size = max(width // 2, 1), max(int(self._shore * height) // 2, 1)
        wide = int(self._sky_size[0] * SPARE)
        self._clouds = field(generator, wide, self._sky_size[1], (3, 7), 5, 0.56)
        self._cover = float(generator.uniform(-0.05, 0.35))
        long = int(width * SPARE)
        bumps = max(2, round(4 * width / height))
        self._hills = [self._hill(generator, long, bumps, n) for n in range(RIDGES)]
        shore = int(self._shore * height)
        self._texture = field(generator, long, height // 2, (24, 20), 3, 0.6)
        self._ripples = field(generator, width, height - shore, (7, 36), 3, 0.7)

    def _hill(self, generator: np.random.Generator, length: int, bumps: int, n: int) -> Frame:
        """Heights above the shore, as parts of the picture's height; the farthest first."""
        rise = (0.30, 0.22, 0.155, 0.10, 0.055)[n]
        shape = line(generator, length, bumps + n, 8, 0.46 if n else 0.5)
        if n == 0:
            shape = np.float32(1.1) - np.float32(1.7) * np.abs(shape)
        ridge: Frame = np.maximum(rise * (0.62 + 0.5 * shape), np.float32(0.004)).astype(np.float32)
        if n >= RIDGES - 2:
            ridge += _treetops(generator, length, 0.010 + 0.012 * (n - RIDGES + 2))
        return ridge

    def frame(self, moment: float) -> Frame:
        """height × width × 3 at `moment` (0 to 1), about 0 to 1 in each channel."""
        width, height = self._size
        shore = int(self._shore * height)
        picture = np.empty((height, width, 3), dtype=np.float32)
        picture[:shore] = enlarge(self._sky(moment), width, shore)
        for n in range(RIDGES):
            self._draw_hill(picture, n, shore, moment)
        self._draw_water(picture, shore, moment)
        return picture

    def _sky(self, moment: float) -> Frame:
        width, height = self._sky_size
        hour = self._hour
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
        stops = np.array([hour.top, hour.middle, hour.horizon, hour.horizon], dtype=np.float32)
        rows = np.stack([np.interp(y[:, 0], (0, 0.55, 0.95, 2), stops[:, c]) for c in range(3)], axis=1)
        sky = np.repeat(rows[:, None, :].astype(np.float32), width, axis=1)
        aspect = self._size[0] / self._size[1]
        unit = aspect**-0.5
        rise = y * self._shore - self._sun[1] - 0.05 * moment
        far = (np.hypot((x - self._sun[0]) * aspect, rise) * unit).astype(np.float32)
        sun = np.array(hour.sun, dtype=np.float32)
        glow = hour.glow * (0.44 * np.exp(-far * 3.6) + 0.4 * np.exp(-((far * 12) ** 2)))
        start = int((SPARE - 1) * width * moment)
        clouds = soft(self._cover, self._cover + 0.95, self._clouds[:, start : start + width])
        clouds *= soft(1.02, 0.45, y) * 0.85
        lit = (0.42 + 0.9 * np.exp(-far * 2.4))[:, :, None] * sun + 0.32 * np.array(
            hour.middle, dtype=np.float32
        )
        sky += clouds[:, :, None] * (np.minimum(lit, 1.05) - sky)
        sky += (glow * (1 - 0.55 * clouds))[:, :, None] * sun
        disc = soft(0.034, 0.029, far) * (1 - 0.7 * clouds)
        sky += disc[:, :, None] * (1.15 - sky)
        result: Frame = sky
        return result

    def _draw_hill(self, picture: Frame, n: int, shore: int, moment: float) -> None:
        width, height = self._size
        start = int((SPARE - 1) * width * moment * (n + 1) / RIDGES)
        crest = shore - self._hills[n][start : start + width] * height
        top = max(int(crest.min()) - 1, 0)
        rows = np.arange(top, shore, dtype=np.float32)[:, None]
        inside = np.clip(rows - crest[None, :] + 0.5, 0, 1)
        depth = np.clip((rows - crest[None, :]) / (0.16 * height), 0, 1)
        nearness = ((n + 0.35) / (RIDGES - 0.65)) ** 1.15
        haze, near = (np.array(c, dtype=np.float32) for c in (self._hour.haze, self._hour.near))
        body = haze * (1 - nearness) + near * nearness
        mist = haze * 0.55 + np.array(self._hour.horizon, dtype=np.float32) * 0.45
        veil = depth * (0.62 - 0.45 * nearness)
        rough = self._texture[: shore - top, start : start + width] * (0.05 + 0.09 * nearness)
        rough *= 1.6 - depth
        if n < FACETED:
            rough += self._facets(crest, depth) * (1 - 0.4 * n)
        solid, misty = inside * (1 + rough) * (1 - veil), inside * veil
        region = picture[top:shore]
        region *= (1 - inside)[:, :, None]
        region += solid[:, :, None] * body
        region += misty[:, :, None] * mist

    def _facets(self, crest: Frame, depth: Frame) -> Frame:
        """Light on the slopes that face the sun, shade on the others, running down from the crest."""
        width = self._size[0]
        even = np.convolve(np.pad(crest, 7, mode="edge"), np.full(15, 1 / 15, dtype=np.float32), mode="valid")
        towards = np.sign(np.arange(width) / width - self._sun[0])
        light = np.clip(np.gradient(even) * towards * -0.2, -0.13, 0.15).astype(np.float32)
        lean = np.arange(width)[None, :] + (depth * np.float32(width * 0.07)).astype(np.int32)
        result: Frame = light[lean % width] * (1.15 - depth)
        return result

    def _draw_water(self, picture: Frame, shore: int, moment: float) -> None:
        """The reflection of what is above, torn by ripples that grow towards the viewer."""
        width, height = self._size
        rows = height - shore
        down = np.arange(rows, dtype=np.float32)
        far = (down / rows)[:, None]
        turned = np.roll(self._ripples, int(moment * 90), axis=1)
        reach = (1.5 + 26 * far**1.2) * (height / 1024)
        source = np.clip(shore - 2 - down[:, None] * 0.92 + turned * reach, 0, shore - 1).astype(np.int32)
        source *= width
        source += np.arange(width, dtype=np.int32)
        water = picture.reshape(-1, 3).take(source.ravel(), axis=0).reshape(rows, width, 3)
        tint = 0.5 * np.array(self._hour.top, dtype=np.float32) + 0.03
        near_sun = np.exp(-(((np.linspace(0, 1, width) - self._sun[0]) * 5) ** 2)).astype(np.float32)
        glint = np.clip(turned - 0.55, 0, 1) * (0.06 + 0.3 * near_sun)
        edge = soft(0, 3, down)[:, None]
        water *= ((0.80 - 0.22 * far) * edge + 0.62 * (1 - edge))[:, :, None]
        water += (edge * (0.10 + 0.22 * far))[:, :, None] * tint
        water += (glint * edge)[:, :, None] * np.array(self._hour.sun, dtype=np.float32)
        picture[shore:] = water


def _treetops(generator: np.random.Generator, length: int, tall: float) -> Frame:
    """Conifers along a ridge: narrow spikes of uneven height and spacing."""
    outline = np.zeros(length, dtype=np.float32)
    x = np.arange(length, dtype=np.float32)
    at = 0.0
    while at < length:
        size = generator.uniform(0.4, 1.0)
        half = (2.5 + 6 * size) * tall / 0.02
        left, right = max(int(at - half), 0), min(int(at + half) + 1, length)
        spike = np.clip(1 - np.abs(x[left:right] - at) / half, 0, 1) ** 0.8 * size * tall
        outline[left:right] = np.maximum(outline[left:right], spike)
        at += generator.uniform(0.5, 1.9) * half
    return outline
