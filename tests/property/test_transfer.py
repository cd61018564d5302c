"""Moving memories changes nothing: what arrives is what was sent, or nothing arrives."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import attempt, record_values
from vexrepo.exchange.request import Request
from vexrepo.exchange.seen_keys import SeenKeys
from vexrepo.exchange.transfer import transfer
from vexrepo.formats import vmig
from vexrepo.objects import record
from vexrepo.objects.record import Record
from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store

SETTINGS = settings(max_examples=60)


def jsonl(folder: Path, name: str) -> Address:
    return Address("jsonl", str(folder / f"{name}.vmig.jsonl"))


def vektor(folder: Path, name: str) -> Address:
    return Address("vektor", str(folder / f"{name}.db"))


def write(address: Address, values: list[dict[str, Any]]) -> list[Record]:
    """Write those of some values that are records, one of each key, and return them."""
    kept: dict[bytes, Record] = {}
    for value in values:
        found, _ = attempt(lambda value=value: record.from_json(dict(value)))
        if found is not None:
            kept.setdefault(found.key, found)
    lines = [vmig.format_record(each) + b"\n" for each in kept.values()]
    Path(address.location).write_bytes(b"".join(lines))
    return list(kept.values())


def held(address: Address) -> list[Record]:
    with open_store(address) as store:
        return [item.record for batch in store.scan() for item in batch]


values = st.lists(record_values(), min_size=1, max_size=6)


@SETTINGS
@given(values)
def test_a_file_written_from_a_file_is_the_same_file_the_second_time(values):
    with tempfile.TemporaryDirectory() as name:
        one, two, three = (jsonl(Path(name), each) for each in ("one", "two", "three"))
        sent = write(one, values)
        if not sent:
            return
        for source, target in ((one, two), (two, three)):
            done = transfer(source, target, Request())
            assert (done.read, done.selected, done.written, done.skipped) == (len(sent),) * 3 + (0,)
        assert held(two) == sent
        assert Path(two.location).read_bytes() == Path(three.location).read_bytes()


@SETTINGS
@given(values)
def test_what_goes_through_a_database_comes_back_as_it_was(values):
    with tempfile.TemporaryDirectory() as name:
        one, back = (jsonl(Path(name), each) for each in ("one", "back"))
        db = vektor(Path(name), "agent")
        sent = write(one, values)
        if not sent:
            return
        assert transfer(one, db, Request(link=True)).written == len(sent)
        assert transfer(one, db, Request(link=True)).written == len(sent)
        transfer(db, back, Request())
        assert sorted(held(back)) == sorted(sent)


@SETTINGS
@given(values, st.booleans())
def test_completed_lines_keep_every_member_there_was(values, again):
    with tempfile.TemporaryDirectory() as name:
        one, full = (jsonl(Path(name), each) for each in ("one", "full"))
        db = vektor(Path(name), "agent")
        sent = write(one, values)
        if not sent:
            return
        transfer(one, db, Request())
        transfer(db, full, Request(complete=True))
        if again:  # a file of complete lines is complete
            transfer(full, jsonl(Path(name), "twice"), Request(complete=True))
            assert sorted(held(jsonl(Path(name), "twice"))) == sorted(held(full))
        found = {each.key: each.to_json() for each in held(full)}
        assert len(found) == len(sent)
        for each in sent:
            before = each.to_json()
            assert before == {member: found[each.key][member] for member in before}


@SETTINGS
@given(values, st.sampled_from(["", "a", "b"]))
def test_a_filter_divides_the_records_in_two(values, namespace):
    with tempfile.TemporaryDirectory() as name:
        one, part = (jsonl(Path(name), each) for each in ("one", "part"))
        sent = write(one, values)
        if not sent:
            return
        chosen = Selection(frozenset([namespace]))
        done = transfer(one, part, Request(chosen))
        wanted = [each for each in sent if chosen.accepts(each.key, lambda each=each: each.body)]
        assert held(part) == wanted
        assert (done.read, done.written) == (len(sent), len(wanted))


@given(st.lists(st.lists(st.binary(max_size=2), max_size=40), max_size=12), st.integers(1, 20))
def test_keys_seen_before_are_known_however_they_came(batches, kept_apart):
    seen: SeenKeys = SeenKeys(kept_apart)
    model: set[bytes] = set()
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(key not in model)
            model.add(key)
        assert seen.add(batch) == expected
