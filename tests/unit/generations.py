"""A generation and a provider's record as the tests of rules want them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from core.deliveries.models import DeliveryState, Generation
from core.providers.contract import ProviderState, TaskRecord

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = UUID("11111111-2222-4333-8444-555555555555")

_GENERATION = Generation(
    id=ID,
    user_id=None,
    provider="kie",
    kind="image",
    model="flux-2/pro-text-to-image",
    prompt="a lighthouse",
    input={"prompt": "a lighthouse"},
    status="generating",
    delivery_state=DeliveryState.AWAITING_PROVIDER,
    task_id="task_1",
    result_urls=(),
    asset_url=None,
    preview_url=None,
    created_at=NOW,
    submitted_at=NOW,
    delivered_at=None,
    next_attempt_at=NOW,
    attempt_priority=2,
    attempt=0,
    lease_until=None,
    lease_token=None,
    provider_state=None,
    provider_read_at=None,
    result_expires_at=None,
    failure_category=None,
    failure_code=None,
    failure_message=None,
    watched_until=None,
)


def generation(**changes: Any) -> Generation:
    """One that waits for KIE, submitted at NOW; with `changes`."""
    return replace(_GENERATION, **changes)


def record(state: ProviderState, **more: Any) -> TaskRecord:
    """What KIE says of it."""
    return TaskRecord("task_1", state, state_word=more.pop("state_word", str(state)), **more)
