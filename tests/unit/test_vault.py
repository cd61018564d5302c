"""A vault: a host with keys, over a host in memory."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from vexrepo.errors import HostError, InvalidData, StateError, Tampered, UsageError, VexError, WrongKey
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import public_key
from vexrepo.remotes.hosts.base import HostFile, HostMoved, Limits, OutcomeUnknown, Tip
from vexrepo.remotes.hosts.head import Head, HeadId, SlotNote, encode_head
from vexrepo.remotes.hosts.header import Unlock, decode_header
from vexrepo.remotes.hosts.members import SlotBook
from vexrepo.remotes.hosts.memory import MemoryHost, Place
from vexrepo.remotes.hosts.opening import Seen
from vexrepo.remotes.hosts.seal import SealKeys, seal
from vexrepo.remotes.hosts.slots import PassphraseSlot
from vexrepo.remotes.hosts.vault import Means, Recipient, Vault
from vexrepo.storage.codec import Codec
from vexrepo.storage.files import Files
from vexrepo.storage.keys import Identity
from vexrepo.storage.pack import PackWriter
from vexrepo.storage.passphrase import Cost

CHEAP = Cost(64, 1, 1)
REFS = {"heads/main": CommitId(b"\1" * 32)}


def identity(number: int) -> Identity:
    seed = bytes([number]) * 32
    return Identity(f"id{number}", public_key(seed), seed)


def write_pack(folder: Path, name: str, size: int) -> Path:
    """Write a real pack file that holds ``size`` bytes of incompressible payload."""
    folder.mkdir(exist_ok=True)
    writer = PackWriter(Files(), folder / f".{name}.tmp")
    payload = blake3(name.encode()).digest(length=size)
    writer.add(CommitId(blake3(payload).digest()), ObjectType.COMMIT, Codec.RAW, payload, len(payload))
    return folder / writer.finish(folder, 1)


class World:
    """A place, a folder, a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place()
        self.now = 0

    def means(self, **more: object) -> Means:
        def tick() -> int:
            self.now += 1
            return self.now

        return Means(tick, self.folder / "tmp", cost=CHEAP, **more)  # type: ignore[arg-type]

    def host(self) -> MemoryHost:
        return MemoryHost("memory:test", self.place)

    def create(self, *, passphrase: str | None = "open sesame", **more: object) -> Vault:
        return Vault.create(self.host(), self.means(**more), passphrase=passphrase)

    def open(self, passphrase: str | None = "open sesame", *identities: Identity, **more: object) -> Vault:
        offer = Unlock(identities, None if passphrase is None else lambda: [passphrase])
        return Vault.open(self.host(), self.means(), offer, **more)  # type: ignore[arg-type]

    def pack(self, name: str, size: int = 1000) -> Path:
        return write_pack(self.folder / "packs", name, size)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def contents(vault: Vault, folder: Path) -> list[bytes]:
    found = {pack.digest: path.read_bytes() for pack, path in vault.read_packs(vault.head.packs, folder)}
    return [found[pack.digest] for pack in vault.head.packs]


def test_what_was_published_is_read_back(world: World) -> None:
    vault = world.create()
    assert vault.tip is None and vault.head.generation == 0 and world.place.tip is None
    first = world.pack("a", 5000)
    vault.publish(REFS, [first])
    assert vault.head.generation == 1 and world.place.commits == 1
    second = world.pack("b", 100_000)
    head = vault.publish({**REFS, "tags/v1": CommitId(b"\2" * 32)}, [second])
    assert world.place.commits == 2

    other = world.open()
    assert other.head == head == vault.head and other.seen == vault.seen
    assert contents(other, world.folder / "in") == [first.read_bytes(), second.read_bytes()]
    assert [pack.objects for pack in other.head.packs] == [1, 1]
    assert not list((world.folder / "tmp").iterdir())
    assert other.check() == other.check(read_data=True) == []


def test_nothing_is_published_before_the_first_publish(world: World) -> None:
    vault = world.create()
    assert vault.head.generation == 0 and vault.read_packs((), world.folder) and vault.check() == []
    assert world.place.commits == 0 and not vault.refresh()
    with pytest.raises(HostError) as error:
        world.open()
    assert error.value.code == "host-empty"


def test_a_host_that_is_not_empty_is_left_as_it_is(world: World) -> None:
    world.create().publish(REFS)
    with pytest.raises(StateError) as exists:
        world.create()
    assert exists.value.code == "repository-exists"
    world.place = Place()
    world.host().publish(None, {"README.md": b"mine"})
    for attempt in (world.create, world.open):
        with pytest.raises(HostError) as error:
            attempt()
        assert error.value.code == "host-not-ours"
    assert world.place.commits == 1


def test_a_new_host_needs_somebody_who_can_open_it(world: World) -> None:
    for passphrase in (None, ""):
        with pytest.raises(UsageError) as error:
            world.create(passphrase=passphrase)
        assert error.value.code == "bad-option"


