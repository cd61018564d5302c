"""Law 6: any changed byte of a repository is noticed, and nothing wrong is ever read from it."""

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from vexrepo.errors import NoRepository, Tampered, VexError
from vexrepo.history.walk import iter_records
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.snapshot import Snapshot
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings, Trust
from vexrepo.storage import codec
from vexrepo.storage.files import Files
from vexrepo.storage.keys import KeyFolder

NOT_PROTECTED = {"config.toml", "lock"}  # edited by people; empty
Content = dict[str, list[tuple[bytes, dict[str, Any]]]]


def record(number: int, version: int) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "text": f"what the agent learned on day {number}, told for the {version}. time",
        "vector": [number / 8, version / 4, -1.5, 0.1 * number],
        "namespace": "notes" if number % 2 else None,
    }


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in lines))


class Sample:
    """A repository with deltas, two branches, a tag and signatures, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "memory.vmig.jsonl"
        identity = KeyFolder(folder / "keys", Files()).create("default")
        clock = iter(range(1_780_000_000_000_000, 1_790_000_000_000_000, 1_000_000))
        trust = Trust.of({identity.key: "default"})
        self.around = Surroundings(lambda: next(clock), "tester", identity, trust, folder / "state")
        self.stateless = Surroundings(lambda: next(clock), "tester", identity, trust)
        repository = Repository.init(folder, self.around, store=str(self.file))
        write_lines(self.file, [record(number, 1) for number in range(24)])
        repository.commit("one")
        shutil.copytree(folder / ".vex", folder / "older")
        write_lines(self.file, [record(number, 2 if number == 7 else 1) for number in range(24)])
        repository.commit("two")
        repository.create_tag("v2", "HEAD")
        repository.create_branch("trial", "HEAD~1", switch=True)
        write_lines(self.file, [record(number, 1) for number in range(25)])
        repository.commit("three")
        codecs = {entry.codec for name in repository.objects.packs for entry in repository.objects.reader(name)}
        assert codecs & codec.IS_DELTA
        self.content = self.read(repository)
        self.clean = repository.view()

    def read(self, repository: Repository) -> Content:
        """Return every record of every ref."""
        found: Content = {}
        for name, commit in repository.view().refs.items():
            root = repository.records_root(commit)
            assert root is not None
            found[name] = [(item.key, item.to_json()) for item in iter_records(repository.objects, root)]
        return found

    def problems(self) -> list[str]:
        """Return what is noticed about the repository as it is now; fail if something wrong can be read."""
        try:
            repository = Repository.open(self.folder / ".vex", self.around)
        except VexError as error:
            return [error.code]
        found = [code for code, _ in repository.check().problems]
        for name, commit in self.clean.refs.items():
            try:
                [verified] = repository.verify([commit])
                found += [item.verdict.value for item in verified.signatures if item.verdict.value != "good"]
                if verified.damage is not None:
                    raise verified.damage
                root = repository.records_root(commit)
                assert root is not None
                read = [(item.key, item.to_json()) for item in iter_records(repository.objects, root)]
                assert read == self.content[name], "something wrong was read"
            except VexError as error:
                found.append(error.code)
        try:
            if repository.view() != self.clean:
                found.append("another view")
        except VexError as error:
            found.append(error.code)
        return found

    def protected(self) -> list[Path]:
        folder = self.folder / ".vex"
        return sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and path.name not in NOT_PROTECTED and path.parent.name != "cache"
        )


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("tamper"))


@pytest.fixture
def intact(sample: Sample) -> Iterator[Sample]:
    """The sample; what a test does to it is taken back."""
    assert sample.problems() == []
    kept = sample.folder / "kept"
    shutil.copytree(sample.folder / ".vex", kept)
    shutil.copytree(sample.folder / "state", sample.folder / "kept-state")
    yield sample
    shutil.rmtree(sample.folder / ".vex")
    shutil.rmtree(sample.folder / "state")
    kept.rename(sample.folder / ".vex")
    (sample.folder / "kept-state").rename(sample.folder / "state")


def flips(path: Path, raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield (place, bit) to try: every byte of small files, of packs all structure and every fourth byte between."""
    if path.suffix != ".pack":
        yield from ((at, at % 8) for at in range(len(raw)))
        yield from ((at, bit) for at in range(0, len(raw), 97) for bit in range(8))
        return
    index_at = int.from_bytes(raw[-88:-80], "little")
    starts = [int.from_bytes(raw[at + 32 : at + 40], "little") for at in range(index_at, len(raw) - 88, 64)]
    places = {*range(8), *range(8, index_at, 4), *range(len(raw) - 88, len(raw), 2)}
    places |= {start + step for start in starts for step in range(3)}
    places |= {at + step for at in range(index_at, len(raw) - 88, 64) for step in (0, 1, 31, *range(32, 64, 2))}
    yield from ((at, at % 8) for at in sorted(places))
    whole = (0, 9, index_at + 40, index_at + 59, len(raw) - 88, len(raw) - 1)
    yield from ((at, bit) for at in whole for bit in range(8))


