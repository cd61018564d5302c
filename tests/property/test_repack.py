"""What is sent between repositories: exactly what is lacking, readable by whoever has the rest, and sound."""

import contextlib
import random
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import Forest, QuickFiles, plain
from vexrepo.errors import Tampered
from vexrepo.history.lacking import commits_between, iter_lacking, iter_lacking_below
from vexrepo.history.reach import reachable
from vexrepo.history.revision import read_commit
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, SnapshotId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.signature import message_of, public_key, sign
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.storage import codec
from vexrepo.storage.codec import Codec
from vexrepo.storage.pack import Entry, Key, PackReader, PackWriter
from vexrepo.storage.repack import Repacker
from vexrepo.storage.store import ObjectStore

SEED = bytes(range(32))


def a_memory(number: int, version: int = 0) -> Record:
    return plain(number, version, vector=[number + 0.5, version + 0.25, *([0.125 * number] * 14)])


class Family(Forest):
    """Commits over trees, in one store; the newest version of each record counts up."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder)
        self.chance = random.Random(seed)
        self.commits: list[CommitId] = []
        self.contents: dict[CommitId, dict[bytes, Record]] = {}
        self.time_us = 1_790_000_000_000_000

    def commit(
        self, contents: dict[bytes, Record], parents: tuple[CommitId, ...], like: CommitId | None = None
    ) -> CommitId:
        """Commit records; ``like`` is whose tree is edited, where that is not the first parent."""
        like = like or next(iter(parents), None)
        before = self.contents[like] if like else {}
        edits: dict[bytes, Record | None] = {
            key: contents.get(key) for key in {*before, *contents} if before.get(key) != contents.get(key)
        }
        base = self.root(like) if like else None
        records = self.edit(base, edits)
        self.time_us += self.chance.choice([1, 1, 1, -3]) * 1_000_000  # clocks disagree at times
        with self.store.writer() as writer:
            empty = self.build({})
            snapshot, payload = Snapshot(records, empty, self.leaf_records).encode()
            old = read_commit(self.store, parents[0]).snapshot if parents else None
            writer.put(ObjectType.SNAPSHOT, snapshot, payload, base=old)
            key = public_key(SEED).hex()
            made, raw = Commit(snapshot, parents, {"name": "x", "key": key}, self.time_us, "m").encode()
            writer.put(ObjectType.COMMIT, made, raw)
            writer.put_signature(made, sign(SEED, message_of(made)).encode())
            writer.finish()
        if made not in self.contents:
            self.commits.append(made)
            self.contents[made] = contents
        return made

    def root(self, commit: CommitId) -> TreeRoot:
        found = read_commit(self.store, commit).snapshot
        return Snapshot.decode(self.store.get(found, ObjectType.SNAPSHOT)).records

    def grow(self, count: int) -> None:
        """Make commits: on any earlier one, mostly the newest; some merge two, some go back to what was."""
        for number in range(count):
            if not self.commits or self.chance.random() < 0.05:
                self.commit(
                    {item.key: item for item in (a_memory(each) for each in range(self.chance.randrange(90)))}, ()
                )
                continue
            parent = self.commits[-1] if self.chance.random() < 0.7 else self.chance.choice(self.commits)
            contents, parents = dict(self.contents[parent]), (parent,)
            if self.chance.random() < 0.1:  # as after an undo: made from what is not among the ancestors
                parents = read_commit(self.store, parent).parents
            other = self.chance.choice(self.commits)
            if self.chance.random() < 0.2 and other != parent:
                contents, parents = {**contents, **self.contents[other]}, (parent, other)
            elif self.chance.random() < 0.1:
                contents = dict(self.contents[other])
            for _ in range(self.chance.randrange(4)):
                item = a_memory(self.chance.randrange(120), number)
                contents[item.key] = item
            if contents and self.chance.random() < 0.3:
                del contents[self.chance.choice(sorted(contents))]
            self.commit(contents, parents, parent)

    def some(self) -> list[CommitId]:
        return self.chance.sample(self.commits, self.chance.randrange(min(3, len(self.commits)) + 1))


@contextlib.contextmanager
def family(seed: int) -> Iterator[Family]:
    with tempfile.TemporaryDirectory(prefix="vex-test-") as folder:
        yield Family(Path(folder), seed)


class Host:
    """Packs somewhere else, and what is known of them: the rows of their indexes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.has: set[CommitId] = set()

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.folder, QuickFiles())

    def held(self, keys: Collection[Key]) -> Mapping[Key, int]:
        found: dict[Key, int] = {}
        for path in self.folder.glob("*.pack"):
            for entry in PackReader(path):
                key = (entry.id, entry.type)
                if key in keys:
                    found[key] = min(found.get(key, 99), entry.depth)
        return found

    def take(self, store: ObjectStore, wanted: list[CommitId], **options: int) -> list[Entry]:
        """Push commits here as a push does; return the rows that were sent."""
        scratch = self.folder.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        commits = commits_between(lambda identifier: read_commit(store, identifier), self.has, wanted)
        with Repacker(store, QuickFiles(), scratch, self.held, **options) as repacker:
            for commit in commits:
                repacker.add(iter_lacking(store, commit))
            packs = repacker.finish()
        sent: list[Entry] = []
        for path in packs:
            PackReader(path).check()
            sent += PackReader(path)
            path.rename(self.folder / f"{len(list(self.folder.iterdir())) + 1:08d}-{path.name.split('-')[1]}")
        assert repacker.objects == len(sent)
        self.has.update(wanted)
        return sent

    def check(self, signed: bool = True) -> None:
        """What is here can be read from what is here alone."""
        store = self.store
        for name in store.packs:
            reader = store.reader(name)
            for entry in reader:
                store.read_copy(reader, entry)
        for commit in {identifier for identifier, kind in reachable(store, self.has) if kind == ObjectType.COMMIT}:
            assert len(store.signatures(CommitId(commit))) == 1


