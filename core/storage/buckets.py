"""The one table of buckets: who may read each, what it takes, and how large a file may be."""

from dataclasses import dataclass

_MB = 1024 * 1024

PHOTOS = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True)
class Bucket:
    """A bucket. `public` files are read by whoever knows the address; `max_bytes` bounds one file."""

    name: str
    public: bool
    content_types: tuple[str, ...]
    max_bytes: int


BUCKETS = (
    # Results: a customer's asset_url is a permanent address.
    Bucket(
        "generations",
        public=True,
        content_types=(*PHOTOS, "image/gif", "image/avif", "video/mp4", "video/webm", "video/quicktime"),
        max_bytes=500 * _MB,
    ),
    # References of a character, and their ZIPs, which the trainer fetches by address.
    Bucket(
        "character-references",
        public=True,
        content_types=(*PHOTOS, "application/zip"),
        max_bytes=50 * _MB,
    ),
    # People's own pictures for a training.
    Bucket("lora-training-images", public=False, content_types=PHOTOS, max_bytes=50 * _MB),
    # Weights: safetensors and the trainers' archives; handed out by signed links.
    Bucket(
        "lora-models",
        public=False,
        content_types=("application/octet-stream", "application/x-tar", "application/json"),
        max_bytes=2048 * _MB,
    ),
    # Test pictures of a finished LoRA, shown in the library by their addresses.
    Bucket("lora-validation", public=True, content_types=PHOTOS, max_bytes=20 * _MB),
)
