"""Asks KIE how many credits are left."""

from core.budget import balances
from core.deliveries import tools


def run() -> int:
    """Note what is left; 1 when it was told."""
    outside = tools.current()
    return balances.take("kie", outside.kie.credit, outside.clock())
