"""What a region is called: the words that its recent prompts have and the others' have not.

Words are compared as Monroe, Colaresi and Quinn (2008, "Fightin' words") compare speakers: by how
much more often a region's prompts have a word than all others', in standard errors, so that what
stands in every prompt of a template ("choices", "letter") does not name half of the map. Kept
incrementally. Names are no part of the state: they are derived from traffic, live in memory only,
are bounded, and are learnt anew after a restart.

A word is shown only if several different prompts of the region had it, and never if it holds a
digit or a sign: what one person alone wrote names nothing.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable

from ..types import LineageEvent

_WORD = re.compile(r"(?<![\w@./-])[^\W\d_]{3,20}(?![\w@/-])")
_READ = 2000  # characters of a prompt
_WORDS = 300  # kept of a region; twice as many trigger a cleaning
_FADING = 0.99  # of a word's count, a prompt of its region
_LEAST = 3.0
_PRIOR = 0.5  # prompts that a word is taken to have been in beside those seen
_COMMON = """
the and for are was were you your with that this from have has had not but all any can will what
which who whom whose how why when where into than then them they their there these those been being
some such would could should does did doing its our out over under about after before between each
other more most only same also very just let lets may might must one two use used using following
given answer question please write options correct many find make made get got his her him she
himself herself because while both few own too much option choice choices letter reasoning
explain briefly step steps above below see
"""
_STOP = frozenset(_COMMON.split())


class _Words:
    """Faded counts of the prompts of one region that had each word."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.prompts = 0.0
        self.unit = 1.0  # what a prompt counts; it grows, so that the older count less
        self.seen: set[int] = set()
        self.examples: deque[str] = deque(maxlen=3)

    def add(self, words: Iterable[str]) -> None:
        self.unit /= _FADING
        self.prompts += self.unit
        for word in words:
            self.counts[word] = self.counts.get(word, 0.0) + self.unit
        if len(self.counts) > 2 * _WORDS or self.unit > 1e6:
            kept = sorted(self.counts.items(), key=lambda item: -item[1])[:_WORDS]
            self.counts = {word: count / self.unit for word, count in kept}
            self.prompts /= self.unit
            self.unit = 1.0

    def read(self) -> dict[str, float]:
        """Faded counts as of now."""
        return {word: count / self.unit for word, count in self.counts.items()}


class RegionNames:
    """Labels of the regions, and a few of their prompts where prompts are kept.

    Examples
    --------
    >>> names = RegionNames()
    >>> for number in ("one", "other", "third"):
    ...     names.read(1, f"Sort a {number} Python list", keep=False)
    ...     names.read(2, f"Translate the {number} sentence into French", keep=False)
    >>> names.labels()
    {1: 'list, python, sort', 2: 'french, sentence, translate'}
    """

    def __init__(self) -> None:
        self._regions: dict[int, _Words] = {}

    def read(self, region: int, prompt: str, *, keep: bool) -> None:
        """Read a prompt of a region; `keep` lets the prompt itself be shown."""
        words = self._regions.setdefault(region, _Words())
        found = {word.lower() for word in _WORD.findall(prompt[:_READ])} - _STOP
        digest = hash(prompt)
        if digest not in words.seen:  # the same again says no more
            if len(words.seen) > 10_000:
                words.seen.clear()
            words.seen.add(digest)
            words.add(found)
            if keep:
                words.examples.append(prompt)

    def follow(self, events: Iterable[LineageEvent]) -> None:
        """Let what was read follow the regions."""
        for event in events:
            if event.what not in ("merged", "faded") or event.cluster not in self._regions:
                continue
            dead = self._regions.pop(event.cluster)
            if event.what == "merged" and event.other in self._regions:
                heir = self._regions[event.other]
                for word, count in dead.read().items():
                    heir.counts[word] = heir.counts.get(word, 0.0) + count * heir.unit
                heir.prompts += dead.prompts / dead.unit * heir.unit
            elif event.what == "merged":
                self._regions[event.other] = dead

    def labels(self, words: int = 3) -> dict[int, str]:
        """Return the label of every region that has words to show."""
        counts = {id_: region.read() for id_, region in self._regions.items()}
        sizes = {id_: region.prompts / region.unit for id_, region in self._regions.items()}
        everywhere: dict[str, float] = {}
        for region in counts.values():
            for word, count in region.items():
                everywhere[word] = everywhere.get(word, 0.0) + count
        out = {}
        for id_, region in counts.items():
            elsewhere = sum(sizes.values()) - sizes[id_]
            scores = {
                word: _peculiar(count, sizes[id_], everywhere[word] - count, elsewhere)
                for word, count in region.items()
                if count > 0.9 * _LEAST
            }
            best = _different(sorted(scores, key=lambda word: (-round(scores[word], 9), word)))
            if best:
                out[id_] = ", ".join(best[:words])
        return out

    def examples(self, region: int) -> tuple[str, ...]:
        """Return a few recent prompts of a region; none unless prompts are kept."""
        found = self._regions.get(region)
        return tuple(found.examples) if found else ()


def _peculiar(here: float, of_here: float, there: float, of_there: float) -> float:
    """How much more often a word is in prompts here than there, in standard errors."""
    here, there = here + _PRIOR, there + _PRIOR
    rates = math.log(here / (of_here + 1.0)) - math.log(there / (of_there + 1.0))
    return rates / math.sqrt(1.0 / here + 1.0 / there)


def _different(words: Iterable[str]) -> list[str]:
    """Leave out what only bends an earlier word: ``cells`` after ``cell``."""
    out: list[str] = []
    for word in words:
        if not any(word.startswith(w) or w.startswith(word) for w in out):
            out.append(word)
    return out