def without_signatures(keys: set[Key]) -> set[Key]:
    return {key for key in keys if key[1] != ObjectType.SIGNATURE}


@given(st.integers(0, 2**32), st.integers(1, 14))
@settings(max_examples=40)
def test_what_some_commits_lack_is_what_they_need_and_the_others_do_not(seed: int, count: int) -> None:
    with family(seed) as woods:
        woods.grow(count)
        have, want = woods.some(), woods.some()
        read = lambda identifier: read_commit(woods.store, identifier)  # noqa: E731
        commits = commits_between(read, have, want)
        assert len(set(commits)) == len(commits)
        for place, commit in enumerate(commits):
            assert not set(read(commit).parents) & set(commits[place:])
        theirs, ours = reachable(woods.store, have), reachable(woods.store, want)
        found = {key for commit in commits for key in iter_lacking(woods.store, commit)}
        assert without_signatures(ours - theirs) <= found <= ours
        new = {key[0] for key in ours - theirs if key[1] == ObjectType.COMMIT}
        assert new <= set(commits)


@given(st.integers(0, 2**32), st.integers(1, 14), st.booleans())
@settings(max_examples=40)
def test_packs_of_what_is_lacking_make_a_sound_copy_wherever_they_come_together(
    seed: int, count: int, many: bool
) -> None:
    with family(seed) as woods:
        host = Host(woods.store.folder.parent / "host")
        for _ in range(3):
            woods.grow(count)
            host.take(woods.store, woods.some(), **({"pack_bytes": 2000} if many else {}))
            host.check()
        theirs = host.store
        for commit in host.has:
            assert reachable(theirs, [commit]) == reachable(woods.store, [commit])
        # Sent on from there, and to somebody who has what is here in other forms.
        other = Host(woods.store.folder.parent / "other")
        other.take(theirs, sorted(host.has))
        other.check()
        whole = Host(woods.store.folder.parent / "whole")
        whole.take(
            ObjectStore(other.folder, QuickFiles(), [*host.folder.iterdir(), *woods.store.folder.iterdir()]),
            [*host.has],
        )
        whole.check()


