"""Columns of rows of a table of ours as records, a batch at a time, without the way through points.

What a loop over rows would do for each is done here for a column of a thousand: most of the time then is the hashes'.
Rows that are out of the ordinary, as an agent may have written them, are left to go through a point each; both ways
give the same record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

import orjson
from orjson import dumps

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import MAX_BODY_BYTES, MAX_KEY_BYTES, Record, framed_ids, make_key, record_id
from vexrepo.objects.vector import Vector
from vexrepo.remotes.stores.points import Fields
from vexrepo.remotes.stores.record_forms import Form, Forms

# Rows that are worked on together: few enough that the interpreter does not look for garbage while their objects live,
# many enough that it does not matter what a batch costs.
AT_ONCE: Final = 128
Column: TypeAlias = Sequence[Any]
_TEXT: Final[frozenset[type]] = frozenset((str, type(None)))
_KINDS: Final[tuple[frozenset[type], ...]] = (
    frozenset((str,)),
    *([_TEXT] * 5),
    frozenset((str, int, type(None))),
    frozenset((bytes, type(None))),
)  # of the values of each column
_SHALLOW: Final = 250  # bytes of JSON that cannot be nested too deep
_sorted: Callable[[Any], bytes] = partial(dumps, option=orjson.OPT_SORT_KEYS)
# Half the time of calling the classes, which check how many members there are.
_record: Callable[[Iterable[Any]], Record] = partial(tuple.__new__, Record)
_vector: Callable[[Iterable[Any]], Vector] = partial(tuple.__new__, Vector)


class Columns(NamedTuple):
    """The columns of a batch of rows, all of one length; None where a row has nothing.

    ``payload`` is the JSON text of the metadata, ``carried`` the reserved member, ``vector`` a row of float32 numbers
    that are finite.  Values of other types than these say are some agent's: their rows are not plain.
    """

    id: Column
    carried: Column
    payload: Column
    text: Column
    namespace: Column
    model: Column
    created: Column
    vector: Column


class ColumnReader:
    """Makes records of columns.  ``dims``: of the column of vectors, 0 without one, None where they may differ."""

    kinds: ClassVar[tuple[frozenset[type], ...]] = _KINDS

    def __init__(self, fields: Fields, dims: int | None) -> None:
        self.taken = fields.taken
        self._forms = Forms()
        self._sizes = frozenset((0, 4 * dims)) if dims is not None else None

    def records(self, columns: Columns) -> list[Record | None]:
        """Return the record of each row, None for those that are not plain."""
        odd = self.odd(columns)
        return self.filled(columns, self._metadata(columns.payload, odd), odd)

    def filled(self, columns: Columns, metadata: Sequence[bytes | None], odd: set[int]) -> list[Record | None]:
        """Return the record of each row, None for those that are odd: not plain.

        ``metadata`` is the canonical form of each row's, None or b"" where there is none, in place of the payload.
        """
        found: list[Record | None] = [None] * len(metadata)
        for form, places in self._formed(columns, metadata, odd):
            if len(places) == len(found):
                return _records(form, columns, metadata)
            some = Columns(*([column[at] for at in places] for column in columns))
            made = _records(form, some, [metadata[at] for at in places])
            for at, record in zip(places, made, strict=True):
                found[at] = record
        return found

    def odd(self, columns: Columns) -> set[int]:
        """Return the places of rows with values of other types than plain ones have."""
        odd: set[int] = set()
        for column, kinds in zip(columns, self.kinds, strict=True):
            if not kinds.issuperset(map(type, column)):
                odd |= {at for at, value in enumerate(column) if type(value) not in kinds}
        if "" in columns.id:
            odd |= {at for at, value in enumerate(columns.id) if value == ""}
        sizes = [0 if row is None else len(row) or -1 for row in columns.vector]
        if self._sizes is not None and not self._sizes.issuperset(sizes):
            odd |= {at for at, size in enumerate(sizes) if size not in self._sizes}
        return odd

    def _metadata(self, payloads: Column, odd: set[int]) -> list[bytes | None]:
        """Return the canonical form of each row's metadata, None or b"" where there is none; note which are odd."""
        found: list[bytes | None] = [None] * len(payloads)
        places = [at for at, text in enumerate(payloads) if text is not None and at not in odd]
        printed: list[bytes | None] = self.canonics([payloads[at] for at in places])
        if None in printed:
            odd |= {at for at, raw in zip(places, printed, strict=True) if raw is None}
        if b"{}" in printed:
            printed = [b"" if raw == b"{}" else raw for raw in printed]
        if len(printed) == len(found):
            return [*printed]
        for at, raw in zip(places, printed, strict=True):
            found[at] = raw
        return found

    def canonics(self, payloads: list[Any]) -> list[bytes | None]:
        """Return the canonical form of many JSON objects, None of those that may be out of the ordinary."""
        printed = [text.encode() for text in payloads]
        if _are_canonical(printed, self.taken):
            return [*printed]
        return [_canonic(raw, self.taken) for raw in printed]

    def _formed(
        self, columns: Columns, metadata: Sequence[bytes | None], odd: set[int]
    ) -> Iterator[tuple[Form, Sequence[int]]]:
        """Yield the forms of the rows that are plain, each with the places of its rows."""
        keys = list(
            zip(
                columns.carried,
                columns.model,
                [0 if row is None else len(row) >> 2 for row in columns.vector],
                [value is None for value in columns.created],
                [not raw for raw in metadata],
                [value is None for value in columns.namespace],
                [value is None for value in columns.text],
                strict=True,
            )
        )
        groups: dict[tuple[Any, ...], Sequence[int]] = {}
        if not odd and len(set(keys)) == 1:
            groups[keys[0]] = range(len(keys))
        else:
            places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
            for at, key in enumerate(keys):
                if at not in odd:
                    places[key].append(at)
            groups |= places
        for key, rows in groups.items():
            form = self._forms.of(*key)
            if form is not None:
                yield form, rows