def test_a_wrong_passphrase_is_told_before_any_pack_is_downloaded(world: World) -> None:
    world.create().publish(REFS, [world.pack("a")])
    host = Hooked(world)
    with pytest.raises(WrongKey) as error:
        Vault.open(host, world.means(), Unlock(passphrases=lambda: ["close sesame"]))
    assert error.value.code == "wrong-passphrase"
    assert host.fetched == ["vexrepo", "head"]


def test_passphrases_are_tried_in_turn_until_one_fits(world: World) -> None:
    world.create().publish(REFS)
    asked = []

    def ask() -> Iterator[str]:
        for word in ("a", "open sesame", "never asked"):
            asked.append(word)
            yield word

    Vault.open(world.host(), world.means(), Unlock(passphrases=ask))
    assert asked == ["a", "open sesame"]


def test_a_passphrase_is_asked_only_where_no_identity_fits(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    vault.add_recipient(Recipient("laptop", identity(1).key))

    def ask() -> list[str]:
        raise AssertionError("asked")

    found = Vault.open(world.host(), world.means(), Unlock([identity(2), identity(1)], ask))
    assert found.opened_by is not None and found.opened_by.name == "laptop"
    with pytest.raises(WrongKey) as error:
        world.open(None, identity(2))
    assert error.value.code == "no-passphrase"


def test_identities_are_taken_one_by_one_and_only_where_a_slot_may_be_theirs(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    taken: list[int] = []

    def offered() -> Iterator[Identity]:
        for number in (2, 1, 3):
            taken.append(number)
            yield identity(number)

    Vault.open(world.host(), world.means(), Unlock(offered(), lambda: ["open sesame"]))
    assert taken == []
    vault.add_recipient(Recipient("laptop", identity(1).key))
    Vault.open(world.host(), world.means(), Unlock(offered()))
    assert taken == [2, 1]


def test_a_host_without_passphrase_asks_for_none(world: World) -> None:
    host = world.host()
    Vault.create(host, world.means(), recipients=[Recipient("a", identity(1).key)]).publish(REFS)
    with pytest.raises(WrongKey) as error:
        world.open("open sesame", identity(2))
    assert error.value.code == "wrong-key"
    assert world.open(None, identity(1)).head.refs == REFS


def test_heads_are_signed_by_the_identity_given(world: World) -> None:
    vault = world.create(identity=identity(3))
    vault.publish(REFS)
    assert vault.signature is not None and vault.signature.key == identity(3).key
    assert world.open().signature == vault.signature
    world.open().publish({})
    assert world.open().signature is None


# -- what was seen before ------------------------------------------------------------------------------------------


def test_an_older_state_is_refused_by_who_has_seen_a_newer_one(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    older = world.place.tip
    vault.publish({})
    seen = Seen.from_json(vault.seen.to_json())
    assert seen == vault.seen
    world.place.tip = older
    assert world.open().head.generation == 1  # who has seen nothing cannot tell
    for attempt in (lambda: world.open(seen=lambda host_id: seen), vault.refresh):
        with pytest.raises(Tampered) as error:
            attempt()
        assert error.value.code == "host-rolled-back"
    world.place.tip = None
    with pytest.raises(Tampered) as error:
        vault.refresh()
    assert error.value.code == "host-rolled-back"


@pytest.mark.parametrize("later", [0, 1, 15])
def test_another_history_is_refused_by_who_has_seen_one(world: World, later: int) -> None:
    vault = world.create()
    vault.publish(REFS)
    before, other = world.place.tip, world.open()
    vault.publish({})
    world.place.tip = before
    for _ in range(later + 1):
        other.publish(REFS)
    with pytest.raises(Tampered) as error:
        world.open(seen=lambda host_id: vault.seen)
    assert error.value.code == "host-rolled-back"
    assert world.open(seen=lambda host_id: other.seen).head == other.head


def test_a_head_further_back_than_its_followers_say_is_let_pass(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    seen = vault.seen
    for _ in range(20):
        vault.publish(REFS)
    assert len(vault.head.previous) == 16 and vault.head.follows(seen.generation, seen.head) is None
    assert world.open(seen=lambda host_id: seen).head == vault.head


# -- whose host it is --------------------------------------------------------------------------------------------------


def put_own_key(world: World, victim: Identity, *, epoch: int = 1, generation: int = 1000) -> None:
    """Do what a host can that knows somebody's public key: make it anew, for a key of its own.

    The passphrase slots of before are left in the header, for whoever would be put at rest by them.
    """
    host, master = world.host(), secrets.token_bytes(32)
    tip = host.read_tip()
    assert tip is not None
    before = decode_header(b"".join(raw for _, raw in host.fetch(tip, ["vexrepo"])), host.url)
    book = SlotBook(before.host, epoch, master, CHEAP)
    book.add_recipient(Recipient("you", victim.key))
    kept = [slot for slot in before.slots if isinstance(slot, PassphraseSlot)]
    book.keep(kept, {slot.id: SlotNote("passphrase") for slot in kept})
    previous = tuple(HeadId(secrets.token_bytes(32)) for _ in range(min(16, generation - 1)))
    header = book.header()
    head = Head(before.host, generation, previous, header.digest, "0" * 32, 0, slots=book.notes)
    sealed = seal(SealKeys(before.host, epoch, {epoch: master}), "head", encode_head(head, None))
    host.publish(tip, {"vexrepo": header.encode(), "head": sealed}, [p for p in tip.files if p.startswith("packs/")])


def test_a_host_that_puts_its_own_key_in_place_of_ours_is_refused(world: World) -> None:
    vault = world.create()
    vault.publish(REFS, [world.pack("a")])
    seen = vault.seen
    put_own_key(world, identity(7))
    for offered in ("open sesame", None):
        with pytest.raises(Tampered) as error:
            world.open(offered, identity(7), seen=lambda host_id: seen)
        assert error.value.code == "host-unproven"
    for epoch in (2, 7):
        put_own_key(world, identity(7), epoch=epoch, generation=2000 + epoch)
        with pytest.raises(Tampered) as error:
            world.open(None, identity(7), seen=lambda host_id: seen)
        assert error.value.code == "host-unproven"
    with pytest.raises((Tampered, WrongKey)):
        vault.refresh()


def test_a_host_that_goes_back_to_an_earlier_key_is_refused(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    vault.rekey(passphrases={"p": "open sesame"}, recipients=[])
    put_own_key(world, identity(7), epoch=1)
    with pytest.raises(Tampered) as error:
        world.open(None, identity(7), seen=lambda host_id: vault.seen)
    assert error.value.code == "host-rolled-back"


@pytest.mark.parametrize(("compacted", "later", "is_shown"), [(False, 40, True), (True, 10, True), (True, 40, False)])
def test_a_new_master_key_is_taken_from_who_shows_that_he_knew_the_old_one(
    world: World, compacted: bool, later: int, is_shown: bool
) -> None:
    vault = world.create()
    vault.publish(REFS, [world.pack("a")])
    seen = vault.seen
    keep: tuple[str, ...] | None = () if compacted else None
    packs = [world.pack("b")] if compacted else []
    vault.rekey(passphrases={"p": "new"}, recipients=[], new_packs=packs, keep=keep, alone=compacted)
    for _ in range(later):
        vault.publish(REFS)
    if is_shown:
        assert world.open("new", seen=lambda host_id: seen).head == vault.head
        return
    with pytest.raises(Tampered) as error:
        world.open("new", seen=lambda host_id: seen)
    assert error.value.code == "host-unproven" and "ask them" in str(error.value)


def test_who_made_a_host_seen_for_the_first_time_must_be_known(world: World) -> None:
    asked: list[bytes | None] = []

    def opened(passphrase: str | None, *known: bytes) -> Vault:
        def vouches(key: bytes | None) -> bool:
            asked.append(key)
            return key in known

        passphrases = None if passphrase is None else lambda: [passphrase]
        offer = Unlock((identity(7),), passphrases, vouches)
        return Vault.open(world.host(), world.means(), offer)

    vault = world.create(identity=identity(3))
    vault.publish(REFS)
    assert opened("open sesame").head == vault.head and asked == []  # the passphrase shows it
    vault.add_recipient(Recipient("you", identity(7).key))
    assert opened(None, identity(3).key).head == vault.head  # the signature does
    assert opened("open sesame").head == vault.head and asked[-1] == identity(3).key  # the passphrase does
    for passphrase in (None, "another"):
        with pytest.raises(Tampered) as error:
            opened(passphrase)
        assert error.value.code == "host-unproven" and "vex trust add" in str(error.value)
    put_own_key(world, identity(7))
    for passphrase in (None, "open sesame"):
        with pytest.raises(Tampered) as error:
            opened(passphrase, identity(3).key)
        assert error.value.code == "host-unproven" and asked[-1] is None


def test_what_a_machine_remembers_comes_back_and_an_older_memory_too(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    seen = vault.seen
    assert Seen.from_json(seen.to_json()) == seen and (seen.epoch, len(seen.key)) == (1, 64)
    older = {name: value for name, value in seen.to_json().items() if name not in ("epoch", "key")}
    assert world.open(seen=lambda host_id: Seen.from_json(older)).head == vault.head
    for wrong in ({**seen.to_json(), "more": 1}, {**older, "epoch": 1}, {**seen.to_json(), "key": "zz"}, None):
        with pytest.raises(InvalidData):
            Seen.from_json(wrong)


def test_a_host_exchanged_for_another_is_refused(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    world.place.tip = None
    world.create().publish(REFS)
    with pytest.raises(Tampered) as error:
        vault.refresh()
    assert error.value.code == "host-tampered"


# -- races and lost answers ----------------------------------------------------------------------------------------


class Hooked(MemoryHost):
    """A host where something happens just before or after a publish, or instead of it."""

    def __init__(self, world: World, **hooks: Callable[[], object]) -> None:
        super().__init__("memory:test", world.place)
        self.before = hooks.get("before")
        self.after = hooks.get("after")
        self.instead = hooks.get("instead")
        self.fetched: list[str] = []
        self.requests = 0
        self.attempts = 0

    def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        self.fetched += paths
        self.requests += 1
        yield from super().fetch(tip, paths)

    def publish(
        self,
        expected: Tip | None,
        add: Mapping[str, Path | bytes],
        remove: Collection[str] = (),
        *,
        alone: bool = False,
    ) -> Tip:
        self.attempts += 1
        hooks = self.before, self.instead, self.after
        self.before = self.instead = self.after = None  # once
        for hook in hooks[:2]:
            if hook is not None:
                hook()
        tip = super().publish(expected, add, remove, alone=alone)
        if hooks[2] is not None:
            hooks[2]()
        return tip


def lose() -> None:
    raise OutcomeUnknown("the connection ended", code="host-no-answer")


def test_who_loses_the_race_changes_nothing_and_may_try_again(world: World) -> None:
    world.create().publish(REFS, [world.pack("a")])
    one, other = world.open(), world.open()
    one.publish({**REFS, "heads/one": CommitId(b"\3" * 32)}, [world.pack("b")])
    before = world.place.tip
    pack = world.pack("c")
    with pytest.raises(HostMoved) as error:
        other.publish({**REFS, "heads/other": CommitId(b"\4" * 32)}, [pack])
    assert error.value.code == "host-moved" and world.place.tip is before
    assert other.refresh() and not other.refresh() and other.head == one.head
    other.publish({**other.head.refs, "heads/other": CommitId(b"\4" * 32)}, [pack])
    assert one.refresh() and set(one.head.refs) == {"heads/main", "heads/one", "heads/other"}
    assert len(contents(one, world.folder / "in")) == 3


def test_of_two_who_make_a_host_at_once_one_is_told_that_it_exists(world: World) -> None:
    one, other = world.create(), world.create()
    one.publish(REFS)
    with pytest.raises(HostMoved):
        other.publish(REFS)
    with pytest.raises(StateError) as error:
        other.refresh()
    assert error.value.code == "repository-exists"


def test_many_writers_at_once_lose_nothing(world: World) -> None:
    world.create().publish(REFS)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            vault = world.open()
            pack = write_pack(world.folder / f"packs{number}", f"p{number}", 500)
            while True:
                try:
                    name = f"heads/w{number}"
                    vault.publish({**vault.head.refs, name: CommitId(bytes([number]) * 32)}, [pack])
                    return
                except HostMoved:
                    vault.refresh()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    vault = world.open()
    assert len(vault.head.refs) == 9 and len(vault.head.packs) == 8 and vault.head.generation == 9
    assert vault.check(read_data=True) == []


def test_a_lost_answer_is_recognised_as_success(world: World) -> None:
    world.create().publish(REFS)
    host = Hooked(world, after=lose)
    vault = Vault.open(host, world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    head = vault.publish({}, [world.pack("a")])
    assert world.place.commits == 2 and host.attempts == 1
    assert world.open().head == vault.head == head
    vault.publish(REFS)
    assert world.open().head.generation == 3


def test_the_first_publish_whose_answer_is_lost_is_recognised_too(world: World) -> None:
    vault = Vault.create(Hooked(world, after=lose), world.means(), passphrase="open sesame")
    vault.publish(REFS)
    assert world.place.commits == 1 and world.open().head == vault.head


def test_what_did_not_arrive_is_sent_again(world: World) -> None:
    world.create().publish(REFS)
    host = Hooked(world, instead=lose)
    vault = Vault.open(host, world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    vault.publish({}, [world.pack("a")])
    assert host.attempts == 2 and world.place.commits == 2 and world.open().head == vault.head


def test_a_lost_answer_is_recognised_though_another_wrote_since(world: World) -> None:
    world.create().publish(REFS)

    def after() -> None:
        world.open().publish({"heads/later": CommitId(b"\5" * 32)})
        lose()

    vault = Vault.open(Hooked(world, after=after), world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    head = vault.publish({})
    assert head.generation == 2 and vault.head.generation == 3 and vault.head.previous[0] == head.id
    assert vault.head == world.open().head
    vault.publish(REFS)


def test_a_lost_answer_of_a_write_that_lost_the_race_is_no_success(world: World) -> None:
    world.create().publish(REFS)

    def instead() -> None:
        world.open().publish({"heads/other": CommitId(b"\5" * 32)})
        lose()

    vault = Vault.open(Hooked(world, instead=instead), world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    with pytest.raises(HostMoved):
        vault.publish({})
    assert world.open().head.refs == {"heads/other": CommitId(b"\5" * 32)}


def test_an_answer_that_never_comes_is_told_as_such(world: World) -> None:
    class Deaf(MemoryHost):
        def publish(self, *arguments: object, **more: object) -> Tip:
            raise OutcomeUnknown("the connection ended", code="host-no-answer")

    world.create().publish(REFS)
    vault = Vault.open(Deaf("memory:test", world.place), world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    with pytest.raises(OutcomeUnknown):
        vault.publish({})
    assert vault.head.generation == 1


def test_what_cannot_be_looked_at_after_a_lost_answer_stays_in_doubt(world: World) -> None:
    class Gone(Hooked):
        def read_tip(self) -> Tip | None:
            if self.attempts:
                raise HostError("no route", code="host-unreachable")
            return super().read_tip()

    world.create().publish(REFS)
    vault = Vault.open(Gone(world, after=lose), world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    with pytest.raises(OutcomeUnknown) as error:
        vault.publish({})
    assert isinstance(error.value.__cause__, HostError) and world.open().head.generation == 2


def test_files_that_no_head_lists_may_come_meanwhile(world: World) -> None:
    world.create().publish(REFS)

    def before() -> None:
        world.host().publish(world.place.tip, {"README.md": b"hello"})

    host = Hooked(world, before=before)
    vault = Vault.open(host, world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    vault.publish({})
    assert host.attempts == 2 and world.open().head == vault.head
    assert world.place.tip is not None and "README.md" in world.place.tip.files


# -- large pushes --------------------------------------------------------------------------------------------------


def test_a_large_push_goes_ahead_in_several_commits(world: World) -> None:
    packs = [world.pack("a", 100_000), world.pack("b", 50_000)]
    vault = world.create(part_bytes=10_000, commit_bytes=40_000)
    seen: list[tuple[int, set[str]]] = []

    class Watching(MemoryHost):
        def publish(self, *arguments: Any, **more: Any) -> Tip:
            tip = super().publish(*arguments, **more)
            seen.append((world.open().head.generation, set(arguments[1])))
            assert sum(file.size or 0 for path, file in tip.files.items() if path in arguments[1]) < 60_000
            return tip

    vault.host.__class__ = Watching
    vault.publish(REFS, packs)
    # An empty head first: a tree of parts alone would be nobody's.
    assert [generation for generation, _ in seen] == [1] * (len(seen) - 1) + [2] and len(seen) >= 5
    assert seen[0][1] == {"vexrepo", "head"}
    assert all(all(path.startswith("packs/") for path in added) for _, added in seen[1:-1])
    other = world.open()
    assert contents(other, world.folder / "in") == [pack.read_bytes() for pack in packs]
    assert not other.leftovers() and len(other.head.packs[0].parts) == 11
    assert not list((world.folder / "tmp").iterdir())


def test_an_interrupted_push_leaves_leftovers_that_a_compaction_drops(world: World) -> None:
    world.create().publish(REFS, [world.pack("small")])
    small = {"part_bytes": 10_000, "commit_bytes": 25_000}
    host = Hooked(world)

    def stop() -> None:
        host.instead = stop2

    def stop2() -> None:
        raise HostError("no route", code="host-unreachable")

    host.before = stop
    vault = Vault.open(host, world.means(**small), Unlock(passphrases=lambda: ["open sesame"]))
    pack = world.pack("a", 100_000)
    with pytest.raises(HostError):
        vault.publish({}, [pack])
    other = world.open()
    assert other.head.generation == 1 and len(other.leftovers()) == 2 and other.check(read_data=True) == []

    # The same process goes on where it was; nothing that arrived is sent again.
    vault.publish({}, [pack])
    sent = [part.path for part in vault.head.packs[1].parts]
    assert sent[:2] == sorted(sent[:2], key=sent.index) and set(other.leftovers()) == set(sent[:2])
    assert contents(world.open(), world.folder / "in")[1] == pack.read_bytes()


def test_what_was_sent_ahead_is_used_after_a_lost_race(world: World) -> None:
    world.create().publish(REFS)
    host = Hooked(world)
    vault = Vault.open(
        host, world.means(part_bytes=10_000, commit_bytes=25_000), Unlock(passphrases=lambda: ["open sesame"])
    )
    pack = world.pack("a", 60_000)
    count = 0

    def before() -> None:
        nonlocal count
        count += 1
        host.before = before
        if count == 3:  # the one that changes the head
            host.before = None
            world.open().publish({"heads/other": CommitId(b"\5" * 32)})

    host.before = before
    with pytest.raises(HostMoved):
        vault.publish({}, [pack])
    assert len(world.open().leftovers()) == 4
    vault.refresh()
    attempts = host.attempts
    vault.publish({}, [pack])
    assert host.attempts == attempts + 1 and not world.open().leftovers()
    assert contents(world.open(), world.folder / "in") == [pack.read_bytes()]


def test_lost_answers_of_commits_sent_ahead_are_recognised(world: World) -> None:
    world.create().publish(REFS)
    host = Hooked(world, after=lose)
    vault = Vault.open(
        host, world.means(part_bytes=10_000, commit_bytes=25_000), Unlock(passphrases=lambda: ["open sesame"])
    )
    vault.publish({}, [world.pack("a", 60_000)])
    assert not world.open().leftovers() and world.open().check(read_data=True) == []


def test_parts_and_commits_stay_below_what_a_host_takes(world: World) -> None:
    class Small(MemoryHost):
        limits = Limits(file_bytes=20_000, push_bytes=50_000)

        def publish(self, expected: Tip | None, add: Mapping[str, Any], *more: Any, **options: Any) -> Tip:
            tip = super().publish(expected, add, *more, **options)
            sizes = [tip.files[path].size or 0 for path in add]
            assert max(sizes) <= 20_000 and sum(sizes) <= 52_000
            return tip

    vault = Vault.create(Small("memory:test", world.place), world.means(), passphrase="open sesame")
    pack = world.pack("a", 200_000)
    vault.publish(REFS, [pack])
    assert contents(world.open(), world.folder / "in") == [pack.read_bytes()]


def test_a_part_has_never_more_than_readers_take(world: World) -> None:
    vault = world.create(part_bytes=1 << 30)
    vault.publish(REFS, [world.pack("a", (1 << 24) + 1000)])
    assert world.open().head.packs[0].parts[0].size == 1 << 24


def test_a_pack_that_is_there_is_not_sent_again(world: World) -> None:
    vault = world.create()
    pack = world.pack("a")
    vault.publish(REFS, [pack])
    before = dict(world.place.tip.files) if world.place.tip else {}
    vault.publish({}, [pack, pack])
    assert world.place.tip is not None
    assert {path for path in world.place.tip.files if path.startswith("packs/")} == {
        path for path in before if path.startswith("packs/")
    }
    assert len(vault.head.packs) == 1


# -- compaction and keys -------------------------------------------------------------------------------------------


def test_a_compaction_leaves_only_what_is_needed(world: World) -> None:
    vault = world.create()
    vault.publish(REFS, [world.pack("a"), world.pack("b")])
    world.host().publish(world.place.tip, {"README.md": b"hello", "packs/00/" + "0" * 32: b"left over"})
    vault.refresh()
    keep, joined = vault.head.packs[0], world.pack("joined", 3000)
    vault.publish(REFS, [joined], keep=[keep.digest], alone=True)
    assert world.place.tip is not None
    parts = {part.path for pack in vault.head.packs for part in pack.parts}
    assert set(world.place.tip.files) == {"vexrepo", "head", "README.md", *parts} and len(parts) == 2
    assert len(world.place.files) == 5  # the memory host forgets the history as Git would
    assert contents(world.open(seen=lambda host_id: vault.seen), world.folder / "in")[1] == joined.read_bytes()


def test_rekeying_shuts_out_and_keeps_what_is_there_readable(world: World) -> None:
    vault = world.create()
    first = world.pack("a")
    vault.publish(REFS, [first])
    vault.add_recipient(Recipient("left", identity(1).key))
    vault.rekey(passphrases={"passphrase": "new words"}, recipients=[Recipient("stays", identity(2).key)])
    for passphrase, who in (("open sesame", ()), (None, (identity(1),))):
        with pytest.raises(WrongKey):
            world.open(passphrase, *who)
    found = world.open(None, identity(2))
    assert found.header.epoch == 2 and list(found.head.keys) == [1]
    second = world.pack("b")
    found.publish(REFS, [second])
    assert contents(world.open("new words"), world.folder / "in") == [first.read_bytes(), second.read_bytes()]


def test_rekeying_with_a_compaction_leaves_no_earlier_key(world: World) -> None:
    vault = world.create()
    vault.publish(REFS, [world.pack("a")])
    old = vault.keys.masters[1]
    vault.rekey(
        passphrases={"passphrase": "new words"}, recipients=(), new_packs=[world.pack("b")], keep=(), alone=True
    )
    found = world.open("new words")
    assert not found.head.keys and list(found.keys.masters) == [2] and old != found.keys.masters[2]
    assert len(contents(found, world.folder / "in")) == 1


def test_who_is_rekeyed_by_another_is_asked_for_the_new_passphrase(world: World) -> None:
    world.create().publish(REFS)
    words = iter(["open sesame", "new words"])
    one = Vault.open(world.host(), world.means(), Unlock(passphrases=lambda: [next(words)]))
    world.open().rekey(passphrases={"passphrase": "new words"}, recipients=())
    assert one.refresh() and one.header.epoch == 2
    one.publish({})
    assert world.open("new words").head == one.head


def test_a_lost_answer_of_rekeying_is_recognised(world: World) -> None:
    world.create().publish(REFS)
    vault = Vault.open(Hooked(world, after=lose), world.means(), Unlock(passphrases=lambda: ["open sesame"]))
    vault.rekey(passphrases={"passphrase": "new words"}, recipients=())
    assert world.open("new words").head == vault.head and world.place.commits == 2


def test_slots_come_change_and_go(world: World) -> None:
    vault = world.create()
    vault.publish(REFS, [world.pack("a")])
    laptop = vault.add_recipient(Recipient("laptop", identity(1).key))
    with pytest.raises(StateError) as twice:
        vault.add_recipient(Recipient("again", identity(1).key))
    assert twice.value.code == "recipient-exists"
    with pytest.raises(InvalidData) as weak:
        vault.add_recipient(Recipient("nobody", bytes(32)))
    assert weak.value.code == "weak-key"
    backup = vault.add_passphrase("on paper", "backup")
    assert [(slot.kind, slot.name) for slot in world.open("on paper").slots] == [
        ("passphrase", "passphrase"),
        ("x25519", "laptop"),
        ("passphrase", "backup"),
    ]
    changed = vault.change_passphrase(vault.slots[0].id, "other words")
    assert changed.name == "passphrase" and changed.id not in (laptop.id, backup.id)
    with pytest.raises(WrongKey):
        world.open("open sesame")
    assert world.open("other words").opened_by == changed
    vault.remove_slot(backup.id)
    vault.remove_slot(changed.id)
    with pytest.raises(StateError) as last:
        vault.remove_slot(laptop.id)
    assert last.value.code == "last-slot"
    for attempt in (
        lambda: vault.remove_slot("0" * 16),
        lambda: vault.change_passphrase("0" * 16, "x"),
        lambda: vault.change_passphrase(laptop.id, "x"),
    ):
        with pytest.raises(UsageError) as unknown:
            attempt()
        assert unknown.value.code == "unknown-slot"
    assert world.open(None, identity(1)).head == vault.head and vault.head.generation == 6
    assert vault.head.refs == REFS and len(contents(vault, world.folder / "in")) == 1


def test_a_header_has_only_so_many_passphrases(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    for number in range(15):
        vault.add_passphrase("x", f"number {number}")
    with pytest.raises(UsageError) as error:
        vault.add_passphrase("x", "one more")
    assert error.value.code == "limit-exceeded" and len(world.open("x").slots) == 16


def test_passphrases_of_yesterdays_cost_are_told(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    assert vault.outdated_passphrases == []
    dearer = Vault.open(
        world.host(),
        Means(lambda: 0, world.folder / "tmp", cost=Cost(128, 1, 1)),
        Unlock(passphrases=lambda: ["open sesame"]),
    )
    (slot,) = dearer.outdated_passphrases
    dearer.change_passphrase(slot.id, "open sesame")
    assert dearer.outdated_passphrases == [] and world.open().slots[0].cost == Cost(128, 1, 1)


def test_an_older_header_brings_no_removed_slot_back(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    assert world.place.tip is not None
    before = world.place.tip.files["vexrepo"]
    slot = vault.add_passphrase("another", "b")
    with_both = world.place.tip.files["vexrepo"]
    vault.remove_slot(slot.id)
    for header, passphrase in ((with_both, "another"), (with_both, "open sesame"), (before, "open sesame")):
        files = {**world.place.tip.files, "vexrepo": header}
        world.place.tip = Tip("x", files)
        if header is before and vault.header.encode() == world.place.files[before.id]:
            continue  # the very same header again
        with pytest.raises(Tampered) as error:
            world.open(passphrase)
        assert error.value.code == "host-tampered"


# -- damage --------------------------------------------------------------------------------------------------------


def test_check_tells_all_that_is_wrong_and_where(world: World) -> None:
    vault = world.create(part_bytes=4000)
    packs = [world.pack(name, 10_000) for name in "abcd"]
    vault.publish(REFS, packs)
    a, b, c, _ = (pack.parts for pack in vault.head.packs)
    assert world.place.tip is not None
    files = dict(world.place.tip.files)
    del files[a[0].path]
    cut = world.place.files[files[b[1].path].id][:-1]
    files[b[1].path] = world.place.put(cut)
    flipped = bytearray(world.place.files[files[c[0].path].id])
    flipped[2000] ^= 1
    files[c[0].path] = world.place.put(bytes(flipped))
    world.place.tip = Tip("x", files)
    with pytest.raises(Tampered):
        world.open()
    broken = world.open(with_damage=True)
    assert [(each.code, each.path) for each in broken.check()] == [
        ("host-file-missing", a[0].path),
        ("host-tampered", b[1].path),
    ]
    whole: list[bytes] = []
    problems = broken.check(read_data=True, on_pack=lambda pack, path: whole.append(path.read_bytes()))
    assert {each.path for each in problems} == {a[0].path, b[1].path, c[0].path}
    assert whole == [packs[3].read_bytes()]
    assert not list((world.folder / "tmp").iterdir())


def test_check_tells_a_part_that_the_host_lists_and_does_not_give(world: World) -> None:
    vault = world.create()
    vault.publish(REFS, [world.pack("a"), world.pack("b")])
    assert world.place.tip is not None
    lost = vault.head.packs[0].parts[0].path
    del world.place.files[world.place.tip.files[lost].id]
    assert vault.check() == []
    assert [(each.code, each.path) for each in vault.check(read_data=True)] == [("host-file-missing", lost)]
    with pytest.raises(HostError) as error:
        contents(vault, world.folder / "in")
    assert error.value.code == "host-file-missing"
    assert not list((world.folder / "in").glob("*.tmp"))


def test_a_host_that_gives_what_was_not_asked_for_is_refused(world: World) -> None:
    class Generous(MemoryHost):
        def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
            yield from super().fetch(tip, paths)
            if not any(path == "head" for path in paths):
                yield "packs/00/" + "0" * 32, b"more"

    vault = world.create()
    vault.publish(REFS, [world.pack("a")])
    vault.host.__class__ = Generous
    with pytest.raises(HostError) as error:
        contents(vault, world.folder / "in")
    assert error.value.code == "host-answer"


def test_a_header_larger_than_allowed_is_not_even_asked_for(world: World) -> None:
    world.create().publish(REFS)
    assert world.place.tip is not None
    for path, code in (("vexrepo", "host-not-ours"), ("head", "host-tampered")):
        files = dict(world.place.tip.files)
        files[path] = HostFile(files[path].id, 1 << 30)
        host = Hooked(world)
        before, world.place.tip = world.place.tip, Tip("x", files)
        with pytest.raises(VexError) as error:
            Vault.open(host, world.means(), Unlock(passphrases=lambda: ["open sesame"]))
        assert error.value.code == code and host.fetched == []
        world.place.tip = before


def test_packs_come_in_any_order_of_their_parts(world: World) -> None:
    class Backwards(MemoryHost):
        def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
            yield from super().fetch(tip, list(paths)[::-1])

    vault = world.create(part_bytes=3000)
    packs = [world.pack("a", 10_000), world.pack("b", 2000)]
    vault.publish(REFS, packs)
    vault.host.__class__ = Backwards
    assert contents(vault, world.folder / "in") == [pack.read_bytes() for pack in packs]


def test_an_index_is_read_without_the_rest_of_its_pack(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from vexrepo.remotes.hosts import parts
    from vexrepo.storage.pack import PackReader

    packs = [world.pack("a", 40_000), world.pack("b", 2000), world.pack("c", 50_000)]
    for apart, part_bytes, requests in ((20_000, 9000, 1), (1 << 30, 9000, 1), (20_000, 80, 2), (20_000, 30, 6)):
        world.place = Place()
        monkeypatch.setattr(parts, "INDEX_APART", apart)
        world.create(part_bytes=part_bytes).publish(REFS, packs)
        host = Hooked(world)
        vault = Vault.open(host, world.means(), Unlock(passphrases=lambda: ["open sesame"]))
        host.requests = 0
        found = {pack.digest: index for pack, index in vault.read_indexes(vault.head.packs)}
        assert [found[pack.digest] for pack in vault.head.packs] == [PackReader(path).index for path in packs]
        assert host.requests == requests
        if apart == 20_000 and part_bytes == 9000:
            assert [pack.parts[-1].size for pack in vault.head.packs] == [64 + 88, 8 + 2000 + 64 + 88, 64 + 88]
        assert contents(vault, world.folder / "in") == [path.read_bytes() for path in packs]


def test_nothing_of_the_memory_is_at_the_host(world: World) -> None:
    vault = world.create(identity=identity(4))
    vault.publish({"heads/secret-branch": CommitId(b"\7" * 32)}, [world.pack("a", 3000)])
    vault.add_recipient(Recipient("a-colleague", identity(1).key))
    held = b"".join(world.place.files.values()) + repr(world.place.tip).encode()
    pack = (world.folder / "packs").glob("*.pack").__next__().read_bytes()
    needles = [b"secret-branch", b"a-colleague", b"\7" * 16, identity(1).key, identity(4).key, b"VEXPACK1"]
    needles += [identity(1).key.hex().encode(), identity(4).key.hex().encode(), b"\7".hex().encode() * 16]
    needles += [pack[at : at + 12] for at in range(0, len(pack) - 12, 97)]
    assert not [needle for needle in needles if needle in held]


def test_secrets_never_show(world: World) -> None:
    vault = world.create()
    vault.publish(REFS)
    vault.rekey(passphrases={"p": "new words"}, recipients=())
    shown = repr([vault.keys, vault.head, vault.header, vault.seen, vault.slots, vault._state])
    for master in vault.keys.masters.values():
        assert master.hex() not in shown and repr(master) not in shown
    assert "sesame" not in repr(Unlock([identity(1)], lambda: ["open sesame"])) and "\\x01\\x01" not in shown
