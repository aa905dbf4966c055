"""Compares what was written for pods with RunPod's own bill."""

from core.trainings import billing, tools


def run() -> int:
    """Correct what differs, and write what pods without a run have cost; how many lines."""
    return billing.compare(tools.current())
