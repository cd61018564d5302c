"""Full-text search over record bodies: BM25F without an index, in one pass that keeps only what matches.

Three fields count: the text (weight 1), tags (2, for they are chosen to find a memory by) and ``potential``, the
questions a memory may answer (0.5, for they only paraphrase it).  A term's weight in a record is its number of
occurrences in each field times the field's weight, those in the text divided by 1 − b + b · length / mean length
(in characters); the score adds, for each term, idf · weight · (k1 + 1) / (weight + k1) with idf = ln(1 + (N − n + ½) /
(n + ½)).  (Robertson and Zaragoza 2009, The Probabilistic Relevance Framework; with a text alone it is BM25.)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from vexrepo.history.terms import BETWEEN, Query, fold, possible_rows
from vexrepo.objects.record import body_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K1, B = 1.2, 0.75
TAGS_WEIGHT, POTENTIAL_WEIGHT = 2.0, 0.5
_TEXT = b',"text":"'


class Fields(NamedTuple):
    """What is searched of a record, as written; items of lists are kept apart by BETWEEN."""

    text: str
    tags: str
    potential: str


def searched_fields(body: bytes) -> Fields:
    """Return what is searched of a record."""
    try:
        value: Any = orjson.loads(body)  # stored bodies are canonical, so there is nothing to check
    except orjson.JSONDecodeError:
        value = body_value(body)
    text = value.get("text")
    tags = _member(value, "tags")
    return Fields(
        text if isinstance(text, str) else "",
        tags.replace(",", BETWEEN) if isinstance(tags, str) else _joined(tags),
        _joined(_member(value, "potential")),
    )


def tags_of(value: dict[str, Any]) -> list[str]:
    """Return the tags of a record's JSON object: a list, or one string with commas."""
    tags = _member(value, "tags")
    items = tags.split(",") if isinstance(tags, str) else tags if isinstance(tags, list) else []
    return [item.strip() for item in items if isinstance(item, str) and item.strip()]


def _member(value: dict[str, Any], name: str) -> Any:
    metadata = value.get("metadata")
    found = metadata.get(name) if isinstance(metadata, dict) else None
    return value.get(name) if found is None else found


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return BETWEEN.join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""


def total_length(bodies: Sequence[bytes]) -> int:
    """Return the number of characters of the texts of some records, most of them counted without parsing the body."""
    total = 0
    for body in bodies:
        start = body.find(_TEXT)
        if start < 0:
            continue
        start += len(_TEXT)
        end = body.find(b'"', start)
        text = body[start:end]
        # One brace after it: it is a member of the record itself.  No backslash: it is as long as written.
        if b"\\" in text or body.count(b"}", end) != 1:
            total += len(searched_fields(body).text)
        else:
            total += end - start if text.isascii() else len(text.decode())
    return total


class TextScan:
    """Reads bodies, a batch at a time, and scores those that match.  Memory grows with the matches only.

    Statistics (N, n, mean length) are over every body given, whatever is excluded or not accepted.
    """

    def __init__(self, query: Query) -> None:
        self.query = query
        self.count = 0
        self._length = 0
        self._with_term = [0] * len(query.terms)
        self._documents = array("Q")
        self._lengths = array("d")
        self._weights = array("d")  # of each match and term: in the text, elsewhere

    def feed(self, bodies: Sequence[bytes], accepts: Callable[[int], bool] = lambda row: True) -> list[int]:
        """Read the next bodies; return the rows of those that match.  ``accepts`` is asked of matches only."""
        terms, excluded = self.query.terms, self.query.excluded
        possible = possible_rows(self.query, bodies)
        found: list[int] = []
        for row in possible:
            fields = searched_fields(bodies[row])
            text, tags, potential = map(fold, fields)
            weights: list[float] = []
            for number, term in enumerate(terms):
                findall = term.pattern.findall
                here = len(findall(text))
                elsewhere = TAGS_WEIGHT * len(findall(tags)) if tags else 0.0
                if potential:
                    elsewhere += POTENTIAL_WEIGHT * len(findall(potential))
                weights += (here, elsewhere)
                if here or elsewhere:
                    self._with_term[number] += 1
            if not any(weights):
                continue
            if any(term.pattern.search(field) for term in excluded for field in (text, tags, potential)):
                continue
            if accepts(row):
                found.append(row)
                self._documents.append(self.count + row)
                self._lengths.append(len(fields.text))
                self._weights.extend(weights)
        self._length += total_length(bodies)
        self.count += len(bodies)
        return found

    def ranked(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Return the numbers of the bodies that match (in order of reading), best first, and their scores."""
        import numpy as np

        lengths = np.frombuffer(self._lengths, np.float64)
        weights = np.frombuffer(self._weights, np.float64).reshape(len(lengths), len(self.query.terms), 2)
        scale = 1 - B + B * lengths * self.count / self._length if self._length else np.ones_like(lengths)
        weight = weights[:, :, 0] / scale[:, None] + weights[:, :, 1]
        with_term = np.array(self._with_term, np.float64)
        idf = np.log1p((self.count - with_term + 0.5) / (with_term + 0.5))
        scores = (idf * weight * (K1 + 1) / (weight + K1)).sum(axis=1)
        order = np.argsort(-scores, kind="stable")
        return np.frombuffer(self._documents, np.uint64)[order], scores[order]
