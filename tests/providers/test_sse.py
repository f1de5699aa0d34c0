"""Events are the same whatever way their bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.providers.errors import UpstreamError
from bandit_router.providers.sse import MAX_EVENT_BYTES, Splitter

LINES = st.sampled_from(["data: {}", "data:x", "event: a", ": comment", "id: 1", "data: ü"])
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5)


@given(EVENTS, st.sampled_from(["\n", "\r\n"]), st.data())
def test_cuts_do_not_matter(events: list[list[str]], end: str, data: st.DataObject) -> None:
    text = "".join(end.join(lines) + end + end for lines in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    splitter, found = Splitter(), []
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += splitter.feed(text[start:stop])
    assert splitter.end() == []
    assert b"".join(event.raw for event in found) == text
    expected = []
    for lines in events:
        datas = [line[5:].strip() for line in lines if line.startswith("data:")]
        expected.append("\n".join(datas).encode() if datas else None)
    assert [event.data for event in found] == expected


def test_the_last_event_may_lack_its_end() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a\n\ndata: b")[0].data == b"a"
    (last,) = splitter.end()
    assert last.data == b"b"


def test_an_event_without_end_is_refused() -> None:
    splitter = Splitter()
    assert splitter.feed(b"x" * MAX_EVENT_BYTES) == []
    with pytest.raises(UpstreamError, match="event of more than"):
        splitter.feed(b"x")
