"""People at a page without a browser: Streamlit's own WebSocket and messages, what a page refreshes by itself
included (https://docs.streamlit.io/develop/concepts/architecture/architecture)."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

FINISHED = {ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY}
GIVES_UP_S = 60.0
LARGEST = 64 * 1024 * 1024


@dataclass
class Crowd:
    """What everybody met: seconds from an interaction to the drawn page, and what went wrong."""

    waits: list[float] = field(default_factory=list)
    refreshes: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass
class Person:
    """One session at `page` that picks one of `queries` after the other, thinking in between."""

    base: str
    page: str
    queries: tuple[str, ...]
    crowd: Crowd
    dice: random.Random
    thinks_s: tuple[float, float] = (3.0, 20.0)
    _script: str = ""
    _query: str = ""
    _refreshing: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def stay(self, seconds: float) -> None:
        """Come, look and pick for so long."""
        address = f"{self.base.replace('http', 'ws', 1)}/_stcore/stream"
        end = time.monotonic() + seconds
        async with connect(address, subprotocols=["streamlit"], max_size=LARGEST) as wire:  # type: ignore[list-item]
            try:
                await self._ask(wire)
                while time.monotonic() < end:
                    await self._listen(wire, self.dice.uniform(*self.thinks_s))
                    self._query = self.dice.choice(self.queries)
                    begun = time.perf_counter()
                    if await self._ask(wire):
                        self.crowd.waits.append(time.perf_counter() - begun)
            finally:
                self._forget()

    async def _ask(self, wire: ClientConnection) -> bool:
        """Have the page drawn; whether it was, to its end."""
        self._forget()
        await wire.send(self._rerun())
        try:
            return await asyncio.wait_for(self._until_drawn(wire), GIVES_UP_S)
        except TimeoutError:
            self.crowd.errors.append(f"nothing drawn within {GIVES_UP_S:g} s")
            return False

    def _rerun(self, fragment: str = "") -> bytes:
        message = BackMsg()
        state = message.rerun_script
        state.page_name, state.query_string = self.page, self._query
        state.page_script_hash, state.fragment_id = self._script, fragment
        state.is_auto_rerun = bool(fragment)
        return bytes(message.SerializeToString())

    async def _until_drawn(self, wire: ClientConnection) -> bool:
        while True:
            message = await self._take(wire)
            if message.WhichOneof("type") != "script_finished":
                continue
            if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return True
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                return False

    async def _listen(self, wire: ClientConnection, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._take(wire), left)
            except TimeoutError:
                return

    async def _take(self, wire: ClientConnection) -> ForwardMsg:
        message = ForwardMsg()
        message.ParseFromString(await wire.recv(decode=False))
        match message.WhichOneof("type"):
            case "new_session":
                self._script = message.new_session.page_script_hash
            case "auto_rerun":
                self._refresh(wire, message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "delta" if message.delta.new_element.WhichOneof("type") == "exception":
                self.crowd.errors.append(message.delta.new_element.exception.message)
            case "script_finished" if message.script_finished not in FINISHED | {
                ForwardMsg.FINISHED_EARLY_FOR_RERUN
            }:
                self.crowd.errors.append("the page's script ended with an error")
            case "page_not_found":
                self.crowd.errors.append("no such page")
        return message

    def _forget(self) -> None:
        for task in self._refreshing.values():
            task.cancel()
        self._refreshing.clear()

    def _refresh(self, wire: ClientConnection, fragment: str, every_s: float) -> None:
        async def again() -> None:
            while True:
                await asyncio.sleep(every_s)
                await wire.send(self._rerun(fragment))
                self.crowd.refreshes += 1

        if fragment not in self._refreshing:
            self._refreshing[fragment] = asyncio.create_task(again())


async def _all(people: list[Person], seconds: float, spread_s: float) -> None:
    async def come(person: Person) -> None:
        await asyncio.sleep(person.dice.uniform(0, spread_s))
        try:
            await person.stay(seconds)
        except OSError as error:
            person.crowd.errors.append(type(error).__name__)

    await asyncio.gather(*(come(person) for person in people))


def attend(base: str, page: str, queries: tuple[str, ...], people: int, seconds: float) -> Crowd:
    """So many people at the page for so long, who come within its first ten seconds."""
    crowd = Crowd()
    everybody = [Person(base, page, queries, crowd, random.Random(n)) for n in range(people)]
    asyncio.run(_all(everybody, seconds, spread_s=10))
    return crowd
