"""Begins the trainings that the company's other systems have written down."""

from core import settings
from core.trainings import adopting, tools


def run() -> int:
    """Begin or refuse them; how many."""
    return adopting.adopt(tools.current(), settings.current().default_trainer)
