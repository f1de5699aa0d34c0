"""An LLM provider that answers every chat completion at once, always the same.

python -m bandit_router.bench.mock
"""

from __future__ import annotations

import asyncio
import json
import sys

from .load import LENGTH

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "An instant answer."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35},
    }
).encode()
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_RESPONSE = (_HEAD % len(_ANSWER)).encode() + _ANSWER


class _Mock(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        while end:
            if len(rest) < (length := _length(head.lower())):
                return
            self._data = rest[length:]
            self._transport.write(_RESPONSE)
            head, end, rest = self._data.partition(b"\r\n\r\n")


def _length(head: bytes) -> int:
    at = head.find(LENGTH)
    return 0 if at < 0 else int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0])


async def main() -> None:
    """Serve on a free port, which is printed, until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Mock, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
