"""What is written to people about alerts that were opened: one message for all of them."""

from collections.abc import Sequence

from core.alerts import words
from core.alerts.models import Alert, Severity

SHOWN = 10
_SAID = {Severity.CRITICAL: "Critical", Severity.WARNING: "Warning", Severity.NOTICE: "Notice"}


def of(alerts: Sequence[Alert], base: str) -> tuple[str, str]:
    """Title and body, plain text, the worst first; more than ten are counted."""
    ordered = sorted(alerts, key=lambda alert: (list(Severity).index(alert.severity), alert.opened_at))
    first = _plain(words.headline(ordered[0]))
    title = (
        f"Studio Ops: {first}" if len(ordered) == 1 else f"Studio Ops: {first}, and {len(ordered) - 1} more"
    )
    parts = [_one(alert, base) for alert in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        parts.append(f"And {len(ordered) - SHOWN} more.")
    return title, "\n\n".join([*parts, f"All that is open: {base.rstrip('/')}/alerts"])


def _one(alert: Alert, base: str) -> str:
    lines = [f"{_SAID[alert.severity]}: {words.headline(alert)}", words.meaning(alert)]
    if alert.subject and alert.subject not in lines[0] and not alert.once:
        lines.append(alert.subject)
    address = words.address_of(alert, base)
    return _plain("\n".join([*lines, *([address] if address else [])]))


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ")
