"""The contract every store connector passes.

Subclass ``StoreContract`` in a test module, say how to open an empty store, and let pytest collect it::

    class TestMyStore(StoreContract):
        def open_store(self, tmp_path):
            return MyStore.open(parse_address(f"mystore:{tmp_path / 'file'}"), create=True)

What is proved is law 4: what was written is what is read, whatever the store can hold natively.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from vexrepo.objects import edge, record
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.base import Plan, Raw, Store

_F32 = 0.10000000149011612  # a float32 value as a double
_LIMITS = [(1 << 63) - 1, -(1 << 63), 1 << 63, -(1 << 63) - 1, 1 << 70, (1 << 53) + 1]


def tricky_values() -> list[dict[str, Any]]:
    """Return records, as JSON objects, that stores have been seen to lose or bend.  Their keys are distinct."""
    values: list[dict[str, Any]] = [
        {"id": "plain", "text": "The tide table is printed on Mondays."},
        {"id": "only-id"},
        {"id": "text-empty", "text": ""},
        {"id": "text-null", "text": None},
        {"id": "text-number", "text": 5},
        {"id": "text-object", "text": {"a": ["b"]}},
        {"id": "text-nul", "text": "before\0after"},
        {"id": "text-lines", "text": ' \r\n\t\u2028 line "quoted" \\ \x7f\x1f'},
        {"id": "text-astral", "text": "潮位 🙂 e\u0301 \uffff \U0010ffff"},
        {"id": "text-long", "text": "0123456789" * 20_000},
        {"id": "vector-null", "text": "a", "vector": None},
        {"id": "vector-empty", "text": "a", "vector": []},
        {"id": "vector-empty-dims", "text": "a", "vector": [], "dims": 0},
        {"id": "vector-only", "vector": [0.5, -2.0]},
        {"id": "vector-dims", "text": "a", "vector": [0.5, -2.0], "dims": 2, "model": "m"},
        {"id": "vector-dims-null", "text": "a", "vector": [0.5, -2.0], "dims": None, "model": None},
        {"id": "vector-no-dims", "text": "a", "vector": [_F32, 1.0], "model": "m"},
        {"id": "dims-alone", "text": "a", "dims": 384},
        {"id": "f32-edges", "text": "a", "vector": [-0.0, 0.0, 1.401298464324817e-45, -1.1754943508222875e-38]},
        {"id": "f32-largest", "text": "a", "vector": [3.4028234663852886e38, -3.4028234663852886e38]},
        {"id": "f32-short", "text": "a", "vector": [0.1, 3.4e38, -1e-45, 0.30000001]},
        {"id": "f64", "text": "a", "vector": [0.1234567890123456, -0.0, 5e-324]},
        {"id": "f64-huge", "text": "a", "vector": [1e300, 1.0]},
        {"id": "vectors-named", "text": "a", "vectors": {"title": [1.0, 2.0], "body": [0.1, 0.25, 0.3]}},
        {"id": "vectors-both", "text": "a", "vector": [1.0], "vectors": {"title": [1.0]}, "model": "m"},
        {"id": "vectors-odd", "text": "a", "vectors": {"title": "none"}},
        {"id": "vectors-empty", "text": "a", "vectors": {}},
        {"id": "multi", "text": "a", "vector": [[1.0, 2.0], [3.0, 4.0]]},
        {"id": "sparse", "text": "a", "vector": {"indices": [1, 4_294_967_295], "values": [0.5, 0.1]}},
        {"id": "sparse-none", "text": "a", "vectors": {"words": {"indices": [], "values": []}}},
        {"id": "metadata-null", "text": "a", "metadata": None},
        {"id": "metadata-empty", "text": "a", "metadata": {}},
        {"id": "metadata-list", "text": "a", "metadata": ["x", 1]},
        {"id": "metadata-text", "text": "a", "metadata": "x"},
        {"id": "metadata-flat", "text": "a", "metadata": {"importance": 3, "tags": "a,b", "pinned": 1}},
        {"id": "metadata-types", "text": "a", "metadata": {"importance": 0.5, "tags": ["a", "b"], "pinned": True}},
        {"id": "metadata-odd", "text": "a", "metadata": {"importance": "3", "tags": [], "pinned": None, "summary": ""}},
        {"id": "metadata-deep", "text": "a", "metadata": {"a": {"b": [{"c": None}, [], {}]}, "tags": {"x": [1]}}},
        {"id": "metadata-numbers", "text": "a", "metadata": {"n": [*_LIMITS, 1e300, -5e-324, 0.5, 1.0, -0.0, 0]}},
        {"id": "metadata-limits", "text": "a", "metadata": {f"n{at}": item for at, item in enumerate(_LIMITS)}},
        {"id": "metadata-beyond-doubles", "text": "a", "metadata": {"n": 10**400}},
        {"id": "metadata-limits-known", "text": "a", "metadata": {"importance": 1 << 70, "updated_at": 1e300}},
        {"id": "metadata-names", "text": "a", "metadata": {"": 1, "a.b": 2, "$x": 3, "名": 4, "\0": 5, "id": 6}},
        {
            "id": "metadata-same-names",
            "text": "a",
            "metadata": {"text": 1, "content": "c", "vector": [1], "namespace": 2},
        },
        {"id": "metadata-lists", "text": "a", "metadata": {"potential": ["x", 1], "summary": ["y"]}},
        {"id": "metadata-list-text", "text": "a", "metadata": {"potential": '["x",1]', "tags": "[1]"}},
        {"id": "metadata-blob", "text": "a", "metadata": {"summary": {"$blob": "AAEC/w=="}, "x": {"$blob": "no"}}},
        {"id": "members", "text": "a", "zz": {"deep": [None]}, "score": None, "modality": "text", "": False},
        {"id": "exported", "text": "a", "model": "m", "source_store": "qdrant", "vex_version": "1.0.0", "score": 0.25},
        {"id": "model-odd", "text": "a", "vector": [1.0], "model": 7},
        {"id": "created-int", "text": "a", "created_at": 1_780_000_000},
        {"id": "created-ms", "text": "a", "created_at": 1_780_000_000_123},
        {"id": "created-float", "text": "a", "created_at": 1_780_000_000.25},
        {"id": "created-text", "text": "a", "created_at": "2026-01-01T00:00:00.000Z"},
        {"id": "created-digits", "text": "a", "created_at": "1780000000"},
        {"id": "created-null", "text": "a", "created_at": None},
        {"id": "created-odd", "text": "a", "created_at": {"seconds": 5}},
        {"id": "created-empty", "text": "a", "created_at": ""},
        {"id": "namespace-null", "text": "a", "namespace": None},
        {"id": "namespace-empty", "text": "a", "namespace": ""},
        *(
            {"id": "shared", "text": f"in {space}", "namespace": space}
            for space in ("a", "b", "a/b", "a b", "ü", "a\0b")
        ),
        {"id": "shared", "text": "in none"},
        {"id": "7", "text": "in none"},
        *({"id": "7", "text": f"in {space}", "namespace": space} for space in ("a", "b")),
    ]
    ids = ["1", "2", "07", "-3", "+4", "0", "-0", "1.0", "1e3", " 5", "5 ", "9007199254740991", "9007199254740993"]
    ids += ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "a b", "a/b", "a\\b", "a'b", 'a"b']
    ids += ["a%b_c", "a?b#c", "a\0b", "\0", "a\nb", " ", "id", "null", "NULL", "True", "é", "e\u0301", "🙂", "🙂#1"]
    ids += ["8ac1c623-a897-4cd0-8d32-383f79ffc623", "8AC1C623-A897-4CD0-8D32-383F79FFC623", "x" * 4000]
    return values + [{"id": each, "text": f"id {each[:20]!r}"} for each in ids]


def with_dims(values: list[dict[str, Any]], dims: int) -> list[dict[str, Any]]:
    """Return vmig objects with their dense and multi vectors filled up to ``dims`` numbers.

    Named vectors are filled, too; what is no vector is left as it is.
    """

    def fill(value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], list):
            return [fill(row) for row in value]
        if isinstance(value, list) and value and type(value[0]) in (int, float):
            return [*value, *[0.5] * (dims - len(value))]
        return value

    for each in values:
        if isinstance(each.get("vector"), list) and each["vector"]:
            each["vector"] = fill(each["vector"])
            if each.get("dims") is not None:
                each["dims"] = dims
        if isinstance(each.get("vectors"), dict):
            each["vectors"] = {name: fill(item) for name, item in each["vectors"].items()}
    return values


def tricky_records() -> list[Record]:
    """Return ``tricky_values`` as records, sorted by key."""
    return sorted(record.from_json(value) for value in tricky_values())


def tricky_edges() -> list[Record]:
    """Return graph edges between tricky records, with what edge tables have been seen to lose."""
    values: list[dict[str, Any]] = [
        {"id": "e1", "source": "plain", "target": "shared", "type": "temporal", "weight": 0.9908333333333333},
        {"id": "e2", "source": "1", "target": "2", "type": "causal", "weight": 1, "created_at": 1_780_000_000},
        {"id": "12", "source": "07", "target": "7", "type": "tag:a b", "weight": None},
        {"source": "plain", "target": "1", "type": "related"},
        {"source": "plain", "target": "missing", "type": "related", "agent_id": "agent-1", "note": {"deep": [1]}},
        {"id": "e3", "source": "a\0b", "target": "🙂", "type": "", "weight": 1e300, "created_at": "2026-01-01"},
        {"id": "5", "source": "1", "target": "plain", "type": "old", "table": "memory_edges", "weight": 0.5},
    ]
    return sorted(edge.from_json(value) for value in values)


def read_all(store: Store) -> dict[bytes, bytes]:
    """Return {key: record id} of a store.  Fails if two records have one key."""
    found: dict[bytes, bytes] = {}
    for batch in store.scan():
        for item in batch:
            if item.record.key in found:
                raise AssertionError(
                    f"{item.record.key!r} was read twice, the second time at {store.place(item.place)}"
                )
            found[item.record.key] = item.record.id
    return found


def plan_between(
    before: Iterable[Record],
    after: Iterable[Record],
    edges_before: Iterable[Record] = (),
    edges_after: Iterable[Record] = (),
    config: dict[str, Any] | None = None,
) -> Plan:
    """Return the plan a checkout makes to bring a store from one content to another."""
    old, new = ({item.key: item for item in each} for each in (before, after))
    old_edges, new_edges = ({item.key: item for item in each} for each in (edges_before, edges_after))
    return Plan(
        upserts=lambda: (new[key] for key in sorted(new) if key not in old or old[key].id != new[key].id),
        deletes=[key for key in sorted(old) if key not in new],
        records=lambda: (new[key] for key in sorted(new)),
        edge_upserts=[
            new_edges[k] for k in sorted(new_edges) if k not in old_edges or old_edges[k].id != new_edges[k].id
        ],
        edge_deletes=[old_edges[key] for key in sorted(old_edges) if key not in new_edges],
        edges=lambda: (new_edges[key] for key in sorted(new_edges)),
        config=config or {},
    )


def check_holds(store: Store, wanted: Iterable[Record]) -> None:
    """Raise AssertionError, naming the records, unless a store holds exactly ``wanted``.

    What a store says it does to vectors (``Store.settle``) does not count.
    """
    expected = {item.key: item for item in wanted}
    found = {
        item.key: store.settle(expected[item.key], item) if item.key in expected else item
        for item in (each.record for batch in store.scan() for each in batch)
    }
    read_all(store)
    wrong = [
        f"{key!r:.80}: expected {_shown(expected.get(key))}, got {_shown(found.get(key))}"
        for key in sorted(expected.keys() | found.keys())
        if key not in expected or key not in found or expected[key].id != found[key].id
    ]
    if wrong:
        raise AssertionError(f"{len(wrong)} records differ:\n" + "\n".join(wrong[:10]))


def _shown(item: Record | None) -> str:
    return "nothing" if item is None else f"{item.body[:300]!r} {[each.space for each in item.vectors]}"


def _check_edges(store: Store, wanted: Iterable[Record]) -> None:
    expected, found = sorted(item.body for item in wanted), sorted(item.body for item in store.edges())
    if expected != found:
        raise AssertionError(f"edges differ: expected {expected!r}, got {found!r}")


class StoreContract(ABC):
    """Tests that every connector passes.  ``open_store`` opens the same, at first empty, store at every call."""

    @abstractmethod
    def open_store(self, tmp_path: Path) -> Store:
        """Return the store under test, open; nothing has been written to it before a test's first call."""

    dims: ClassVar[int | None] = None  # of the main vectors, for stores that take one number only

    def values(self) -> list[dict[str, Any]]:
        """Return what has been seen to get lost somewhere, as vmig objects, new ones each time."""
        return tricky_values() if self.dims is None else with_dims(tricky_values(), self.dims)

    def records(self) -> list[Record]:
        """Return ``values`` as records, sorted by key."""
        return sorted(map(record.from_json, self.values()))

    def _move(self, tmp_path: Path, before: list[Record], after: list[Record]) -> None:
        with self.open_store(tmp_path) as store:
            store.write(plan_between(before, after))
        with self.open_store(tmp_path) as store:
            check_holds(store, after)

    def test_an_empty_store_reads_as_nothing(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            assert read_all(store) == {}
            assert list(store.edges()) == []
            assert store.describe().count in (0, None)

    def test_what_was_written_is_what_is_read(self, tmp_path: Path) -> None:
        self._move(tmp_path, [], self.records())

    def test_each_record_alone_is_read_as_written(self, tmp_path: Path) -> None:
        held: list[Record] = []
        if self.dims is not None:  # the first vector says how many dimensions a collection has
            held = [record.from_json({"id": "first", "vector": [0.25] * self.dims})]
            self._move(tmp_path, [], held)
        for item in self.records()[::5]:
            self._move(tmp_path, held, [item])
            held = [item]

    def test_writing_the_same_again_changes_nothing(self, tmp_path: Path) -> None:
        records = self.records()
        self._move(tmp_path, [], records)
        self._move(tmp_path, [], records)
        self._move(tmp_path, records, records)

    def test_every_record_can_be_replaced_by_every_kind_of_other(self, tmp_path: Path) -> None:
        records = self.records()
        values = self.values()
        held = records
        self._move(tmp_path, [], records)
        for shift in (1, 17, 40):
            moved = []
            for place, value in enumerate(values):
                other = self.values()[(place + shift) % len(values)]
                other["id"] = value["id"]
                other.pop("namespace", None)
                if "namespace" in value:
                    other["namespace"] = value["namespace"]
                moved.append(record.from_json(other))
            self._move(tmp_path, held, moved)
            held = moved
        self._move(tmp_path, held, records)

    def test_deleted_records_are_gone_and_others_stay(self, tmp_path: Path) -> None:
        records = self.records()
        self._move(tmp_path, [], records)
        self._move(tmp_path, records, records[::2])
        self._move(tmp_path, records[::2], records[1::2])
        self._move(tmp_path, records[1::2], [])
        self._move(tmp_path, [], records)

    def test_the_description_counts_right_and_tells_of_changes(self, tmp_path: Path) -> None:
        records = self.records()
        self._move(tmp_path, [], records)
        with self.open_store(tmp_path) as store:
            first = store.describe()
            assert first.count in (len(records), None)
            assert store.describe().fingerprint == first.fingerprint
            store.write(plan_between(records, records[1:]))
        with self.open_store(tmp_path) as store:
            assert store.describe().count in (len(records) - 1, None)
            assert first.fingerprint is None or store.describe().fingerprint != first.fingerprint

    def test_many_records_pass_through(self, tmp_path: Path) -> None:
        dims = self.dims or 2
        rest = [1.0] * (dims - 1)
        many = [
            record.from_json({"id": f"m{at:05}", "text": f"note {at}", "vector": [at / 4, *rest], "dims": dims})
            for at in range(2_345)
        ]
        self._move(tmp_path, [], many)
        for _ in range(3):  # left in the middle, as by an error that still holds the reader, with a page under way
            with self.open_store(tmp_path) as store:
                left = store.scan()
                next(left)
            del left
        with self.open_store(tmp_path) as store:  # looked at one by one while pages are under way
            plan = plan_between(many, many)
            store.write(replace(plan, upserts=lambda: iter(many[:1])))
            read = []
            for batch in store.scan():
                read += [item.record.key for item in batch]
                self._find(store, many[::97], many[::97])
            assert sorted(read) == [each.key for each in many]
        self._move(tmp_path, many, many[100:])

    def test_an_import_is_read_as_written(self, tmp_path: Path) -> None:
        records = self.records()
        for wanted in (records[::2], records):
            with self.open_store(tmp_path) as store:
                plan = plan_between([], wanted)
                store.write(replace(plan, now_us=1_795_000_000_000_000, keep_unnamed=True, link=store.builds_edges))
            with self.open_store(tmp_path) as store:
                check_holds(store, wanted)

    def test_the_newest_first_are_the_same_records(self, tmp_path: Path) -> None:
        records = self.records()
        with self.open_store(tmp_path) as store:
            store.write(plan_between([], records))
        with self.open_store(tmp_path) as store:
            found = sorted(item.record for batch in store.scan_newest() for item in batch)
            assert [item.key for item in found] == [item.key for item in records]
            assert [store.settle(*pair) for pair in zip(records, found, strict=True)] == records

    def test_records_that_were_written_are_found_by_key(self, tmp_path: Path) -> None:
        records = self.records()
        with self.open_store(tmp_path) as store:
            store.write(plan_between([], records))
            self._find(store, records, records)
            store.write(plan_between(records, records[::2]))
            self._find(store, records[::2], records)

    def _find(self, store: Store, held: list[Record], asked: list[Record]) -> None:
        found = store.read_keys([item.key for item in asked])
        if found is None:
            return
        read = sorted(found)
        assert [item.key for item in read] == [item.key for item in held]
        assert [store.settle(*pair) for pair in zip(held, read, strict=True)] == held

    def test_a_scan_goes_on_after_each_of_its_cursors(self, tmp_path: Path) -> None:
        dims = self.dims or 2
        many = [
            record.from_json({"id": f"m{at:03}", "text": f"note {at}", "vector": [at / 4, *[1.0] * (dims - 1)]})
            for at in range(300)
        ]
        with self.open_store(tmp_path) as store:
            store.write(plan_between([], many))
            if not store.resumes:
                assert all(cursor is None for _, cursor in store.scan_on(None))
                return
        with self.open_store(tmp_path) as store:
            parts = [([item.record.key for item in batch], cursor) for batch, cursor in store.scan_on(None)]
        keys = [key for part, _ in parts for key in part]
        assert sorted(keys) == sorted(each.key for each in many)
        seen = 0
        for part, cursor in parts:
            seen += len(part)
            with self.open_store(tmp_path) as store:
                rest = [item for batch, _ in store.scan_on(cursor) for item in batch]
            assert [item.record.key for item in rest] == keys[seen:]
            assert [item.place for item in rest] == list(range(seen + 1, len(keys) + 1))

    def test_the_same_bytes_are_the_same_record_at_every_scan(self, tmp_path: Path) -> None:
        records, known = self.records(), []
        with self.open_store(tmp_path) as store:
            store.write(plan_between([], records))
            kind, address = type(store), store.address
        for _ in range(2):
            with kind.open(address) as store:
                raws = store.scan_raw()
                if raws is None:
                    return
                made: dict[bytes, Record] = {}
                for raw in raws.batches():
                    whole = raws.records(raw)
                    assert [item.place for item in whole] == list(raw.places)
                    assert raws.records(Raw(raw.places[1::2], raw.pieces[1::2], 0)) == whole[1::2]
                    made |= {bytes(piece): item.record for piece, item in zip(raw.pieces, whole, strict=True)}
                assert sorted(made.values()) == sorted(item.record for batch in store.scan() for item in batch)
                known.append((tuple(raws.decided_by), made))
        assert known[0] == known[1]

    def test_edges_are_read_as_written(self, tmp_path: Path) -> None:
        records, edges = self.records(), tricky_edges()
        with self.open_store(tmp_path) as store:
            if not store.holds_edges:
                return
            store.write(plan_between([], records, [], edges))
        with self.open_store(tmp_path) as store:
            _check_edges(store, edges)
            store.write(plan_between(records, records, edges[:0], edges))
            _check_edges(store, edges)
            # Edges may outlive their memories; they still read as they were.
            store.write(plan_between(records, records[::3], edges, edges))
            _check_edges(store, edges)
            store.write(plan_between(records[::3], records, edges, edges))
            _check_edges(store, edges)
            changed = [edge.from_json({**item.to_json(), "weight": 0.25}) for item in edges[::2]]
            store.write(plan_between(records, records, edges, changed))
            _check_edges(store, changed)
            store.write(plan_between(records, records, changed, []))
            _check_edges(store, [])
            check_holds(store, records)

    def test_a_store_made_from_the_description_holds_the_same(self, tmp_path: Path) -> None:
        records = self.records()
        (tmp_path / "first").mkdir()
        (tmp_path / "second").mkdir()
        with self.open_store(tmp_path / "first") as store:
            store.write(plan_between([], records))
            config = store.describe().config
        with self.open_store(tmp_path / "second") as store:
            store.write(plan_between([], records, config=config))
            check_holds(store, records)
