"""The storage that the settings choose."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from obstore.store import S3Store

from core.errors import SettingsError
from core.settings import LOOPBACK, Settings, with_scheme
from core.storage import sandbox
from core.storage.buckets import BUCKETS
from core.storage.contract import Storage
from core.storage.objects import LocalStorage
from core.storage.r2 import R2Storage
from core.storage.supabase import SupabaseStorage
from core.storage.supabase_key import key_fault
from core.storage.supabase_wire import Wire

_BY_NAME = {bucket.name: bucket for bucket in BUCKETS}


def from_settings(settings: Settings) -> Storage:
    """The configured backend. Raises SettingsError that names what is missing or wrong."""
    if settings.storage_backend == "supabase":
        return supabase_from_settings(settings)
    if settings.storage_backend == "r2":
        return r2_from_settings(settings)
    return local_from_settings(settings)


def local_from_settings(settings: Settings) -> LocalStorage:
    """The folder's storage, whose files this product serves itself under `/files`."""
    return LocalStorage(
        settings.data_path / "files",
        settings.require("FILES_SIGNING_KEY").encode(),
        _BY_NAME,
        before_keeping=sandbox.asked(settings.local_stack) if settings.local_stack else None,
    )


def supabase_from_settings(settings: Settings) -> SupabaseStorage:
    """The buckets of the Supabase project."""
    key = settings.require("SUPABASE_SERVICE_ROLE_KEY")
    fault = key_fault(key, datetime.now(UTC))
    if fault:
        raise SettingsError(f"SUPABASE_SERVICE_ROLE_KEY {fault}")
    wire = Wire(settings.require("SUPABASE_URL"), key)
    return SupabaseStorage(wire, _BY_NAME, settings.data_path / "spool")


def r2_from_settings(settings: Settings) -> R2Storage:
    """The buckets of the one table as folders of the R2 bucket."""
    bucket = settings.require("CLOUDFLARE_R2_BUCKET")
    endpoint = r2_endpoint(settings.require("CLOUDFLARE_R2_ENDPOINT"), bucket)
    store = S3Store(
        bucket,
        endpoint=endpoint,
        region="auto",
        virtual_hosted_style_request=False,
        access_key_id=settings.require("CLOUDFLARE_R2_ACCESS_KEY_ID"),
        secret_access_key=settings.require("CLOUDFLARE_R2_SECRET_ACCESS_KEY"),
        client_options={
            "allow_http": urlsplit(endpoint).hostname in LOOPBACK,
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=60),  # of one part, not of a whole file
        },
        # Each request is tried again here; the calls around them have their own patience.
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=60)},
    )
    public_url = settings.require("CLOUDFLARE_R2_PUBLIC_URL")
    return R2Storage(store, bucket, public_url, _BY_NAME, settings.data_path / "spool")


def r2_endpoint(address: str, bucket: str) -> str:
    """The account's endpoint; Cloudflare shows it also without a scheme, or with the bucket behind it."""
    parts = urlsplit(with_scheme(address))
    if parts.path.strip("/") not in {"", bucket}:
        raise SettingsError(
            "CLOUDFLARE_R2_ENDPOINT must be the account's endpoint, such as"
            " https://ACCOUNT_ID.r2.cloudflarestorage.com, with nothing behind it."
        )
    return f"{parts.scheme}://{parts.netloc}"
