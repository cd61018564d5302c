"""Sealed files, headers, heads and recovery keys: what goes in comes out, and nothing that was touched does."""

from __future__ import annotations

import random
import tracemalloc
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import assume, given
from hypothesis import strategies as st

from vexrepo.errors import InvalidData, StorageFailure, Tampered, UsageError, VexError
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import sign
from vexrepo.remotes.hosts.head import Head, HeadId, Pack, Part, SlotNote, decode_head, encode_head, message_of
from vexrepo.remotes.hosts.header import Header, decode_header
from vexrepo.remotes.hosts.recovery import DIGITS, format_recovery, parse_recovery
from vexrepo.remotes.hosts.seal import (
    SEGMENT_BYTES,
    TAG_BYTES,
    SealKeys,
    open_sealed,
    open_stream,
    padme,
    seal,
    seal_stream,
    sealed_size,
)
from vexrepo.remotes.hosts.slots import wrap_passphrase, wrap_recipient
from vexrepo.storage.passphrase import Cost

KEYS = SealKeys("ab" * 16, 2, {1: bytes(32), 2: bytes(range(32))})
SEALED_SEGMENT = SEGMENT_BYTES + TAG_BYTES
START = 60  # bytes before the first segment
sizes = st.one_of(
    st.integers(0, 300),
    st.integers(0, 3 * SEGMENT_BYTES),
    st.builds(lambda count, more: max(0, count * SEGMENT_BYTES + more), st.integers(1, 33), st.integers(-10, 10)),
)


def content_of(size: int) -> bytes:
    return blake3(b"property").digest(length=size)


@given(sizes)
def test_content_of_any_size_comes_back(size: int) -> None:
    content = content_of(size)
    sealed = seal(KEYS, "packs/aa/b", content)
    assert len(sealed) == sealed_size(size) >= size + START
    assert open_sealed(KEYS, "packs/aa/b", sealed) == content


@given(st.integers(2, 2**60))
def test_padding_hides_the_size_and_costs_little(size: int) -> None:
    padded = padme(size)
    assert size <= padded <= 1.12 * size + 1 and padme(padded) == padded
    exponent = padded.bit_length() - 1
    assert padded % 2 ** (exponent - exponent.bit_length()) == 0


@given(sizes, st.data())
def test_any_flipped_bit_is_refused(size: int, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEYS, "head", content_of(size)))
    where = st.one_of(st.integers(0, len(sealed) - 1), st.integers(0, min(len(sealed) - 1, START + 8)))
    sealed[data.draw(where)] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Tampered) as error:
        open_sealed(KEYS, "head", bytes(sealed))
    assert error.value.code == "host-tampered"


@given(sizes, st.data())
def test_what_is_cut_or_has_more_is_refused(size: int, data: st.DataObject) -> None:
    sealed = seal(KEYS, "head", content_of(size))
    cut = data.draw(st.integers(0, len(sealed) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))
    for damaged in (sealed[:cut], sealed + more, sealed[cut:], sealed + sealed[START:]):
        if damaged != sealed:
            with pytest.raises(Tampered):
                open_sealed(KEYS, "head", damaged)


@pytest.mark.parametrize("size", [5 * SEGMENT_BYTES - 8, 5 * SEGMENT_BYTES, 20 * SEGMENT_BYTES])
def test_a_file_cut_at_any_segment_is_refused(size: int) -> None:
    sealed = seal(KEYS, "head", content_of(size))
    for end in range(START, len(sealed), SEALED_SEGMENT):
        with pytest.raises(Tampered):
            open_sealed(KEYS, "head", sealed[:end])


def test_segments_in_another_order_or_of_another_file_are_refused() -> None:
    one, other = (seal(KEYS, "head", content_of(4 * SEGMENT_BYTES)) for _ in range(2))
    first, second = (slice(START + n * SEALED_SEGMENT, START + (n + 1) * SEALED_SEGMENT) for n in (0, 1))
    for damaged in (
        one[:START] + one[second] + one[first] + one[second.stop :],
        one[:START] + one[first] + one[first] + one[second.stop :],
        one[:START] + one[second] + one[second.stop :],
        one[:START] + other[first] + one[first.stop :],
        one[:START] + other[START:],
    ):
        with pytest.raises(Tampered):
            open_sealed(KEYS, "head", damaged)


