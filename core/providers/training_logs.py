"""A trainer's log: its last lines, and how far they say the training is."""

import re
from collections.abc import Sequence

from core.providers.training import LogLine

MAX_LINES = 500
MAX_LINE = 500
# "300/1000" as tqdm and most trainers write it, with the word or the bar that tells it from a date.
_STEPS = re.compile(r"(?i)(?:step\D{0,12}|\|\s*)(\d{1,6})\s*/\s*(\d{1,6})")
_PERCENT = re.compile(r"(?<!\d)(\d{1,3})%\s*\|")


def lines_of(text: str) -> list[str]:
    """The lines of one text; a bar that redraws itself counts as its last state."""
    lines = (line.rstrip("\r").rpartition("\r")[2].strip() for line in text.split("\n"))
    return [line for line in lines if line]


def progress_of(log: Sequence[LogLine]) -> int | None:
    """The percentage that the newest telling line names, 0 to 100; None when none does."""
    for line in reversed(log):
        if found := list(_STEPS.finditer(line.message)):
            done, of = int(found[-1][1]), int(found[-1][2])
            if of > 0 and done <= of:
                return done * 100 // of
        if bars := _PERCENT.findall(line.message):
            return min(int(bars[-1]), 100)
    return None
