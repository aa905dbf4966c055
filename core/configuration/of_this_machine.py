"""What can be judged on this machine: the settings, and the room for files on their way."""

import shutil
from collections.abc import Iterator
from datetime import datetime

from core.configuration.models import Verdict
from core.settings import LOOPBACK, Settings
from core.storage import contradictions

# Files of up to 500 MB, several at once, lie on the disk for a moment.
ROOM_WANTED, ROOM_NEEDED = 5 * 10**9, 10**9


def settings(found: Settings, _: datetime) -> Iterator[Verdict]:
    """What is set, as far as it can be judged by itself."""
    yield from _settings(found)
    yield from _contradictions(found)


def disk(found: Settings, _: datetime) -> Iterator[Verdict]:
    """The room for files on their way."""
    yield _room(found)


def _settings(settings: Settings) -> Iterator[Verdict]:
    yield Verdict(
        "settings", good=True, message=f"{settings.profile} profile, storage {settings.storage_backend}"
    )
    host = settings.public_base_url.split("://", 1)[-1].split("/")[0].rsplit(":", 1)[0]
    if settings.profile == "configured" and host in LOOPBACK:
        yield Verdict(
            "PUBLIC_BASE_URL",
            good=False,
            message="points at this machine, so KIE's callbacks can't arrive. Set it to the public address.",
        )
    elif settings.profile == "configured" and settings.public_base_url.startswith("http:"):
        yield Verdict(
            "PUBLIC_BASE_URL",
            good=True,
            message="begins with http://, so keys and the callback's secret travel in the open. Use https://.",
            warning=True,
        )
    for name, why in (
        ("KIE_CALLBACK_SECRET", "every callback is refused without it"),
        ("OPS_API_KEY", "the API answers nobody without it"),
    ):
        if not getattr(settings, name.lower()) or not settings.require(name):
            local = settings.profile == "local"
            yield Verdict(name, good=local, message=f"is not set: {why}.", warning=local)


def _contradictions(settings: Settings) -> Iterator[Verdict]:
    """Settings that can't all be meant."""
    for complaint in contradictions.found_in(settings):
        yield Verdict(
            complaint.name, good=complaint.harmless, message=complaint.words, warning=complaint.harmless
        )


def _room(settings: Settings) -> Verdict:
    """Every file passes through the data folder's disk on its way, whatever the storage."""
    folder = settings.data_path
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    told = f"{free / 1e9:,.1f} GB free in {settings.data_path}"
    if free >= ROOM_WANTED:
        return Verdict("disk", good=True, message=told)
    remedy = "Free some space, or set STUDIO_OPS_DATA_DIR to a folder on a larger disk."
    return Verdict("disk", good=free >= ROOM_NEEDED, message=f"{told}. {remedy}", warning=free >= ROOM_NEEDED)