def test_a_file_opens_only_as_itself_with_its_key_at_its_host() -> None:
    sealed = seal(KEYS, "packs/aa/b", b"content")
    for path, keys in (
        ("packs/aa/c", KEYS),
        ("head", KEYS),
        ("packs/aa/b", SealKeys("ac" * 16, 2, KEYS.masters)),
        ("packs/aa/b", SealKeys(KEYS.host, 2, {2: bytes(32)})),
        ("packs/aa/b", SealKeys(KEYS.host, 1, {1: bytes(32)})),
    ):
        with pytest.raises(Tampered):
            open_sealed(keys, path, sealed)
    assert open_sealed(SealKeys(KEYS.host, 3, {2: KEYS.masters[2]}), "packs/aa/b", sealed) == b"content"


def test_the_same_content_never_looks_the_same() -> None:
    assert len({seal(KEYS, "head", b"content")[12:] for _ in range(20)}) == 20


class Endless(RawIOBase):
    """Content of any size, and a place that keeps none of it."""

    def __init__(self, generator: random.Random) -> None:
        self._block = generator.randbytes(1 << 20)
        self.digest = blake3()

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._block))
        buffer[:count] = self._block[:count]
        self.digest.update(self._block[:count])
        return count

    def write(self, raw: Any) -> int:
        self.digest.update(raw)
        return len(raw)


def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    source, target, size = Endless(random.Random(1)), Endless(random.Random(1)), 100 << 20
    tracemalloc.start()
    try:
        with open(tmp_path / "sealed", "w+b") as file:
            seal_stream(KEYS, "big", source, size, file)
            file.seek(0)
            assert open_stream(KEYS, "big", file, sealed_size(size), target) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert source.digest.digest() == target.digest.digest()
    assert peak < 8 << 20


def test_a_source_that_ends_early_is_told() -> None:
    with pytest.raises(StorageFailure):
        seal_stream(KEYS, "x", BytesIO(b"short"), 6, BytesIO())


# -- header --------------------------------------------------------------------------------------------------------

CHEAP = Cost(8, 1, 1)
HEADER = Header(
    KEYS.host,
    2,
    (
        wrap_passphrase(bytes(32), "x", KEYS.host, 2, CHEAP),
        wrap_recipient(bytes(32), sign(bytes(32), b"").key, KEYS.host, 2),
    ),
)


@given(st.data())
def test_a_header_with_a_flipped_bit_is_refused_or_says_something_else(data: st.DataObject) -> None:
    raw = bytearray(HEADER.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    code = ""
    try:
        found = decode_header(bytes(raw), "url")
    except VexError as error:
        code = error.code
    else:
        assert found != HEADER and found.encode() == raw and found.digest != HEADER.digest
    assert code in ("", "host-not-ours", "host-version", "host-tampered")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_header_are_not_ours(raw: bytes) -> None:
    with pytest.raises(VexError) as error:
        decode_header(raw, "url")
    assert error.value.code == "host-not-ours"


def test_a_passphrase_that_is_no_text_is_refused() -> None:
    for passphrase in ("", "\udce9"):
        with pytest.raises(UsageError):
            wrap_passphrase(bytes(32), passphrase, KEYS.host, 2, CHEAP)


# -- head ----------------------------------------------------------------------------------------------------------

hexes = {size: st.binary(min_size=size, max_size=size).map(bytes.hex) for size in (8, 16, 32)}
names = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters=" ~^:?*[\\/.@-"), min_size=1)
ids = st.binary(min_size=32, max_size=32)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    size = draw(st.integers(1, 1 << 24))
    return Part(draw(hexes[16]), size, sealed_size(size))


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    found = tuple(draw(st.lists(parts(), min_size=1, max_size=3)))
    return Pack(draw(hexes[32]), sum(part.size for part in found), draw(st.integers(0, 10**6)), found)


