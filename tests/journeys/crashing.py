"""A process that is killed at one of its calls to the outside: what it would have done next is not done."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from core.deliveries.tools import Tools
from core.trainings import tools as trainings


class Killed(BaseException):
    """What no `except` of the product catches, as none catches a kill -9."""


@dataclass
class Fuse:
    """Kills at the `left`-th call from now on, before it or when it has been made; None never does."""

    left: int | None
    after: bool = False

    def around(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make the call, unless the fuse burns before it."""
        burns = self._burns()
        if burns and not self.after:
            raise Killed
        result = call(*args, **kwargs)
        if burns:
            raise Killed
        return result

    def _burns(self) -> bool:
        if self.left is None:
            return False
        self.left -= 1
        return self.left == -1


class _Fused:
    """An object of the outside whose every method may be the last thing that the process does."""

    def __init__(self, inner: Any, fuse: Fuse, spare: frozenset[str] = frozenset()) -> None:
        self._inner, self._fuse, self._spare = inner, fuse, spare

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name in self._spare:
            return found

        def called(*args: Any, **kwargs: Any) -> Any:
            result = self._fuse.around(found, *args, **kwargs)
            return self._entered(result) if isinstance(result, AbstractContextManager) else result

        return called

    @contextmanager
    def _entered(self, manager: AbstractContextManager[Any]) -> Iterator[Any]:
        with manager as inside:
            yield _Fused(inside, self._fuse)


def fused(tools: Tools, fuse: Fuse) -> Tools:
    """The same tools in the hands of a process that will be killed."""
    outside: dict[str, Any] = {name: _Fused(getattr(tools, name), fuse) for name in ("fetch", "storage")}
    providers: Any = {name: _Fused(one, fuse) for name, one in tools.providers.items()}
    return replace(tools, providers=providers, **outside)


def fused_trainings(
    tools: trainings.Tools, fuse: Fuse, spare: frozenset[str] = frozenset()
) -> trainings.Tools:
    """The same for trainings; the methods named in `spare` are no place to die at."""
    outside: dict[str, Any] = {
        name: _Fused(getattr(tools, name), fuse, spare) for name in ("images", "fetch", "storage")
    }
    trainers: Any = {name: _Fused(trainer, fuse, spare) for name, trainer in tools.trainers.items()}
    return replace(tools, trainers=trainers, **outside)
