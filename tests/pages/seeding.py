"""Rows in every state, as the services would have left them, for pages that have to show them."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from core.deliveries.models import DeliveryState, EventKind, Status

HOSTILE = '<img src=x onerror="alert(1)"> **bold** $x^2$ [link](javascript:alert(2)) :red[red] {{7*7}} 🦊'
FLUX, KLING = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"
KLING_INPUT = {"aspect_ratio": "16:9", "duration": "5", "sound": False}
FLUX_INPUT = {"aspect_ratio": "4:3", "resolution": "1K"}


@dataclass
class Row:
    """A generation to insert; ages in seconds before now."""

    state: DeliveryState | None
    status: Status | str
    age_s: float = 60
    prompt: str | None = "A lighthouse on a cliff in a storm, long exposure, photograph"
    model: str | None = FLUX
    kind: str = "image"
    task_id: str | None = "task_0123456789abcdef0123456789abcdef"
    asset_url: str | None = None
    result_urls: list[str] = field(default_factory=list)
    test: bool = True
    failure: tuple[str, str | None, str] | None = None
    attempt: int = 0
    lease_s: float | None = None
    id: uuid.UUID = field(default_factory=uuid.uuid4)


def insert(connection: psycopg.Connection[Any], row: Row, now: datetime | None = None) -> uuid.UUID:
    """Write the row; its id."""
    now = now or datetime.now(UTC)
    created = now - timedelta(seconds=row.age_s)
    delivered = created + timedelta(seconds=12) if row.state is DeliveryState.DELIVERED else None
    made_input = {"prompt": row.prompt, **(FLUX_INPUT if row.model == FLUX else KLING_INPUT)}
    category, code, message = row.failure or (None, None, None)
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            """
            INSERT INTO generations (id, provider, kind, model, prompt, input, status, delivery_state,
                task_id, asset_url, result_urls, request_key, failure_category, failure_code,
                failure_message, attempt, lease_until, created_at, updated_at, submitted_at, delivered_at)
            VALUES (%s, 'kie', %s, %s, %s, %s, %s, %s, %s, %s,
                (jsonb_populate_record(
                    NULL::generations, jsonb_build_object('result_urls', %s::jsonb))).result_urls,
                %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            (
                row.id,
                row.kind,
                row.model,
                row.prompt,
                json.dumps(made_input) if row.test else None,
                row.status,
                row.state,
                row.task_id,
                row.asset_url,
                json.dumps(row.result_urls),
                f"seed-{row.id}" if row.test else None,
                category,
                code,
                message,
                row.attempt,
                now + timedelta(seconds=row.lease_s) if row.lease_s is not None else None,
                created,
                created,
                created if row.test else None,
                delivered,
            ),
        )
    return row.id


def add_event(
    connection: psycopg.Connection[Any],
    generation_id: uuid.UUID,
    kind: EventKind,
    age_s: float,
    *,
    words: str | None = None,
    **detail: Any,
) -> None:
    """Append a step to a timeline."""
    measured = {
        name: detail.pop(name, None) for name in ("duration_ms", "bytes", "attempt", "error_category")
    }
    connection.execute(
        """
        INSERT INTO delivery_events (generation_id, at, kind, words, detail, duration_ms, bytes, attempt,
            error_category)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            generation_id,
            datetime.now(UTC) - timedelta(seconds=age_s),
            kind,
            words,
            json.dumps(detail),
            *measured.values(),
        ),
    )


def add_file(
    connection: psycopg.Connection[Any],
    generation_id: uuid.UUID,
    url: str,
    content_type: str = "image/jpeg",
    n: int = 0,
) -> None:
    """Record a stored file."""
    connection.execute(
        """
        INSERT INTO stored_files (bucket, path, generation_id, n, bytes, sha256, content_type, url)
        VALUES ('generations', %s, %s, %s, 234567, %s, %s, %s)
        """,
        (f"studio-ops/image/{generation_id}_{n}.jpg", generation_id, n, "ab" * 32, content_type, url),
    )


def add_cost(connection: psycopg.Connection[Any], generation_id: uuid.UUID, usd: str) -> None:
    """Record what a generation cost."""
    connection.execute(
        """
        INSERT INTO job_costs (kind, provider, service, generation_id, amount_usd, occurred_at, source_key)
        VALUES ('settle', 'kie', 'generation', %s, %s, now(), %s)
        """,
        (generation_id, usd, f"seed-{generation_id}"),
    )


def beat(connection: psycopg.Connection[Any], role: str, age_s: float = 1) -> None:
    """A clock or worker that was last heard of so long ago."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    connection.execute(
        """
        INSERT INTO process_heartbeats (id, role, host, pid, version, started_at, beat_at)
        VALUES (%s, %s, 'machine', 4321, '0.1.0', %s, %s)
        """,
        (uuid.uuid4(), role, at, at),
    )


