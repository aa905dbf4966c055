"""`python -m tests.bench NAME [--rows N]`: run one measurement; a JSON line a figure, 1 if one is missed."""

import importlib
import sys

NAMES = (
    "move",
    "deliver",
    "callback",
    "poll",
    "health",
    "budget",
    "pages",
    "crowd",
    "whole",
    "start",
    "zip",
    "trainings",
    "crash",
    "library",
    "loras",
    "frame",
    "plan",
)


def main(argv: list[str]) -> int:
    """Run the measurement that `argv` names with the rest of `argv`."""
    if not argv or argv[0] not in NAMES:
        print(f"usage: python -m tests.bench {{{','.join(NAMES)}}} [--rows N]", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"tests.bench.{argv[0]}").main(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
