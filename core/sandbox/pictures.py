"""Where a result's bytes come from: a rendered scene, a shipped video, or filler of any size.

Rendered pictures depend on the task's id and prompt alone, so the folder that caches them may be emptied.
"""

import asyncio
import hashlib
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from core.sandbox.scenery import render
from core.sandbox.tasks import Task

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "mp4": "video/mp4"}
MEDIA = Path(__file__).parent / "media"
KEPT_PICTURES = 400
LONG_SIDE = {"1K": 1024, "2K": 2048}
BLOCK_BYTES = 64 * 1024
MOST_BYTES = 4_000_000_000


class Source(Protocol):
    """Bytes of a known size, any part of which can be had."""

    @property
    def size(self) -> int: ...

    def part(self, start: int, stop: int) -> bytes: ...


class Whole:
    """A file that is in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def part(self, start: int, stop: int) -> bytes:
        return self._content if (start, stop) == (0, self.size) else self._content[start:stop]


class Padded:
    """A file followed by a repeated block up to `size` bytes, never held as a whole."""

    def __init__(self, head: bytes, size: int) -> None:
        self._head = head
        self._size = max(size, len(head))

    @property
    def size(self) -> int:
        return self._size

    def part(self, start: int, stop: int) -> bytes:
        head = self._head[start:stop]
        start = max(start, len(self._head)) - len(self._head)
        stop -= len(self._head)
        if start >= stop:
            return head
        first = start // BLOCK_BYTES
        blocks = _block() * (stop // BLOCK_BYTES - first + 1)
        return head + blocks[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]


@cache
def _block() -> bytes:
    return random.Random("filler").randbytes(BLOCK_BYTES)


@cache
def _video(ratio: str) -> bytes:
    return (MEDIA / f"{ratio.replace(':', 'x')}.mp4").read_bytes()


@cache
def _tiny(extension: str) -> bytes:
    picture = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    stream = BytesIO()
    picture.save(stream, {"jpg": "JPEG", "png": "PNG"}[extension])
    return stream.getvalue()


def film() -> bytes:
    """The film in landscape that every such task results in."""
    return _video("16:9")


@lru_cache(maxsize=32)
def small_picture(prompt: str, side: int) -> bytes:
    """A JPEG of `prompt`, `side` pixels wide; the same bytes for the same words."""
    return render(seed=f"sample:{prompt}", prompt=prompt, size=(side, side * 3 // 4), extension="jpg")


def frame_size(given: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels for an image's input."""
    long_side = LONG_SIDE[given["resolution"]]
    across, down = (int(part) for part in str(given["aspect_ratio"]).split(":"))
    scale = long_side / max(across, down)
    return round(across * scale), round(down * scale)


class Pictures:
    """The rendered pictures, cached in a folder, each rendered once however many ask for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._under_way: dict[str, asyncio.Future[bytes]] = {}
        self._folder_in_use = threading.Lock()

    def filler(self, name: str, size: int) -> Source:
        """A valid file of `size` bytes (at least that of its smallest kind), different for each name.

        An image is followed by bytes that decoders ignore, a video by an MP4 `free` box.
        """
        extension = name.rsplit(".", 1)[-1]
        label = hashlib.sha256(name.encode()).digest()
        if extension != "mp4":
            return Padded(_tiny(extension) + label, size)
        base = _video("16:9")
        free = max(size - len(base), 8 + len(label))
        return Padded(base + free.to_bytes(4, "big") + b"free" + label, len(base) + free)

    def forget(self, names: Iterable[str]) -> None:
        """Remove what was rendered under these names."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    async def of(self, task: Task, name: str) -> Source:
        """The file `name` of a finished task."""
        if task.model.kind == "video":
            return Whole(_video(task.given.get("aspect_ratio", "16:9")))
        prompt = str(task.given["prompt"])
        return await self.rendered(
            name,
            seed=f"{name}:{prompt}",
            prompt=prompt,
            size=frame_size(task.given),
            extension=task.model.extension,
        )

    async def rendered(
        self, name: str, *, seed: str, prompt: str, size: tuple[int, int], extension: str
    ) -> Source:
        """The picture of that seed and prompt, kept under `name`."""
        path = self._folder / name
        if path.exists():
            return Whole(path.read_bytes())
        waiting = self._under_way.get(name)
        if waiting is None:
            work = partial(render, seed=seed, prompt=prompt, size=size, extension=extension)
            waiting = asyncio.ensure_future(asyncio.to_thread(self._keep, name, work))
            self._under_way[name] = waiting
            waiting.add_done_callback(lambda _: self._under_way.pop(name, None))
        return Whole(await asyncio.shield(waiting))

    def _keep(self, name: str, work: Callable[[], bytes]) -> bytes:
        content = work()
        with self._folder_in_use:
            self._evict()
            part = self._folder / f"{name}.part"
            part.write_bytes(content)
            part.replace(self._folder / name)
        return content

    def _evict(self) -> None:
        """Make room for one more, the oldest first."""
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(len(kept) - KEPT_PICTURES + 1, 0)]:
            path.unlink(missing_ok=True)
