"""What to compare Delivery health with: the product itself, whose pages draw constants in place of what they
would read. The constants are what they read once, before the first page."""

from collections.abc import Callable
from typing import TypeVar

from core import database, settings, usage
from core.deliveries import health_rows
from core.deliveries.windows import Filter
from core.work import runs
from pages.components.actor import the_actor

T = TypeVar("T")


def _always(value: T) -> Callable[..., T]:
    return lambda *_, **__: value


settings.current()
_now = database.now()
for _module, _name, _constant in (
    (health_rows, "board", health_rows.board(the_actor(), Filter(), _now)),
    (usage, "latest", usage.latest()),
    (usage, "daily", usage.daily(30, _now)),
    (runs, "liveness", runs.liveness(_now)),
):
    setattr(_module, _name, _always(_constant))

from app import app  # noqa: E402, F401
