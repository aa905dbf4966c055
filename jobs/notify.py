"""Sends the messages that are due, and writes those to people who asked for them."""

from core import database
from core.notifications import service
from core.trainings import telling


def run() -> int:
    """Send them; how many were taken by the other side."""
    telling.tell_ends(database.now())
    return service.deliver()
