"""PostgreSQL's binary COPY, and vectors as pgvector's binary form has them.

A row is a 16-bit number of fields, each a 32-bit length (−1: NULL) and its bytes; everything is big-endian.
``vector`` and ``halfvec``: u16 dims, u16 0, the numbers; ``sparsevec``: i32 dims, i32 count, i32 0, the indices from
0 in ascending order, then the numbers, none of them 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.objects.vector import Space, Vector
from vexrepo.remotes.stores.pgvector_table import VectorColumn

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
MAX_SPARSE: Final = 16_000  # numbers that are not 0
MAX_DIMS: Final = 16_000
PIECE_BYTES: Final = 64 << 10
_SPARSE_DIMS = 1_000_000_000
_LENGTH = struct.Struct(">i").pack
_COUNT = struct.Struct(">H").pack
NULL: Final = b"\xff\xff\xff\xff"  # the length of a field that holds nothing


def encode_row(fields: Sequence[bytes | None]) -> bytes:
    """Return one row of binary COPY."""
    parts = [_COUNT(len(fields))]
    for field in fields:
        if field is None:
            parts.append(NULL)
        else:
            parts += (_LENGTH(len(field)), field)
    return b"".join(parts)


def can_be_held(column: VectorColumn, item: Vector) -> bool:
    """Whether a column holds a vector, but for what it does to all."""
    import numpy as np

    space, row = item
    if space.kind != column.space.kind:
        return False
    if space.kind == "sparse":
        count = len(row) // 8
        indices, values = np.frombuffer(row[: 4 * count], "<u4"), np.frombuffer(row[4 * count :], "<f4")
        most = column.dims or _SPARSE_DIMS
        is_ascending = bool((np.diff(indices.astype("<i8")) > 0).all())
        return count <= MAX_SPARSE and is_ascending and (not count or int(indices[-1]) < most) and bool(values.all())
    if space.dims > MAX_DIMS:
        return False
    return column.type != "halfvec" or _is_finite_half(row)


def _is_finite_half(row: bytes) -> bool:
    import numpy as np

    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.frombuffer(row, "<f4").astype("<f2")).all())


def encode_vectors(column: VectorColumn, items: Sequence[Vector | None]) -> list[bytes | None]:
    """Return the binary forms of a batch's vectors, None for none."""
    if column.type == "sparsevec":
        return [None if item is None else _encode_sparse(column, item) for item in items]
    rows = [b"" if item is None else item.row for item in items]
    turned = _halved(rows) if column.type == "halfvec" else swap_rows(rows)
    return [
        None if item is None else struct.pack(">HH", item.space.dims, 0) + row
        for item, row in zip(items, turned, strict=True)
    ]


def _halved(rows: Sequence[bytes]) -> list[bytes]:
    import numpy as np

    return [np.frombuffer(row, "<f4").astype(">f2").tobytes() for row in rows]


def decode_rows(column: VectorColumn, fields: Sequence[bytes | None]) -> list[bytes | None]:
    """Return the float32 numbers of dense vectors, little-endian, of a batch's binary forms.

    Raises: StoreError (store-answer).
    """
    import numpy as np

    size = 2 if column.type == "halfvec" else 4
    widths = {0 if field is None else len(field) for field in fields}
    if size == 4 and len(widths) == 1 and (alike := _decode_alike(fields, widths.pop())) is not None:  # type: ignore[arg-type]
        return alike
    if any(field is not None and len(field) != 4 + size * (field[0] << 8 | field[1]) for field in fields):
        raise StoreError(f"the column {column.column} does not hold vectors as they are known", code="store-answer")
    rows = [b"" if field is None else field[4:] for field in fields]
    turned = [np.frombuffer(row, ">f2").astype("<f4").tobytes() for row in rows] if size == 2 else swap_rows(rows)
    return [None if field is None else row for field, row in zip(fields, turned, strict=True)]


def _decode_alike(fields: Sequence[bytes], width: int) -> list[bytes | None] | None:
    """Return the float32 numbers of vectors that are all of one length; None where they do not say so themselves."""
    import numpy as np

    if width < 4 or width & 3:
        return None
    found: list[bytes | None] = []
    step = max(1, PIECE_BYTES // width)
    for start in range(0, len(fields), step):
        piece = b"".join(fields[start : start + step])
        if not (np.frombuffer(piece, ">u2")[:: width // 2] == width // 4 - 1).all():
            return None
        swapped = np.frombuffer(piece, "<u4").byteswap().tobytes()
        found += [swapped[at + 4 : at + width] for at in range(0, len(piece), width)]
    return found


def swap_rows(rows: Sequence[bytes]) -> list[bytes]:
    """Return rows of float32 numbers with the bytes of each number the other way round.

    In pieces: the memory of large ones is given back and taken anew each time, which costs several times the work.
    """
    import numpy as np

    found: list[bytes] = []
    widths = set(map(len, rows))
    width = max(widths, default=0) or 1
    step = max(1, PIECE_BYTES // width)
    for start in range(0, len(rows), step):
        piece = rows[start : start + step]
        swapped = np.frombuffer(b"".join(piece), "<u4").byteswap().tobytes()
        if len(widths) == 1:  # as it mostly is
            found += [swapped[at : at + width] for at in range(0, width * len(piece), width)]
            continue
        ends = list(accumulate(map(len, piece)))
        found += [swapped[a:b] for a, b in zip((0, *ends), ends, strict=False)]
    return found


def _encode_sparse(column: VectorColumn, item: Vector) -> bytes:
    import numpy as np

    count = len(item.row) // 8
    indices = np.frombuffer(item.row[: 4 * count], "<u4").astype(">i4").tobytes()
    values = np.frombuffer(item.row[4 * count :], "<f4").astype(">f4").tobytes()
    return struct.pack(">iii", column.dims or _SPARSE_DIMS, count, 0) + indices + values


def decode_vectors(column: VectorColumn, fields: Sequence[bytes | None]) -> list[Vector | None]:
    """Return the vectors of a batch's binary forms.  Raises: StoreError (store-answer)."""
    if column.type == "sparsevec":
        return [None if field is None else _decode_sparse(column, field) for field in fields]
    return dense_vectors(column, decode_rows(column, fields))


def dense_vectors(column: VectorColumn, rows: Sequence[bytes | None]) -> list[Vector | None]:
    """Return dense vectors of float32 numbers."""
    spaces = {
        size: Space(column.name, "dense", None, size // 4, "f32")
        for size in {len(row) for row in rows if row is not None}
    }
    return [None if row is None else Vector(spaces[len(row)], row) for row in rows]


def _decode_sparse(column: VectorColumn, field: bytes) -> Vector:
    import numpy as np

    _, count, _ = struct.unpack_from(">iii", field)
    if len(field) != 12 + 8 * count:
        raise StoreError(f"the column {column.column} does not hold vectors as they are known", code="store-answer")
    indices = np.frombuffer(field[12 : 12 + 4 * count], ">i4").astype("<u4").tobytes()
    values = np.frombuffer(field[12 + 4 * count :], ">f4").astype("<f4").tobytes()
    return Vector(Space(column.name, "sparse", None, 0, "f32"), indices + values)
