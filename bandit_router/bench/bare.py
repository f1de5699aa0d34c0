"""The least around an encoder: its vector by a bare aiohttp handler, on disk before the answer.

There is no router, no check and no log. What this adds to the encoder nobody can avoid who serves
it with aiohttp and flushes the disk before each answer.

    python -m bandit_router.bench.bare
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from ..config import EmbedderSettings
from ..embedding import make_embedder
from ..store import Rows, Writer

_BYTES = 8_192  # two pages: what a decision writes at least
_FLUSH = getattr(os, "fdatasync", os.fsync)


class _File:
    """A file that is written over and flushed, once for all that waits."""

    def __init__(self) -> None:
        self._file, path = tempfile.mkstemp()
        os.unlink(path)

    def write(self, group: Sequence[Rows]) -> None:
        os.pwrite(self._file, bytes(_BYTES) * len(group), 0)
        _FLUSH(self._file)


async def main() -> None:
    """Serve MiniLM on a free port, which is printed once it is warm."""
    embedder, writer = make_embedder(EmbedderSettings()), Writer(_File())
    threads = ThreadPoolExecutor(getattr(embedder, "parallel", 1))
    loop = asyncio.get_running_loop()
    embedder.encode(["warm"])

    async def answer(request: web.Request) -> web.Response:
        prompt = json.loads(await request.read())["prompt"]
        [vector] = await loop.run_in_executor(threads, embedder.encode, [prompt])
        await asyncio.wrap_future(writer.submit(Rows()))
        return web.json_response({"model": "small", "first": float(vector[0])})

    app = web.Application()
    app.router.add_post("/route", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        writer.close()


if __name__ == "__main__":
    asyncio.run(main())
