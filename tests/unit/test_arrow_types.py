"""Types of Arrow from their names."""

import pyarrow as pa
import pytest

from vexrepo.remotes.stores.arrow_types import parse_type

_STRUCT = pa.struct([("k", pa.decimal128(5, 1)), ("at", pa.timestamp("s", tz="UTC"))])


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
        *(pa.binary(), pa.large_binary(), pa.binary(16), pa.decimal128(10, 2), pa.decimal256(50, 3)),
        *(pa.date32(), pa.date64(), pa.time32("ms"), pa.time64("ns"), pa.duration("us")),
        *(pa.timestamp("us"), pa.timestamp("ns", tz="Europe/Berlin"), pa.timestamp("s", tz="+02:00")),
        *(pa.list_(pa.float16(), 4), pa.list_(pa.large_string()), pa.large_list(pa.int8()), pa.list_(_STRUCT)),
        pa.struct([("a b", pa.string()), pa.field("c", pa.list_(_STRUCT), nullable=False), ("d", _STRUCT)]),
        pa.list_(pa.field("item", pa.float32(), nullable=False), 3),
    ],
    ids=str,
)
def test_a_type_is_what_its_name_says(kind: pa.DataType) -> None:
    assert parse_type(str(kind)) == kind


@pytest.mark.parametrize(
    "name",
    [
        *("", "text", "struct<>", "list<>", "list<item: what>", "struct<a: string", "list<int8>", "decimal128(0, 0)"),
        *("decimal128(39, 0)", "decimal128(4, 5)", "fixed_size_list<item: float>", "list<item: float>[3]"),
        *("fixed_size_list<item: float>[0]", "fixed_size_binary[0]", "list<item: " * 50 + "int8" + ">" * 50),
        *("struct<" + "a: int8, " * 1000 + "b: int8>", "dictionary<values=string, indices=int32, ordered=0>"),
    ],
)
def test_a_name_of_no_type_that_is_known_is_none(name: str) -> None:
    assert parse_type(name) is None
