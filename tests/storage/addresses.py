"""The backends that are tested, and the settings that lead to each."""

from pathlib import Path

from tests.storage.fake_supabase import SERVICE_KEY

KINDS = ("local", "supabase", "r2")
R2_BUCKET = "studio"


def environment(kind: str, address: str, data: Path) -> dict[str, str]:
    """The settings of a backend at `address`."""
    own = {
        "local": {"FILES_SIGNING_KEY": "k"},
        "supabase": {"SUPABASE_URL": address, "SUPABASE_SERVICE_ROLE_KEY": SERVICE_KEY},
        "r2": {
            "CLOUDFLARE_R2_ACCESS_KEY_ID": "id",
            "CLOUDFLARE_R2_SECRET_ACCESS_KEY": "secret",
            "CLOUDFLARE_R2_BUCKET": R2_BUCKET,
            "CLOUDFLARE_R2_ENDPOINT": address,
            "CLOUDFLARE_R2_PUBLIC_URL": f"{address}/{R2_BUCKET}",
        },
    }[kind]
    return {"STORAGE_BACKEND": kind, "STUDIO_OPS_DATA_DIR": str(data), **own}
