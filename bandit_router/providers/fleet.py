"""Getting an answer from somewhere: the next endpoint, another try, the next model.

Never silently: every call that failed is told. Nothing is tried again once a byte has been passed
on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from time import monotonic

import aiohttp
import msgspec

from ..exceptions import InvalidInput
from ..types import Endpoint, Model
from . import lite
from .answers import Answer
from .errors import UpstreamError
from .health import Infirmary
from .http import Attempt, calling, where
from .streams import GARBLED, Stream
from .translate import Json
from .wires import Call, Wire, wire

Calling = Callable[..., AbstractAsyncContextManager[Attempt | lite.LiteAttempt]]
"""How a call is made: `http.calling`, or `lite.calling`."""

_ROUNDS = 2
_BACKOFF_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0
_NO_SUCH_PATH = (404, 405, 501)


@dataclass(frozen=True)
class Failure:
    """One call that failed."""

    model: Model
    endpoint: Endpoint
    error: UpstreamError


@dataclass(frozen=True)
class Whole:
    """A whole answer: its bytes in the client's words, and what it says."""

    body: bytes
    answer: Answer


class Unserved(Exception):
    """No endpoint answered.

    Parameters
    ----------
    failures
        Every call, the last one last.
    """

    def __init__(self, failures: list[Failure]) -> None:
        super().__init__(str(failures[-1].error))
        self.failures = failures

    @property
    def last(self) -> UpstreamError:
        """Why the last one failed."""
        return self.failures[-1].error


@dataclass(frozen=True)
class Served:
    """Who answers, and every call that failed before it.

    Attributes
    ----------
    started
        When the call began, by the monotonic clock.
    content
        A whole answer in the client's words and what it says, or what is still to come.
    """

    model: Model
    endpoint: Endpoint
    started: float
    failures: list[Failure]
    content: Whole | Stream

    @property
    def answer(self) -> Answer:
        """What was answered; of a stream, as far as it has come."""
        return self.content.answer


