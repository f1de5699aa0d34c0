"""A network that can be cut: a TCP proxy on loopback."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """Forwards to a port of this machine; `cut` ends and refuses, `hold` swallows, `mend` mends."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._to = port
        self._host = host
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # an aborted connection is closed by the loop

    def cut(self) -> None:
        self._refuses = True
        for writer in list(self._writers):
            writer.transport.abort()

    def hold(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._refuses = False
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, forth}
        for source, target in ((reader, forth), (back, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    await self._open.wait()
                    target.write(data)
                    await target.drain()
        finally:
            self._writers.discard(target)
            target.transport.abort()
