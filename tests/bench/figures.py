"""A measured figure as a JSON line: machine, input, figure, baseline, ratio, and whether it is enough."""

import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """`ratio` is figure by baseline; `wanted` says in words what `holds` decided."""

    input: str
    figure: float
    unit: str
    wanted: str
    holds: bool
    baseline: float | None = None
    baseline_is: str = ""

    @property
    def ratio(self) -> float | None:
        return round(self.figure / self.baseline, 2) if self.baseline else None


@lru_cache(maxsize=1)
def machine() -> dict[str, str | int]:
    """What the figure was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(memory / 1e9),
    }


def _cpu() -> str:
    """The processor's name, where the system tells it."""
    listed = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", listed.read_text()) if listed.exists() else None
    return found[1] if found else platform.processor()


def line(name: str, figure: Figure) -> str:
    """The JSON line of one figure of the measurement `name`."""
    found = {**asdict(figure), "figure": round(figure.figure, 2)}
    if figure.baseline is not None:
        found["baseline"] = round(figure.baseline, 2)
    return json.dumps(
        {"bench": name, "machine": machine(), **found, "ratio": figure.ratio}, ensure_ascii=False
    )
