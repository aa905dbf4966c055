"""Proves, a little at a time, that every LoRA's weights are there and unchanged; each once a week."""

from core import database
from core.loras import proofs
from core.trainings import tools


def run() -> int:
    """Look at the files that are due, for about a minute; how many."""
    return proofs.prove(tools.current().storage, database.now())