@pytest.mark.parametrize("part", range(6))
def test_a_flipped_bit_in_any_protected_file_is_noticed(intact: Sample, part: int) -> None:
    tried = 0
    for path in intact.protected()[part::6]:
        raw = path.read_bytes()
        for at, bit in flips(path, raw):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            path.write_bytes(changed)
            assert intact.problems(), f"{path.name}: bit {bit} of byte {at} of {len(raw)} was not noticed"
            tried += 1
        path.write_bytes(raw)
    assert tried > 60


def test_a_truncated_or_extended_file_is_noticed(intact: Sample) -> None:
    for path in intact.protected():
        raw = path.read_bytes()
        for size in sorted({0, 1, 8, len(raw) // 2, len(raw) - 1, *range(0, len(raw), 211)} - {len(raw)}):
            path.write_bytes(raw[:size])
            assert intact.problems(), f"{path.name} cut to {size} of {len(raw)} bytes was not noticed"
        for more in (b"\0", b"\n", raw):
            path.write_bytes(raw + more)
            assert intact.problems(), f"{path.name} with {len(more)} more bytes was not noticed"
        path.write_bytes(raw)


def test_a_missing_file_is_noticed(intact: Sample) -> None:
    for path in intact.protected():
        raw = path.read_bytes()
        path.unlink()
        assert intact.problems(), f"the loss of {path.name} was not noticed"
        path.write_bytes(raw)


def test_two_files_that_changed_places_are_noticed(intact: Sample) -> None:
    for folder in ("packs", "operations"):
        files = sorted((intact.folder / ".vex" / folder).iterdir())
        for one, other in pairwise(files):
            first, second = one.read_bytes(), other.read_bytes()
            one.write_bytes(second)
            other.write_bytes(first)
            assert intact.problems(), f"{one.name} and {other.name} were exchanged unnoticed"
            one.write_bytes(first)
            other.write_bytes(second)


def test_a_copy_of_a_file_under_another_name_changes_nothing_that_is_read(intact: Sample) -> None:
    for path in [path for path in intact.protected() if path.parent.name in ("packs", "operations")]:
        name = path.name.replace("0000000", "0000009") if path.suffix else path.name[::-1]
        copy = path.with_name(name)
        shutil.copy(path, copy)
        # A copy of a whole pack holds the same objects: harmless, and noted as mentioned by no operation.
        assert intact.problems() == []
        copy.unlink()


def test_a_pack_under_the_name_of_another_is_noticed(intact: Sample) -> None:
    first, second = sorted((intact.folder / ".vex/packs").iterdir())[:2]
    shutil.copy(first, second)
    assert {"pack-corrupt", "object-missing"} & set(intact.problems())


def test_a_bad_signature_is_noticed_even_where_the_pack_is_consistent(intact: Sample) -> None:
    """Somebody writes a pack of their own: right checksums, another key's signature over another message."""
    repository = Repository.open(intact.folder / ".vex", intact.around)
    commit = repository.resolve("HEAD")
    assert intact.around.identity is not None
    forged = intact.around.identity.sign(b"another message")
    with repository.objects.writer() as writer:
        writer.put_signature(commit, forged.encode())
        writer.finish()
    assert "signature-bad" in {code for code, _ in repository.check().problems}
    assert "bad" in {item.verdict.value for item in repository.signatures(commit)}


def test_a_commit_that_lost_its_signature_is_noticed(tmp_path: Path, sample: Sample) -> None:
    shutil.copytree(sample.folder / ".vex", tmp_path / ".vex")
    repository = Repository.open(tmp_path / ".vex", sample.stateless)
    with repository.lock():
        commit = repository.commit_at(repository.resolve("HEAD"))
        with repository.objects.writer() as writer:
            identifier, payload = type(commit)(
                commit.snapshot, commit.parents, commit.author, commit.time_us, "unsigned", {}, {}
            ).encode()
            writer.put(ObjectType.COMMIT, identifier, payload)
            packs = writer.finish()
        repository.record(repository.view().with_commit(identifier), "forge", "", packs)
    assert [code for code, _ in repository.check().problems] == ["signature-missing"]


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "foreign"])
def test_a_damaged_cache_never_changes_a_result(intact: Sample, change: str) -> None:
    lines = [record(number, 3 if number in (3, 9) else 1) for number in range(25)]
    write_lines(intact.file, lines)
    (cache,) = (intact.folder / ".vex/cache").iterdir()
    raw = cache.read_bytes()
    damages: Callable[[int], bytes] = {
        "flip": lambda at: raw[:at] + bytes((raw[at] ^ 1 << at % 8,)) + raw[at + 1 :],
        "cut": lambda at: raw[:at],
        "empty": lambda at: b"",
        "foreign": lambda at: raw[: 16 + at % 8] + raw[-at:],
    }[change]
    for at in range(0, len(raw), 1 if change == "flip" else 37):
        cache.write_bytes(damages(at))
        repository = Repository.open(intact.folder / ".vex", intact.around)
        changes = repository.diff_with_store(repository.view().commit, repository.workspace())
        found = [(item.key, item.kind) for item in changes]
        assert found == [(b"notes\0\x01m3", "changed"), (b"notes\0\x01m9", "changed")]
        if change == "empty":
            break


