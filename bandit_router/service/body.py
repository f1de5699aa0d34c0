"""Bodies in and out: JSON to checked structs, with the offending field named."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from aiohttp import hdrs, web

from ..exceptions import InvalidInput
from .answer import JsonAnswer
from .errors import Refused
from .keys import CONNECTIONS

T = TypeVar("T")

_JSON = "application/json"

BODY_SECONDS = web.AppKey("body_seconds", float)
"""How long a body may take to arrive."""

_encode = msgspec.json.Encoder().encode
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def answer(value: msgspec.Struct, *, status: int = 200) -> web.Response:
    """Return `value` as a JSON response."""
    return JsonAnswer(_encode(value), status)


async def read(request: web.Request, type_: type[T]) -> T:
    """Return the body of `request` as a `type_`; see `whole` and `decode`."""
    return decode(await whole(request), type_)


async def whole(request: web.Request) -> bytes:
    """Return the body of `request` as it came; once, as it is not kept.

    Raises
    ------
    Refused
        400 for what cannot be read, 415 for another content type or a compressed body, 503 where
        too much is held already.
    web.HTTPRequestEntityTooLarge
        If it is larger than allowed, or is going to be.
    """
    if not _is_json(request):
        raise Refused(415, "send JSON with the header 'Content-Type: application/json'")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(415, "send the body as it is, not compressed")
    if (size := request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(max_size=request.client_max_size, actual_size=size)
    try:
        if not request.content.is_eof():
            return await _arriving(request)
        data = request.content.read_nowait()  # it has come with the head, as most do
        if (size := len(data)) > request.client_max_size:
            raise web.HTTPRequestEntityTooLarge(max_size=request.client_max_size, actual_size=size)
        return data
    except TimeoutError:
        raise Refused(408, "the body did not come in time: see server.body_timeout_s") from None
    except (web.RequestPayloadError, UnicodeError) as error:
        raise Refused(400, f"the body cannot be read: {error}") from None


def _is_json(request: web.Request) -> bool:
    if request.headers.get(hdrs.CONTENT_TYPE) == _JSON:  # as nearly always: nothing to take apart
        return True
    return request.content_type == _JSON or request.content_type.endswith("+json")


async def _arriving(request: web.Request) -> bytes:
    bodies, parts = request.app[CONNECTIONS].bodies, bytearray()
    async with asyncio.timeout(request.app[BODY_SECONDS]):
        while part := await request.content.readany():
            bodies.take(request, len(part))
            parts += part
            if len(parts) > request.client_max_size:
                raise web.HTTPRequestEntityTooLarge(request.client_max_size, len(parts))
    return bytes(parts)


def decode(data: bytes | msgspec.Raw, type_: type[T]) -> T:
    """Return JSON `data` as a `type_`.

    Raises
    ------
    Refused
        400 for what is no JSON.
    InvalidInput
        Naming the field that is unknown, missing, or of the wrong type.
    """
    try:
        return _decoder(type_).decode(data)
    except msgspec.ValidationError as error:
        raise _explained(error, type_) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _broken(bytes(data), error) from None


def path_text(request: web.Request, name: str) -> str:
    """Return the part `name` of the path as text that can be encoded."""
    return request.match_info[name].encode("utf-8", "replace").decode()


def _decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    found = _decoders.get(type_)
    if found is None:
        found = _decoders[type_] = msgspec.json.Decoder(type_)
    return found


def _explained(error: msgspec.ValidationError, type_: type) -> InvalidInput:
    what, _, where = str(error).partition(" - at `$")
    path = where.rstrip("`").lstrip(".")
    named = re.search(r"(?:unknown|required) field `([^`]*)`", what)
    if named:
        path = f"{path}.{named[1]}".lstrip(".")
    at = f"{path}: " if path else "the body: "
    said = what[0].lower() + what[1:]
    if said.startswith("invalid enum value") and (known := _choices(type_, path)):
        said += f", must be {' or '.join(known)}"
    return InvalidInput(at + said, _field(path))


def _choices(type_: type, path: str) -> list[str]:
    """Return what may be said in the field `path` of a body, if it is one of a few words."""
    hints = get_type_hints(type_) if isinstance(type_, type) else {}
    hint = hints.get(path)
    kinds = (hint, *get_args(hint))
    return [repr(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]


def _field(path: str) -> str | None:
    """Return `path` without its indices: ``models[3]`` is the field ``models``."""
    return re.sub(r"\[[^\]]*\]", "", path) or None


def _broken(data: bytes, error: Exception) -> Exception:
    """Say what is wrong with what msgspec cannot read, with the field if it is but a number.

    ``NaN`` and halves of surrogate pairs are no JSON, yet many clients write them.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return Refused(400, f"the body is not valid JSON: {error}")
    found = _unusable(value)
    if found is None:
        return Refused(400, f"the body is not valid JSON in UTF-8: {error}")
    path, why = found
    return InvalidInput(f"{path}: {why}", _field(path))


def _unusable(value: Any) -> tuple[str, str] | None:
    """Return path and fault of the first non-finite number or non-Unicode text in `value`."""
    todo = [("", value)]
    while todo:
        path, here = todo.pop()
        if isinstance(here, float) and not math.isfinite(here):
            return path, "must be a finite number"
        if isinstance(here, str) and not _is_unicode(here):
            return path, "holds half of a surrogate pair, which is not Unicode text"
        if isinstance(here, dict):
            inner = ((f"{path}.{key}".lstrip("."), item) for key, item in here.items())
            todo.extend(reversed(list(inner)))
        elif isinstance(here, list):
            todo.extend((f"{path}[{i}]", item) for i, item in reversed(list(enumerate(here))))
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
