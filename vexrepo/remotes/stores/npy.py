"""Arrays as NumPy saves them (NEP 1), read row by row without trusting what their headers say, and never unpickled.

NumPy's own reader believes a header's shape and makes room for it; here it must fit the bytes that are there.
"""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER_BYTES: Final = 10_000  # as NumPy's own reader: Python's parser may fail on long ones
MAX_ROW_BYTES: Final = 64 << 20
_DTYPE: Final = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1|U\d{1,9}|S\d{1,9}|M8(?:\[\w{1,8}\])?)")
_HEADER_BYTES: Final = 128  # of what is written: room for any shape


@dataclass(frozen=True, slots=True)
class Header:
    """What an array's header says.  ``start``: bytes before the first number."""

    dtype: str
    shape: tuple[int, ...]
    is_fortran: bool
    start: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, of the first axis."""
        import numpy as np

        return int(np.dtype(self.dtype).itemsize * math.prod(self.shape[1:]))

    @property
    def is_vectors(self) -> bool:
        """Whether its rows can be vectors."""
        return len(self.shape) == 2 and self.dtype.lstrip("<>|=") in ("f2", "f4", "f8", "i1", "u1", "i2", "u2")


def read_header(file: IO[bytes], size_bytes: int, where: str) -> Header:
    """Return an array's header, from its first byte.  ``size_bytes``: of the whole array.

    Raises: StoreError (store-schema) for arrays of Python objects and of types that are not known, store-corrupt.
    """
    start = file.read(12)
    if start[:6] != MAGIC or len(start) < 12 or start[6] not in (1, 2, 3):
        raise StoreError(f"{where} is no array as NumPy saves them: it begins with {start[:8]!r}", code="store-corrupt")
    head = 10 if start[6] == 1 else 12
    length = struct.unpack("<H" if head == 10 else "<I", start[8:head])[0]
    if length > MAX_HEADER_BYTES:
        raise StoreError(
            f"{where} has a header of {length} bytes, expected at most {MAX_HEADER_BYTES}", code="store-corrupt"
        )
    text = start[head:] + file.read(length - (12 - head))
    try:
        value = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1"))
        dtype, shape, is_fortran = _parts(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise StoreError(f"{where} has a damaged header: {text[:80]!r}", code="store-corrupt") from None
    if isinstance(dtype, str) and dtype.lstrip("<>|=") == "O":
        raise StoreError(
            f"{where} holds pickled Python objects, which run code when they are read, so they never are; save it "
            "without: texts as np.array(texts, dtype=str)",
            code="store-schema",
        )
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise StoreError(
            f"{where} is of type {dtype!r:.80}, expected numbers, booleans, texts or times", code="store-schema"
        )
    found = Header(dtype, shape, is_fortran, head + length)
    if not shape or found.row_bytes > MAX_ROW_BYTES:
        raise StoreError(
            f"{where} has the shape {shape!r:.80}, expected rows of at most {MAX_ROW_BYTES >> 20} MiB",
            code="store-schema",
        )
    if found.start + found.row_bytes * shape[0] != size_bytes:
        raise StoreError(
            f"{where} has {size_bytes - found.start} bytes of numbers, but says it has {found.row_bytes * shape[0]}; "
            "was it copied completely?",
            code="store-corrupt",
        )
    return found


def _parts(value: Any) -> tuple[Any, tuple[int, ...], bool]:
    """Return type, shape and order.  Raises: ValueError."""
    match value:
        case {"descr": dtype, "fortran_order": bool(is_fortran), "shape": tuple(shape)} if len(value) == 3:
            if len(shape) <= 4 and all(type(each) is int and 0 <= each < 1 << 48 for each in shape):
                return dtype, shape, is_fortran
    raise ValueError("not a header")


def iter_rows(
    header: Header, open_raw: Callable[[], IO[bytes]], path: Path | None, counts: Sequence[int]
) -> Iterator[NDArray[Any]]:
    """Yield as many rows as ``counts`` says, time after time.

    ``open_raw`` opens the array; ``path`` is a file with it, which arrays in Fortran's order need.
    """
    import numpy as np

    dtype = np.dtype(header.dtype)
    if header.is_fortran and len(header.shape) > 1 and header.shape[0]:
        assert path is not None
        whole = np.memmap(path, dtype, "r", header.start, header.shape, "F")
        at = 0
        for count in counts:
            yield np.ascontiguousarray(whole[at : at + count])
            at += count
        return
    with open_raw() as file:
        file.read(header.start)
        for at, count in enumerate(counts, 1):
            raw = file.read(count * header.row_bytes)
            if at == len(counts):
                file.read(1)  # the end is where a zip checks what was read
            yield np.frombuffer(raw, dtype).reshape(count, *header.shape[1:])


def encode_header(rows: int, dims: int) -> bytes:
    """Return the header of a matrix of float32, of one length whatever its shape."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dims}), }}".encode()
    return MAGIC + b"\1\0" + struct.pack("<H", _HEADER_BYTES - 10) + text.ljust(_HEADER_BYTES - 11) + b"\n"


def cells(values: NDArray[Any]) -> list[Any]:
    """Return an array of one axis as JSON values, None for not-a-number and not-a-time."""
    import numpy as np

    if values.dtype.kind == "M":
        return [None if text == "NaT" else text for text in np.datetime_as_string(values).tolist()]
    if values.dtype.kind == "f":
        return [None if value != value else value for value in values.tolist()]
    found: list[Any] = values.tolist()
    return found


def as_floats(values: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Return rows of vectors little-endian, in half, single or double precision; whole numbers in single."""
    kind = values.dtype.kind + str(values.dtype.itemsize)
    return values.astype(f"<{kind}" if values.dtype.kind == "f" else "<f4")
