"""Keeps the machinery's own tables small."""

from datetime import UTC, datetime

from core.work import runs


def run() -> int:
    """Forget old slots, silent processes and finished jobs; how many rows went."""
    return runs.prune(datetime.now(UTC))
