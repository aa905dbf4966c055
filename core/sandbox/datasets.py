"""Pulls what a trainer is given by its address, on this machine alone, and opens it."""

import asyncio
import contextlib
import ssl
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urljoin

import httpx
from PIL import Image

from core.sandbox.callbacks import callable_url
from core.sandbox.trainings import Failure

MOST_BYTES = 512 * 1024 * 1024
MOST_ENTRIES, MOST_ENTRY_BYTES = 2000, 64 * 1024 * 1024
MOST_REDIRECTS = 3
WHOLE_SECONDS = 120.0
TIMEOUT = httpx.Timeout(15.0, connect=5.0)
HEAD_BYTES = 64 * 1024
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


class Refused(Exception):
    """The data cannot be used; `failure` says why in the provider's words."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Dataset:
    """What a ZIP held."""

    images: int
    captions: int
    bytes: int


def _lost(why: str) -> Refused:
    return Refused(Failure(f"Failed to download the file: {why}", "file_download_error", 422))


def client() -> httpx.AsyncClient:
    """For plain http on this machine; without certificates, which take longer to read than all the rest."""
    return httpx.AsyncClient(trust_env=False, timeout=TIMEOUT, verify=_NO_TLS)


@contextlib.asynccontextmanager
async def opened(url: str, headers: dict[str, str] | None = None) -> AsyncIterator[httpx.Response]:
    """The answer at `url`, redirects followed on this machine alone; Refused when there is none."""
    async with client() as asking:
        for _ in range(MOST_REDIRECTS + 1):
            if not callable_url(url):
                raise _lost("the sandbox fetches http addresses of this machine only")
            try:
                async with asking.stream("GET", url, headers=headers) as answer:
                    if answer.has_redirect_location:
                        url = urljoin(url, answer.headers["location"])
                        continue
                    if answer.status_code not in {200, 206}:
                        raise _lost(f"status {answer.status_code}")
                    yield answer
                    return
            except (httpx.HTTPError, TimeoutError) as error:
                raise _lost(type(error).__name__) from None
    raise _lost("too many redirects")


async def pull(url: str) -> Dataset:
    """Fetch the ZIP and look into it."""
    with tempfile.TemporaryFile() as file:
        size = 0
        async with asyncio.timeout(WHOLE_SECONDS), opened(url) as answer:
            async for chunk in answer.aiter_bytes(256 * 1024):
                size += len(chunk)
                if size > MOST_BYTES:
                    raise Refused(Failure("The file is too large", "file_too_large", 422))
                await asyncio.to_thread(file.write, chunk)
        return await asyncio.to_thread(_look, file, size)


def _look(file: IO[bytes], size: int) -> Dataset:
    """Count pictures that open, and captions that belong to one."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not _hidden(entry.filename)]
            if len(entries) > MOST_ENTRIES or any(entry.file_size > MOST_ENTRY_BYTES for entry in entries):
                raise Refused(Failure("The archive is too large", "file_too_large", 422))
            stems = [_open(archive, entry) for entry in entries if _suffix(entry.filename) in _PICTURES]
            texts = [Path(entry.filename).stem for entry in entries if _suffix(entry.filename) == ".txt"]
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
        raise Refused(Failure("The archive could not be opened", "file_download_error", 422)) from None
    return Dataset(len(stems), len(set(texts) & set(stems)), size)


def _open(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    try:
        with archive.open(entry) as picture, Image.open(picture) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        message = f"Failed to load the image {entry.filename}"
        raise Refused(Failure(message, "image_load_error", 422)) from None
    return Path(entry.filename).stem


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _hidden(name: str) -> bool:
    return name.endswith("/") or name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")


async def check_picture(url: str) -> None:
    """Look at the head of a picture; Refused when it is none that models read."""
    head = b""
    async with opened(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"}) as answer:
        async for chunk in answer.aiter_bytes(HEAD_BYTES):
            head += chunk
            if len(head) >= 12:
                break
    if not (head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n")) or head[8:12] == b"WEBP"):
        raise Refused(Failure("The picture could not be read", "image_load_error", 422))


async def check_weights(url: str) -> None:
    """Look at the head of a LoRA; Refused when it is no safetensors file."""
    head = b""
    async with opened(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"}) as answer:
        async for chunk in answer.aiter_bytes(HEAD_BYTES):
            head += chunk
            if len(head) >= 16:
                break
    length = int.from_bytes(head[:8], "little")
    if len(head) < 16 or not 2 <= length <= 100_000_000 or head[8:9] != b"{":
        raise Refused(Failure("Failed to load the LoRA weights", "file_download_error", 422))
