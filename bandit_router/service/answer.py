"""A JSON answer that leaves in one piece.

aiohttp puts the head of a response together field by field, and lets signals add to it. Nearly
every answer of ours has the same head: it is kept as bytes, and head and body are one write.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from .browsers import HEADERS, SERVER

_JSON: dict[str, str] = {hdrs.CONTENT_TYPE: "application/json"}


class JsonAnswer(web.Response):
    """A JSON body under the head that all answers share.

    Where anything is out of the ordinary (a header was added, a page of another site asks, the
    connection ends) it is a response of aiohttp's like any other.

    Parameters
    ----------
    body
        JSON.
    status
        Of the answer.
    """

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__(body=body, status=status, headers=_JSON)
        self._whole = body
        self._left = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send head and body, or begin as aiohttp does."""
        if not self._is_ordinary(request):
            return await super().prepare(request)
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        head = _head(self.status, int(time.time()))
        transport.write(b"%b%d\r\n\r\n%b" % (head, len(self._whole), self._whole))
        self._left = True
        if request.protocol.writing_paused:  # of who does not read, no more is taken in
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body, if it has not left with the head."""
        if not self._left:
            await super().write_eof(data)

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open."""
        return self._left or super().keep_alive

    def _is_ordinary(self, request: web.BaseRequest) -> bool:
        return (
            len(self.headers) == len(_JSON)
            and request.keep_alive
            and request.version == HttpVersion11
            and request.method != hdrs.METH_HEAD
            and hdrs.ORIGIN not in request.headers
            and not self.cookies
        )


@lru_cache(16)
def _head(status: int, second: int) -> bytes:
    """Return the head of an answer in a second of time, up to the length of its body."""
    date = formatdate(second, usegmt=True)
    fields: dict[str, str] = {**_JSON, **HEADERS, hdrs.SERVER: SERVER, hdrs.DATE: date}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, f"{hdrs.CONTENT_LENGTH}: "]).encode()