def test_a_repository_that_was_rolled_back_as_a_whole_is_noticed(intact: Sample) -> None:
    shutil.rmtree(intact.folder / ".vex")
    shutil.copytree(intact.folder / "older", intact.folder / ".vex")
    with pytest.raises(Tampered) as caught:
        Repository.open(intact.folder / ".vex", intact.around)
    assert caught.value.code == "repository-rolled-back"
    accepted = Repository.open(intact.folder / ".vex", intact.around, accept_rollback=True)
    assert accepted.check().problems == []
    accepted.accept_rollback()
    assert Repository.open(intact.folder / ".vex", intact.around).view() == accepted.view()


def test_a_rollback_stays_noticed_after_more_work_was_done_on_the_old_state(intact: Sample) -> None:
    shutil.rmtree(intact.folder / ".vex")
    shutil.copytree(intact.folder / "older", intact.folder / ".vex")
    elsewhere = Repository.open(intact.folder / ".vex", intact.stateless)
    for number in range(8):
        elsewhere.create_tag(f"other{number}", "HEAD")
    with pytest.raises(Tampered) as caught:
        Repository.open(intact.folder / ".vex", intact.around)
    assert caught.value.code == "repository-rolled-back"


def test_an_older_pointer_alone_is_noticed_too(intact: Sample) -> None:
    shutil.copy(intact.folder / "older/operation", intact.folder / ".vex/operation")
    with pytest.raises(Tampered) as caught:
        Repository.open(intact.folder / ".vex", intact.around)
    assert caught.value.code == "repository-rolled-back"


def test_work_done_on_another_machine_is_no_rollback(intact: Sample) -> None:
    elsewhere = Repository.open(intact.folder / ".vex", intact.stateless)
    elsewhere.create_tag("other", "HEAD")
    elsewhere.undo()
    assert Repository.open(intact.folder / ".vex", intact.around).view() == elsewhere.view()


def test_a_damaged_pin_is_no_reason_to_refuse_the_repository(intact: Sample) -> None:
    (pin,) = (intact.folder / "state/pins").iterdir()
    for content in (b"", b"{}", b"null", b"[]", b'{"operation": 5, "sequence": "x"}', b"\xff"):
        pin.write_bytes(content)
        assert Repository.open(intact.folder / ".vex", intact.around).view() == intact.clean


def test_a_checkout_of_a_damaged_snapshot_leaves_the_store_as_it_was(intact: Sample) -> None:
    """Damage one object of each kind a checkout reads."""
    repository = Repository.open(intact.folder / ".vex", intact.around)
    commit = repository.resolve("v2")
    snapshot = Snapshot.decode(repository.objects.get(repository.commit_at(commit).snapshot, ObjectType.SNAPSHOT))
    write_lines(intact.file, [record(number, 1) for number in range(25)])
    before = intact.file.read_bytes()
    tried = set()
    for name in repository.objects.packs:
        path = intact.folder / ".vex/packs" / name
        raw = path.read_bytes()
        for entry in repository.objects.reader(name):
            at = entry.offset + entry.stored // 2
            path.write_bytes(raw[:at] + bytes((raw[at] ^ 0x10,)) + raw[at + 1 :])
            opened = Repository.open(intact.folder / ".vex", intact.around)
            refused = ""
            try:
                opened.checkout(commit, Address("jsonl", str(intact.file)), force=True)
            except VexError as error:
                refused = error.code
            if refused:
                tried.add(ObjectType(entry.type))
                assert (refused in ("object-corrupt", "object-missing"), intact.file.read_bytes()) == (True, before)
            intact.file.write_bytes(before)
        path.write_bytes(raw)
    assert tried >= {ObjectType.COMMIT, ObjectType.SNAPSHOT, ObjectType.LEAF, ObjectType.BODIES, ObjectType.VECTORS}
    assert snapshot.records.count == 24


def test_without_its_format_file_a_folder_is_no_repository(intact: Sample) -> None:
    (intact.folder / ".vex/format").unlink()
    with pytest.raises(NoRepository):
        Repository.open(intact.folder / ".vex", intact.around)
