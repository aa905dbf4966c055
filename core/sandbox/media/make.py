"""Makes the videos of this folder again: `python -m core.sandbox.media.make` (needs ffmpeg with libx264).

They are shipped, so that neither the product nor its tests need ffmpeg.
"""

import math
import subprocess
from pathlib import Path

import numpy as np

from core.sandbox.landscape import Landscape
from core.sandbox.scenery import develop

FPS, SECONDS = 24, 5
# File name, width, height, seed, hour of the day.
VIDEOS = (
    ("16x9", 1280, 720, 11, "sunset"),
    ("9x16", 720, 1280, 5, "morning"),
    ("1x1", 960, 960, 23, "mountain"),
)
DRIFT = 0.55


def make(name: str, width: int, height: int, seed: int, words: str) -> Path:
    """Write one video: H.264, yuv420p, the index before the pictures, a key frame a second."""
    target = Path(__file__).parent / f"{name}.mp4"
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += [
        "-s",
        f"{width}x{height}",
        "-r",
        str(FPS),
        "-i",
        "-",
        "-an",
        "-c:v",
        "libx264",
        "-preset",
        "slow",
    ]
    command += ["-crf", "29", "-profile:v", "main", "-pix_fmt", "yuv420p", "-g", str(FPS)]
    command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-threads", "1"]
    command += ["-vf", "scale=out_color_matrix=bt709", "-movflags", "+faststart", str(target)]
    scene = Landscape(np.random.default_rng(seed), width, height, words)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:  # noqa: S603 - fixed words
        assert encoder.stdin is not None
        for number in range(FPS * SECONDS):
            eased = 0.5 - 0.5 * math.cos(math.pi * number / (FPS * SECONDS))
            encoder.stdin.write(develop(scene.frame(DRIFT * eased), (width, height)).tobytes())
        encoder.stdin.close()
    if encoder.returncode:
        raise SystemExit(f"ffmpeg failed for {target.name}")
    return target


if __name__ == "__main__":
    for video in VIDEOS:
        make(*video)