def test_a_second_copy_in_another_form_makes_nothing_unreadable(tmp_path: Path) -> None:
    """Two machines made the same two versions in the other order; each is a difference from the other somewhere."""
    first, second = (b"many words that stay " * 40 + bytes([number]) * 30 for number in (1, 2))
    kind = ObjectType.BODIES
    from vexrepo.objects.kinds import identify

    one, two = identify(kind, first), identify(kind, second)
    for number, (base, whole, name, payload) in enumerate(((one, first, two, second), (two, second, one, first)), 1):
        writer = PackWriter(QuickFiles(), tmp_path / ".x.tmp")
        writer.add(base, kind, Codec.RAW, whole, len(whole))
        row = writer.entry(base, kind)
        writer.add(name, kind, Codec.PREFIX, codec.encode_prefix(payload, whole), len(payload), base=row, chain=1)
        writer.finish(tmp_path, number)
    store = ObjectStore(tmp_path, QuickFiles())
    for name in store.packs:
        for entry in store.reader(name):
            assert store.read_copy(store.reader(name), entry) in (first, second)
    store.close()
    assert (store.get(one, kind), store.get(two, kind)) == (first, second)


def test_what_is_lacking_is_found_without_reading_what_is_the_same(tmp_path: Path) -> None:
    woods = Family(tmp_path, 1)
    contents = {item.key: item for item in (plain(number) for number in range(6000))}
    one = woods.commit(contents, ())
    changed = plain(3000, 1)
    two = woods.commit(contents | {changed.key: changed}, (one,))
    height = woods.root(two).height
    assert height >= 2
    read: list[bytes] = []
    get = woods.store.get
    woods.store.get = lambda identifier, kind, **more: (read.append(identifier), get(identifier, kind, **more))[1]  # type: ignore[method-assign,assignment,func-returns-value]
    found = list(iter_lacking(woods.store, two))
    assert len(found) == 2 + height + 3  # commit, snapshot, nodes, leaf with bodies and vectors
    assert len(read) <= 4 + 2 * (height + 1)


def test_roots_of_different_heights_share_what_they_share(tmp_path: Path) -> None:
    woods = Forest(tmp_path)
    small = woods.build({item.key: item for item in (plain(number) for number in range(40))})
    large = woods.build({item.key: item for item in (plain(number) for number in range(6000))})
    assert small.height < large.height
    known = {key[0] for key in iter_lacking_below(woods.store, small, ())}
    grown = {key[0] for key in iter_lacking_below(woods.store, large, (small,))}
    everything = {key[0] for key in iter_lacking_below(woods.store, large, ())}
    assert everything - known <= grown < everything
    assert not list(iter_lacking_below(woods.store, small, (small, large)))


def test_damage_is_never_sent(tmp_path: Path) -> None:
    woods = Family(tmp_path / "woods", 1)
    one = woods.commit({item.key: item for item in (plain(number) for number in range(100))}, ())
    (pack,) = [path for path in woods.store.folder.iterdir() if path.stat().st_size > 4000]
    raw = bytearray(pack.read_bytes())
    raw[200] ^= 1
    pack.write_bytes(raw)
    woods.store.close()
    (tmp_path / "out").mkdir()
    with Repacker(woods.store, QuickFiles(), tmp_path / "out") as repacker, pytest.raises(Tampered) as caught:
        repacker.add(iter_lacking(woods.store, one))
    assert caught.value.code == "object-corrupt"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_parent_is_told_of(tmp_path: Path) -> None:
    woods = Family(tmp_path, 1)
    one = woods.commit({}, (woods.commit({}, ()),))
    lost = Commit(SnapshotId(bytes(32)), (CommitId(bytes(32)),), {"name": "x"}, 0, "m").encode()
    with woods.store.writer() as writer:
        writer.put(ObjectType.COMMIT, *lost)
        writer.finish()
    with pytest.raises(Tampered) as caught:
        commits_between(lambda identifier: read_commit(woods.store, identifier), [one], [lost[0]])
    assert caught.value.code == "object-missing"
