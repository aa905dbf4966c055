"""Takes away the ZIPs and test pictures that trainings no longer need."""

from core.trainings import cleaning, tools


def run() -> int:
    """Take them away; how many."""
    return cleaning.clean(tools.current())