def run(connection: psycopg.Connection[Any], job: str, age_s: float, error: str | None = None) -> None:
    """A finished run of a scheduled job."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    connection.execute(
        """
        INSERT INTO job_runs (job, slot, enqueued_at, started_at, finished_at, state, error)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (job, at, at, at, at, "failed" if error else "succeeded", error),
    )


def alive(connection: psycopg.Connection[Any]) -> None:
    """A clock, a worker and jobs that succeed."""
    beat(connection, "clock")
    beat(connection, "worker")
    for job in ("poll", "prune", "sweep"):
        run(connection, job, 2)


def every_state(connection: psycopg.Connection[Any]) -> dict[str, uuid.UUID]:
    """A generation in every state, among them those of the company's application; ids by a short name."""
    state = DeliveryState
    words = "The input was flagged by the content policy <b>of KIE</b>."
    rows = {
        "intent": Row(state.INTENT, Status.QUEUED, age_s=2, task_id=None),
        "sending": Row(state.SENDING, Status.QUEUED, age_s=4, task_id=None, lease_s=50),
        "queued": Row(state.AWAITING_PROVIDER, Status.QUEUED, age_s=9),
        "generating": Row(
            state.AWAITING_PROVIDER, Status.GENERATING, age_s=31, model=KLING, kind="video", lease_s=20
        ),
        "stuck": Row(state.AWAITING_PROVIDER, Status.GENERATING, age_s=2_400),
        "storing": Row(
            state.AWAITING_DELIVERY,
            Status.GENERATING,
            age_s=44,
            attempt=2,
            failure=("network", None, "The connection was closed while the file came in."),
        ),
        "delivered": Row(
            state.DELIVERED, Status.SUCCESS, age_s=400, asset_url="/files/generations/a/b.jpg?sig=abc"
        ),
        "hostile": Row(
            state.DELIVERED, Status.SUCCESS, age_s=500, prompt=HOSTILE, asset_url="javascript:alert(3)"
        ),
        "failed": Row(
            state.FAILED, Status.FAILED, age_s=700, failure=("validation", "400", words), prompt=HOSTILE
        ),
        "refused": Row(
            state.FAILED,
            Status.FAILED,
            age_s=800,
            task_id=None,
            failure=("authentication", "401", "You do not have access permissions"),
        ),
        "lost": Row(
            state.LOST,
            Status.FAILED,
            age_s=5_000,
            model=KLING,
            kind="video",
            failure=("file_error", None, "KIE has deleted the result."),
        ),
        "attention": Row(
            state.NEEDS_ATTENTION,
            Status.QUEUED,
            age_s=4_000,
            task_id=None,
            failure=(
                "network",
                None,
                "KIE's answer was lost and no callback came. Nothing was sent twice.",
            ),
        ),
        "leased": Row(
            state.NEEDS_ATTENTION,
            Status.GENERATING,
            age_s=9_000,
            lease_s=40,
            failure=("file_error", None, "KIE's file is not a picture or video that can be opened."),
        ),
        "legacy": Row(
            None,
            Status.SUCCESS,
            age_s=90_000,
            test=False,
            result_urls=["https://tempfile.aiquickdraw.com/x.png"],
        ),
        "strange": Row(None, "archived", age_s=95_000, test=False, prompt=None, model=None, task_id=None),
    }
    ids = {name: insert(connection, row) for name, row in rows.items()}
    _tell(connection, ids)
    return ids


def _tell(connection: psycopg.Connection[Any], ids: dict[str, uuid.UUID]) -> None:
    kind = EventKind
    one = ids["delivered"]
    add_event(connection, one, kind.CREATED, 400, by="Local operator")
    add_event(connection, one, kind.SUBMITTED, 399.5, attempt=1)
    add_event(connection, one, kind.ACCEPTED, 399, duration_ms=430, task_id="task_0123")
    for age in (396, 393, 390):
        add_event(connection, one, kind.POLLED, age, duration_ms=80, says="generating", progress=40)
    add_event(connection, one, kind.CALLBACK, 389, says="success")
    add_event(connection, one, kind.RESULT_READY, 389, duration_ms=70, files=2, credits=5)
    add_event(
        connection, one, kind.DOWNLOAD_FAILED, 388.5, attempt=1, error_category="network", words="reset"
    )
    add_event(connection, one, kind.STORED, 388.2, duration_ms=210, bytes=234_567)
    add_event(connection, one, kind.DELIVERED, 388, duration_ms=12_000, attempt=2)
    add_file(connection, one, "/files/generations/a/b.jpg?sig=abc")
    add_cost(connection, one, "0.025")
    failed = ids["failed"]
    add_event(connection, failed, kind.CREATED, 700, by="Local operator")
    add_event(
        connection, failed, kind.PROVIDER_FAILED, 690, words="<script>alert(4)</script> flagged", code="400"
    )
