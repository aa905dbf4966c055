"""A provider's file host for measurements: `python -m tests.bench.move_source [--latency-ms N]`.

Serves `/{bytes}/{anything}.jpg`, a file of exactly so many bytes with a JPEG's beginning and end, after a
fixed latency. Prints its URL and ends when its standard input closes.
"""

import argparse
import asyncio
import os
import re
import socket
import sys

HEAD = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xda\x00\x02"
END = b"\xff\xd9"
BLOCK = os.urandom(256 * 1024).replace(b"\xff", b"\xfe")
_REQUEST = re.compile(rb"GET /(\d+)/\S* HTTP/1\.1\r\n")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            match = _REQUEST.match(head)
            size = int(match[1]) if match else 0
            await asyncio.sleep(latency)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % size + HEAD
            )
            rest = size - len(HEAD) - len(END)
            while rest > 0:
                writer.write(BLOCK[:rest] if rest < len(BLOCK) else BLOCK)
                rest -= len(BLOCK)
                await writer.drain()
            writer.write(END)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _serve(latency: float) -> None:
    # The protocol is named because asyncio switches Nagle's delay off only where it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(lambda r, w: _answer(r, w, latency), sock=listener, backlog=256)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-ms", type=float, default=30.0)
    asyncio.run(_serve(parser.parse_args().latency_ms / 1000))
