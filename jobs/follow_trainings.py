"""Asks the providers about trainings that are due, and finds runs whose job has vanished."""

from core.trainings import following, tools


def run() -> int:
    """Poll what is due and put the rest on the queue; how many runs."""
    outside = tools.current()
    return following.sweep(outside) + following.poll_due(outside)
