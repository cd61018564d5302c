"""Rows of tables of ours as bodies of records: most rows of a memory are alike, so what they share is printed once.

A plain row's body is what is filled into the form of all rows like it: the same columns filled, the same members
carried, one model.  What a row says beyond that goes through a point (``points``); both ways give the same record.
"""

from __future__ import annotations

from typing import Final

from vexrepo.objects import canonical
from vexrepo.objects.record import frame_vector, make_key
from vexrepo.objects.vector import MAIN, Dtype, Space
from vexrepo.remotes.stores.point_carried import MOST_KEPT, parse_carried

MOST_FORMS: Final = 10_000  # that are kept
_NULLABLE: Final = ("created_at", "metadata", "namespace", "text")


class Form:
    """How rows of one form become records.

    ``body`` takes what is filled, in order: time, id, metadata, namespace, text.  ``start`` is what their keys begin
    with where no namespace is filled.  ``vector``: the record's space, and what stands before a row in what its id is
    made of; None for rows without a vector.
    """

    __slots__ = ("body", "start", "vector")

    def __init__(self, parts: dict[str, bytes], namespace: str, space: Space | None) -> None:
        names = sorted(parts, key=lambda name: name.encode("utf-16-be"))  # as canonical JSON has them
        members = [canonical.encode(name).replace(b"%", b"%%") + b":" + parts[name] for name in names]
        self.body = b"{" + b",".join(members) + b"}"
        self.start = make_key(namespace, "")
        self.vector = None if space is None else (space, frame_vector(space, 4 * space.dims))


class Forms:
    """The forms of the rows of a table, each made once."""

    def __init__(self) -> None:
        self._forms: dict[tuple[object, ...], Form | None] = {}

    def of(self, reserved: str | None, model: str | None, dims: int, *are_null: bool) -> Form | None:
        """Return how rows become records, None for those that go through points.

        ``reserved``: what is carried.  ``dims``: of the vector, 0 without one.  ``are_null``: whether the row leaves
        out the time, the metadata, the namespace and the text.
        """
        key = (reserved, model, dims, *are_null)
        try:
            return self._forms[key]
        except KeyError:
            pass
        if reserved is not None and len(reserved) > MOST_KEPT:
            return None
        form = _made(reserved, model, dims, dict(zip(_NULLABLE, are_null, strict=True)))
        if len(self._forms) < MOST_FORMS:
            self._forms[key] = form
        return form


def _made(reserved: str | None, model: str | None, dims: int, is_null: dict[str, bool]) -> Form | None:
    carried = parse_carried(reserved)
    if reserved is not None and (carried is None or not carried.is_usual):
        return None
    absent = dict(carried.absent) if carried is not None else {}
    filled = ["id", *(name for name, null in is_null.items() if not null)]
    # An object that is carried joins one that is there.
    if any(isinstance(absent.pop(name, None), dict) for name in filled):
        return None
    if dims and ("vector" in absent or absent.get("dims") not in (None, dims)):
        return None
    if model is not None:
        absent["model"] = model
    model, namespace = absent.get("model"), absent.get("namespace")
    parts = {name: canonical.encode(value).replace(b"%", b"%%") for name, value in absent.items()}
    parts |= dict.fromkeys(filled, b"%b")
    dtype: Dtype = "f32d" if carried is not None and MAIN in carried.decimals else "f32"
    space = Space(MAIN, "dense", model if isinstance(model, str) else None, dims, dtype) if dims else None
    return Form(parts, namespace if isinstance(namespace, str) else "", space)