def _are_canonical(printed: Sequence[bytes], taken: frozenset[str]) -> bool:
    """Whether each of many JSON texts surely is a canonical object without names that are taken."""
    try:
        values = list(map(orjson.loads, printed))
        again = _sorted(values)
    except (ValueError, TypeError):
        return False
    return (
        again == b"[" + b",".join(printed) + b"]"  # nothing was dropped or rounded
        and again.isascii()
        and not _has_fraction(again)  # the one thing that may not be canonical, though it is printed as it was
        and max(map(len, printed), default=0) < _SHALLOW
        and {dict}.issuperset(map(type, values))
        and all(map(taken.isdisjoint, values))
    )


def _has_fraction(printed: bytes) -> bool:
    """Whether there may be a number with a point or an exponent."""
    import numpy as np

    letters = np.frombuffer(printed, "u1")
    marks = np.flatnonzero((letters == ord(".")) | (letters == ord("e")))
    return bool((letters[marks - 1] - ord("0") < 10).any())


def _canonic(raw: bytes, taken: frozenset[str]) -> bytes | None:
    """Return the canonical form of a JSON object, None where it may be out of the ordinary."""
    try:
        value = canonical.parse(raw)
    except InvalidData:
        return None
    if not isinstance(value, dict) or not taken.isdisjoint(value):
        return None
    return canonical.encode_certain(value, depth=1)


def _records(form: Form, columns: Columns, metadata: Sequence[bytes | None]) -> list[Record | None]:
    """Return the records of rows that are all of one form."""
    filled: list[Iterable[Any]] = [map(dumps, columns.id)]
    if columns.created[0] is not None:
        filled.insert(0, map(dumps, columns.created))
    if metadata[0]:
        filled.append(metadata)
    ids = [identifier.encode() for identifier in columns.id]
    if columns.namespace[0] is None:
        keys = [form.start + identifier for identifier in ids]
    else:
        printed = {name: dumps(name) for name in set(columns.namespace)}
        starts = {name: make_key(name, "") for name in printed}
        filled.append([printed[name] for name in columns.namespace])
        keys = [starts[name] + identifier for name, identifier in zip(columns.namespace, ids, strict=True)]
    if columns.text[0] is not None:
        filled.append(map(dumps, columns.text))
    bodies = list(map(form.body.__mod__, zip(*filled, strict=True)))
    if form.vector is None:
        names = [record_id(body, ()) for body in bodies]
        vectors: Iterable[tuple[Vector, ...]] = [()] * len(bodies)
    else:
        space, frame = form.vector
        names = framed_ids(bodies, frame, columns.vector)
        vectors = zip(map(_vector, zip(repeat(space), columns.vector)))  # each alone in a tuple
    found = list(map(_record, zip(keys, names, bodies, vectors, strict=True)))
    if max(map(len, bodies)) <= MAX_BODY_BYTES and max(map(len, keys)) <= MAX_KEY_BYTES:
        return [*found]
    return [each if len(each.body) <= MAX_BODY_BYTES and len(each.key) <= MAX_KEY_BYTES else None for each in found]
