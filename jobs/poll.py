"""Reads the provider's records of deliveries that are due."""

from core.deliveries import following, tools


def run() -> int:
    """Poll what is due, as far as the provider's limit allows; how many records were read."""
    return following.poll_due(tools.current())
