"""Failure groups: failures that are the same, since when, for how many, and who sees to them."""
