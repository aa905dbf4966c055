"""Where a LoRA's weights can be downloaded, for an hour at most."""

import time
from collections import OrderedDict
from datetime import timedelta

from core.errors import InvalidInput, NotFound, StorageError
from core.loras import policy
from core.loras.models import WEIGHTS_BUCKET, Lora
from core.storage.contract import Storage

GOOD_FOR = timedelta(hours=1)
# A link is handed out again for so long, so that an unchanged LoRA is an unchanged answer. Seconds.
KEPT_S = 1_500.0
KEPT = 10_000
_links: OrderedDict[str, tuple[str, float]] = OrderedDict()


def weights_link(
    lora: Lora, storage: Storage, *, own: bool = False, session: str | None = None
) -> str | None:
    """A signed address, good for half an hour at least; None while there is no file.

    With `session` it is a page's, for that sign-in, where this product serves the file itself.

    It may be relative to the product's own address. To be given only to those who may see the LoRA; its
    creator, who is `own`, has it while it waits to be judged.
    """
    if not policy.has_usable_weights(lora.training_status, own=own) or not lora.storage_path:
        return None
    key, now = f"{storage.kind}:{session or ''}:{lora.storage_path}", time.monotonic()
    known = _links.get(key)
    if known and now - known[1] < KEPT_S:
        return known[0]
    try:
        url = storage.signed_url(WEIGHTS_BUCKET, lora.storage_path, GOOD_FOR, session)
    except (StorageError, NotFound, InvalidInput):
        return None
    _links[key] = (url, now)
    if len(_links) > KEPT:
        _links.popitem(last=False)
    return url
