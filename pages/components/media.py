"""Pictures and films as HTML. Addresses come from outside: only harmless ones are used, all escaped."""

from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from core import settings
from core.deliveries.models import Generation, StoredFile
from pages.components.states import icon_html

TYPE_NAMES = {
    "image/jpeg": "JPEG picture",
    "image/png": "PNG picture",
    "image/webp": "WebP picture",
    "image/gif": "GIF picture",
    "video/mp4": "MP4 film",
    "video/webm": "WebM film",
    "video/quicktime": "QuickTime film",
}


@dataclass(frozen=True)
class Shown:
    """Something to show: its address, whether it is a film, what to call the downloaded file.

    Only what is `ours` is shown on the page; the browser is not sent to other hosts by itself.
    """

    url: str
    film: bool
    file_name: str
    ours: bool


def safe_url(url: str | None) -> str | None:
    """`url` if a browser may be sent there: a path of ours, or http(s)."""
    if not url or any(character.isspace() or ord(character) < 32 for character in url):
        return None
    if url.startswith("/"):
        return None if url.startswith(("//", "/\\")) else url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.netloc else None


def of_generation(generation: Generation) -> Shown | None:
    """What a generation has to show: the permanent file, else the provider's, else the preview."""
    url = safe_url(generation.shown_url)
    if url is None:
        return None
    return Shown(url, generation.kind == "video", _name(url, generation), _is_ours(url))


def of_file(file: StoredFile) -> Shown | None:
    """A stored file."""
    url = safe_url(file.url)
    if url is None:
        return None
    film = file.content_type.startswith("video/")
    return Shown(url, film, PurePosixPath(file.path).name, _is_ours(url))


def _is_ours(url: str) -> bool:
    """Whether the pages' own address or the storage serves it, as the content security policy wants it."""
    current = settings.current()
    base, parts = urlsplit(current.public_base_url), urlsplit(url)
    ours = {f"{base.scheme}://{base.netloc}", *current.storage_origins}
    return not parts.netloc or f"{parts.scheme}://{parts.netloc}" in ours


def _name(url: str, generation: Generation) -> str:
    suffix = PurePosixPath(urlsplit(url).path).suffix
    return f"{generation.kind}_{str(generation.id)[:8]}{suffix}"


def type_name(content_type: str) -> str:
    """`JPEG picture` for `image/jpeg`; the type itself when we have no name for it."""
    return TYPE_NAMES.get(content_type, content_type)


def full_html(shown: Shown, alt: str) -> str:
    """The result itself: a film with controls, a picture that opens in full on click, or a way to it."""
    url = escape(shown.url)
    if not shown.ours:
        host = escape(urlsplit(shown.url).hostname or "")
        return (
            f'<a class="so-link-button" href="{url}" target="_blank">{icon_html("open_in_new")}'
            f"Open it at {host}</a>"
        )
    if shown.film:
        return (
            f'<div class="so-result"><video src="{url}" controls playsinline preload="metadata"'
            f' aria-label="{escape(alt)}"></video></div>'
        )
    return (
        f'<a class="so-result" href="{url}" target="_blank" title="Open in full">'
        f'<img src="{url}" alt="{escape(alt)}"></a>'
    )


def thumbnail_html(shown: Shown | None, icon: str) -> str:
    """A small picture that loads when it comes into view; `icon` stands in while there is none."""
    if shown is None or not shown.ours:
        inner = icon_html(icon)
    elif shown.film:
        inner = (
            f'<video src="{escape(shown.url)}#t=0.1" muted playsinline preload="metadata" tabindex="-1"'
            f' aria-hidden="true"></video><span class="so-badge">{icon_html("play_arrow")}</span>'
        )
    else:
        inner = f'<img src="{escape(shown.url)}" alt="" loading="lazy" decoding="async">'
    return f'<div class="so-thumb">{inner}</div>'


def download_html(shown: Shown) -> str:
    """A button that downloads the file straight from where it is stored."""
    return (
        f'<a class="so-link-button" href="{escape(_as_download(shown))}" download="{escape(shown.file_name)}"'
        f"{_new_tab(shown.url)}>"
        f"{icon_html('download')}Download</a>"
    )


def _as_download(shown: Shown) -> str:
    """The address to download from: browsers mind `download` for their own site; Supabase can be told."""
    if "/storage/v1/object/public/" not in shown.url:
        return shown.url
    return f"{shown.url}{'&' if '?' in shown.url else '?'}download={quote(shown.file_name)}"


def _new_tab(url: str) -> str:
    """What keeps the page open where a browser shows another site's file instead of downloading it."""
    base, parts = urlsplit(settings.current().public_base_url), urlsplit(url)
    same = not parts.netloc or (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
    return "" if same else ' target="_blank"'
