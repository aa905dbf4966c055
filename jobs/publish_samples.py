"""Adds the judged test images of published LoRAs to their cards at Hugging Face."""

from core.trainings import sampling, tools


def run() -> int:
    """Add what is due; how many LoRAs."""
    return sampling.publish_due(tools.current())