@st.composite
def head_values(draw: st.DrawFn) -> Head:
    generation = draw(st.integers(1, 40))
    count = min(16, generation - 1)
    found = tuple(draw(st.lists(packs(), max_size=3)))
    listed = [part.name for pack in found for part in pack.parts]
    assume(len(set(listed)) == len(listed) and len({pack.digest for pack in found}) == len(found))
    refs = draw(st.dictionaries(names.map("heads/x{}".format), ids.map(CommitId), max_size=4))
    return Head(
        draw(hexes[16]),
        generation,
        tuple(HeadId(each) for each in draw(st.lists(ids, min_size=count, max_size=count))),
        draw(hexes[32]),
        draw(hexes[16]),
        draw(st.integers(-(2**53) + 1, 2**53 - 1)),
        refs,
        found,
        draw(st.dictionaries(st.integers(1, 2**32 - 1), ids, max_size=3)),
        draw(st.dictionaries(hexes[8], st.builds(SlotNote, names, st.none() | ids), max_size=3)),
    )


@given(head_values(), st.booleans())
def test_a_head_comes_back_as_it_was(head: Head, signed: bool) -> None:
    signature = sign(bytes(32), message_of(head.id)) if signed else None
    found = decode_head(encode_head(head, signature))
    assert found == (head, signature) and found[0].id == head.id and found[0].encode() == head.encode()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_head_are_refused(raw: bytes) -> None:
    with pytest.raises(Tampered):
        decode_head(raw)


# -- recovery keys -------------------------------------------------------------------------------------------------


@given(ids)
def test_a_recovery_key_comes_back_however_it_is_typed(seed: bytes) -> None:
    text = format_recovery(seed)
    assert len(text) == 13 * 6 - 1
    assert parse_recovery(text) == seed
    typed = text.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert parse_recovery(f"  {typed}\n") == parse_recovery(text.replace("-", "")) == seed


@given(ids, st.integers(0, 64), st.sampled_from(DIGITS))
def test_one_wrong_digit_is_found_and_located(seed: bytes, place: int, digit: str) -> None:
    typed = list(format_recovery(seed).replace("-", ""))
    assume(typed[place] != digit)
    typed[place] = digit
    with pytest.raises(InvalidData, match=rf"look again at group {place // 5 + 1}\b") as error:
        parse_recovery("".join(typed))
    assert error.value.code == "key-unreadable" and "".join(typed[:5]) not in str(error.value)


@given(ids, st.integers(0, 64), st.integers(0, 4))
def test_two_exchanged_digits_of_a_group_are_found(seed: bytes, place: int, other: int) -> None:
    typed = list(format_recovery(seed).replace("-", ""))
    second = place // 5 * 5 + other
    assume(typed[place] != typed[second])
    typed[place], typed[second] = typed[second], typed[place]
    with pytest.raises(InvalidData, match=rf"group {place // 5 + 1}\b"):
        parse_recovery("".join(typed))


@given(ids, st.integers(0, 12), st.integers(0, 12))
def test_groups_in_another_order_are_found(seed: bytes, one: int, other: int) -> None:
    groups = format_recovery(seed).split("-")
    assume(one != other)
    groups[one], groups[other] = groups[other], groups[one]
    with pytest.raises(InvalidData):
        parse_recovery("-".join(groups))


@pytest.mark.parametrize(
    ("typed", "why"),
    [("", "0 digits"), ("0" * 64, "64 digits"), ("U" + "0" * 64, "digit 1 of group 1"), ("0" * 66, "66 digits")],
)
def test_what_is_no_recovery_key_is_told_why(typed: str, why: str) -> None:
    with pytest.raises(InvalidData, match=why):
        parse_recovery(typed)