class Fleet:
    """Endpoints with their health, over one client session.

    Parameters
    ----------
    session
        Shared by the whole application.
    timeout
        Seconds without a byte after which an endpoint counts as hanging.
    seed
        Of the draws among endpoints and of the jitter; None: another at every start.
    """

    def __init__(
        self, session: aiohttp.ClientSession, timeout: float, *, seed: int | None = None
    ) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        self._jitter = random.Random(seed)
        self.infirmary = Infirmary(seed)

    async def serve(self, models: Sequence[Model], call: Call) -> Served:
        """Return the first good answer: of the first model if it can be had.

        Parameters
        ----------
        models
            In order of preference.

        Raises
        ------
        Unserved
            If there is none.
        InvalidInput
            If no endpoint of these models can do what is asked.
        """
        failures: list[Failure] = []
        fitting = [(m, [e for e in m.endpoints if call.fits(e)]) for m in models]
        if not any(endpoints for _, endpoints in fitting):
            raise _unfit(call)
        for model, endpoints in fitting:
            served = await self._rounds(model, endpoints, call, failures)
            if served is not None:
                return served
        tried = {(f.model.name, f.endpoint) for f in failures}
        for model, endpoints in fitting:  # better one that was failing a while ago than none
            for endpoint in endpoints:
                if (model.name, endpoint) not in tried:
                    served = await self._once(model, endpoint, call, failures)
                    if served is not None:
                        return served
        raise Unserved(failures)

    async def _rounds(
        self, model: Model, endpoints: list[Endpoint], call: Call, failures: list[Failure]
    ) -> Served | None:
        """Ask every endpoint of a model, and then those again that may do better by now."""
        for number in range(_ROUNDS):
            asked = self.infirmary.ordered(
                model, endpoints, stream=call.stream, session=call.session
            )
            before = len(failures)
            for endpoint in asked:
                served = await self._once(model, endpoint, call, failures)
                if served is not None:
                    return served
            errors = [f for f in failures[before:] if f.error.meaning.again]
            wait = self._wait([f.error for f in errors], number)
            if wait is None or number == _ROUNDS - 1 or monotonic() + wait > call.deadline:
                return None
            endpoints = [f.endpoint for f in errors]
            await asyncio.sleep(wait)
        return None

    def _wait(self, errors: list[UpstreamError], number: int) -> float | None:
        """Return the seconds until another round, None if it is not worth waiting."""
        backoff = _BACKOFF_SECONDS * 2**number * (0.5 + self._jitter.random())
        waits = [backoff if e.retry_after is None else e.retry_after for e in errors]
        return min((w for w in waits if w <= _LONGEST_WAIT_SECONDS), default=None)

    async def _once(
        self, model: Model, endpoint: Endpoint, call: Call, failures: list[Failure]
    ) -> Served | None:
        """Ask one endpoint; a failure is noted."""
        health = self.infirmary.of(model, endpoint)
        started = monotonic()
        health.probing = True
        try:
            served = await self._answer(model, endpoint, call, failures)
        except UpstreamError as error:
            failures.append(Failure(model, endpoint, error))
            health.failed(error, self.infirmary.clock())
            if not error.meaning.elsewhere:
                raise Unserved(failures) from None
            return None
        finally:
            health.probing = False
        seconds = monotonic() - started
        health.answered(seconds, stream=call.stream, now=self.infirmary.clock())
        self.infirmary.settle(model, endpoint, call.session)
        return served

    def broke_off(self, served: Served, error: UpstreamError) -> None:
        """Note that a stream that had begun well did not end so."""
        health = self.infirmary.of(served.model, served.endpoint)
        health.failed(error, self.infirmary.clock())

    # -- one call ---------------------------------------------------------------------------

    async def _answer(
        self, model: Model, endpoint: Endpoint, call: Call, failures: list[Failure]
    ) -> Served:
        started = monotonic()
        try:
            async with asyncio.timeout(call.deadline - started) as limit:
                return await self._asked(model, endpoint, call, failures, started)
        except TimeoutError:
            if not limit.expired():
                raise
            raise UpstreamError(f"{where(endpoint)}: the deadline has passed", "deadline") from None
        except InvalidInput as error:
            raise UpstreamError(str(error), "unfit", status=422) from None
        except GARBLED as error:
            what = f"{type(error).__name__}: {error}"
            message = f"{where(endpoint)}: an answer of another form ({what})"
            raise UpstreamError(message, "garbage") from None

    async def _asked(
        self, model: Model, endpoint: Endpoint, call: Call, failures: list[Failure], started: float
    ) -> Served:
        """Ask, in the words that the endpoint is known to take, else in those it turns out to."""
        health = self.infirmary.of(model, endpoint)
        has = health.responses if endpoint.responses is None else endpoint.responses
        own = call.form == "responses" and endpoint.kind == "openai" and has is not False
        if call.form == "responses" and not own and (bound := call.bound()):
            raise InvalidInput(f"{bound[1]}: {where(endpoint)} has no /responses, which this needs")
        asked = wire(call, model, endpoint, responses=own)
        if health.stream_usage is False:
            asked.body.pop("stream_options", None)
        try:
            served = await self._through(model, endpoint, call, asked, failures, started)
        except UpstreamError as error:
            gone, bound = error.status in _NO_SUCH_PATH, call.bound()
            if gone and bound and (own or bound[1] == "messages"):  # a file, a conversation
                raise InvalidInput(f"{bound[1]}: {error}: what it needs is not there") from None
            if gone and own and has is None:
                health.responses = False
            elif "stream_options" in asked.body and b"stream_options" in error.body:
                health.stream_usage = False
            else:
                raise
            return await self._asked(model, endpoint, call, failures, started)
        if own:
            health.responses = True
        return served

    async def _through(
        self,
        model: Model,
        endpoint: Endpoint,
        call: Call,
        asked: Wire,
        failures: list[Failure],
        started: float,
    ) -> Served:
        through: Calling = lite.calling if endpoint.kind == "litellm" else calling
        content: Whole | Stream
        async with AsyncExitStack() as stack:
            context = through(self._session, model, endpoint, call, asked, self._timeout)
            attempt = await stack.enter_async_context(context)
            if call.stream:
                content = Stream(call, asked, attempt, where(endpoint))
                await content.begin()
                content.owns(stack.pop_all())  # the call now ends with the stream
            else:
                content = _whole(asked, *await attempt.whole())
        return Served(model, endpoint, started, failures, content)


def _whole(asked: Wire, body: bytes, answer: Json) -> Whole:
    read = asked.read(answer)
    if asked.answer is not None:
        answer = asked.answer(answer)
    if asked.answer is not None or not body:
        body = msgspec.json.encode(answer)
    return Whole(body, read)


def _unfit(call: Call) -> InvalidInput:
    bound = call.bound()
    if bound is None:
        return InvalidInput("no model has an endpoint: none can be served", "model")
    kind, field = bound
    message = f"{field}: only an endpoint of kind {kind!r} can do what is asked here"
    return InvalidInput(f"{message}, and none of these models has one", field)
