"""Bytes for events and states: canonical msgpack, so that equal states have equal digests.

Nothing here executes what it reads (no pickle): a log or a snapshot from a stranger is data.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np

from .candidates import plain
from .types import Change, Decision, Event, Feedback, Outcome

_ARRAY = 1
_DTYPES = {"<f8", "<f4", "<i8", "<i4", "|b1"}

_event_encoder = msgspec.msgpack.Encoder(enc_hook=plain)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(
    Decision | Outcome | Feedback | Change
)


def encode_event(event: Event) -> bytes:
    """Return `event` as msgpack bytes."""
    return _event_encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """Return the event that `encode_event` wrote.

    Raises
    ------
    msgspec.DecodeError
        If the bytes are no event.
    """
    return _event_decoder.decode(data)


def _array_out(value: Any) -> msgspec.msgpack.Ext:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a state cannot hold a {type(value).__name__}")
    little = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False))
    head = msgspec.msgpack.encode((little.dtype.str, list(little.shape)))
    return msgspec.msgpack.Ext(_ARRAY, len(head).to_bytes(2, "little") + head + little.tobytes())


def _array_in(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise msgspec.DecodeError(f"unknown extension {code} in a state")
    cut = 2 + int.from_bytes(data[:2], "little")
    dtype, shape = msgspec.msgpack.decode(data[2:cut], type=tuple[str, list[int]])
    if dtype not in _DTYPES:
        raise msgspec.DecodeError(f"unknown array type {dtype!r} in a state")
    return np.frombuffer(data[cut:], dtype=dtype).reshape(shape).copy()


_state_encoder = msgspec.msgpack.Encoder(enc_hook=_array_out)
_state_decoder = msgspec.msgpack.Decoder(ext_hook=_array_in)


def encode_state(state: Any) -> bytes:
    """Return a state (dicts in their order, lists, text, numbers, bytes, arrays) as bytes."""
    return _state_encoder.encode(state)


def decode_state(data: bytes) -> Any:
    """Return the state that `encode_state` wrote; tuples come back as lists."""
    return _state_decoder.decode(data)


def digest(data: bytes) -> str:
    """Return the SHA-256 of an encoded state, in hex."""
    return hashlib.sha256(data).hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text, in hex; lone surrogates are no obstacle."""
    return digest(text.encode("utf-8", "surrogatepass"))
