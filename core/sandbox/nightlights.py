"""City lights out of focus, above a wet street that gives them back."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from core.sandbox.noise import Frame, enlarge, field, soft

Rgb = tuple[int, int, int]

# Dark of the night, glow over the street (0 to 1), and the lamps' colours.
SETS: tuple[tuple[tuple[float, ...], tuple[float, ...], tuple[Rgb, ...]], ...] = (
    (
        (0.030, 0.036, 0.075),
        (0.25, 0.12, 0.10),
        ((255, 176, 90), (255, 120, 80), (255, 214, 150), (120, 170, 255)),
    ),
    (
        (0.018, 0.045, 0.065),
        (0.06, 0.17, 0.20),
        ((90, 220, 230), (255, 190, 110), (120, 160, 255), (255, 236, 200)),
    ),
    (
        (0.045, 0.025, 0.080),
        (0.22, 0.09, 0.26),
        ((255, 90, 170), (140, 120, 255), (255, 180, 120), (90, 200, 255)),
    ),
)
# How near the lamps are (1 is nearest, largest, softest), how many, how far they scatter up and down.
DEPTHS = ((0.35, 110, 0.30), (0.6, 50, 0.55), (1.0, 13, 0.95))


def nightlights(generator: np.random.Generator, width: int, height: int) -> Frame:
    """height × width × 3, about 0 to 1."""
    dark, warm, colours = SETS[generator.integers(len(SETS))]
    small = max(width // 2, 1), max(height // 2, 1)
    street = int(small[1] * generator.uniform(0.60, 0.68))
    upper = small[0], street
    y = np.linspace(0, 1, street, dtype=np.float32)[:, None, None]
    haze = np.exp(-(((y - 0.95) / 0.42) ** 2)) * (1 + 0.35 * field(generator, *upper, (3, 3), 3)[:, :, None])
    frame = np.array(dark, dtype=np.float32) * (1 + y) + haze * np.array(warm, dtype=np.float32)
    frame = frame * _houses(generator, upper)[:, :, None]
    for near, count, spread in DEPTHS:
        frame = frame + _lamps(generator, upper, colours, near, count, spread)
    frame = np.clip(frame, 0, 1.2).astype(np.float32)
    picture = np.concatenate([frame, _street(generator, frame, small[1] - street)])
    return enlarge(picture, width, height)


def _houses(generator: np.random.Generator, size: tuple[int, int]) -> Frame:
    """Soft blocks that darken the glow, taller towards the sides."""
    width, height = size
    layer = Image.new("L", size, 255)
    draw = ImageDraw.Draw(layer)
    x = -width * 0.05
    while x < width:
        wide = width * generator.uniform(0.06, 0.16)
        aside = abs((x + wide / 2) / width - 0.5) * 2
        top = height * (1 - generator.uniform(0.25, 0.5) - 0.5 * aside)
        draw.rectangle((x, top, x + wide, height), fill=int(255 * generator.uniform(0.45, 0.75)))
        x += wide
    blurred = layer.filter(ImageFilter.GaussianBlur(width * 0.012))
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def _lamps(
    generator: np.random.Generator,
    size: tuple[int, int],
    colours: tuple[Rgb, ...],
    near: float,
    count: int,
    spread: float,
) -> Frame:
    """Points of light as a lens out of focus shows them: flat discs with a brighter rim."""
    width, height = size
    layer = Image.new("RGB", size)
    unit = min(size)
    for _ in range(count):
        x, y = generator.uniform(0, width), height * (0.86 - spread * abs(generator.normal(0, 0.5)))
        radius = unit * near * generator.uniform(0.028, 0.085)
        light = generator.uniform(0.25, 0.85) * (1.2 - 0.6 * near)
        colour = colours[generator.integers(len(colours))]
        box = (int(x - radius) - 1, int(y - radius) - 1, int(x + radius) + 2, int(y + radius) + 2)
        patch = Image.new("RGB", (box[2] - box[0], box[3] - box[1]))
        rim, inner = (tuple(int(c * light * part) for c in colour) for part in (1.0, 0.78))
        ImageDraw.Draw(patch).ellipse(
            (1, 1, patch.width - 2, patch.height - 2), fill=inner, outline=rim, width=2
        )
        old = np.asarray(layer.crop(box), dtype=np.uint16)
        summed = np.minimum(old + np.asarray(patch, dtype=np.uint16), 255).astype(np.uint8)
        layer.paste(Image.fromarray(summed), box[:2])
    blurred = layer.filter(ImageFilter.GaussianBlur(0.8 + 1.4 * near))
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def _street(generator: np.random.Generator, above: Frame, rows: int) -> Frame:
    """The wet ground: what is above turned over, drawn out downwards, broken where it is rough."""
    width = above.shape[1]
    lower = above[::-1][: max(int(rows * 1.25), 2)]
    pixels = Image.fromarray(np.clip(lower * 212, 0, 255).astype(np.uint8))
    drawn = pixels.resize((width, max(rows // 9, 2)), Image.Resampling.BOX).resize(
        (width, rows), Image.Resampling.BICUBIC
    )
    mirror = np.asarray(drawn.filter(ImageFilter.GaussianBlur(1.6)), dtype=np.float32) / 212
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    rough = field(generator, width, rows, (5, 26), 4, 0.75)
    wet = soft(-0.9, 0.7, rough + 0.35 - 0.5 * down)
    shine = (0.20 + 0.75 * wet) * (0.95 - 0.5 * down)
    return (mirror * shine[:, :, None] + 0.012).astype(np.float32)
