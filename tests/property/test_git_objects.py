"""Packs, trees and commits as Git has them: what we write git reads, what git writes we read."""

import hashlib
import random
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob, Tree
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile.test_git_host import Raw, pack
from tests.hosting.http_backend import git, make_bare
from vexrepo.errors import HostError, StorageFailure
from vexrepo.remotes.hosts.base import HostFile, Tip
from vexrepo.remotes.hosts.git_objects import (
    BLOB,
    GitObject,
    list_files,
    make_blob,
    make_commit,
    make_object,
    make_trees,
)
from vexrepo.remotes.hosts.git_pack_in import PackIn
from vexrepo.remotes.hosts.git_pack_out import PackOut
from vexrepo.remotes.hosts.git_received import BaseMissing, Received
from vexrepo.remotes.hosts.tips import decode_tip, encode_tip

NAMES = st.text(st.sampled_from("ab.-0é\udce9 "), min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
IDS = st.integers(0, 2**160 - 1).map(lambda number: f"{number:040x}")
FILES = st.builds(HostFile, IDS, st.none(), st.sampled_from([0o100644, 0o100755, 0o120000, 0o160000]))
SIZES = st.sampled_from([0, 1, 15, 16, 2047, 2048, 65_534, 65_535, 65_536, 131_070, 1_048_560, 1_048_561, 1_100_000])


@st.composite
def listings(draw: st.DrawFn) -> dict[str, HostFile]:
    """Return listings in which no file is where a folder is."""
    paths = draw(st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12))
    found: dict[str, HostFile] = {}
    for path in paths:
        parts = path.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if not above & found.keys() and not any(other.startswith(path + "/") for other in found):
            found[path] = draw(FILES)
    return found


@given(listings())
def test_a_listing_is_the_same_after_it_was_trees(files: dict[str, HostFile]) -> None:
    root, trees = make_trees(files, "here")
    contents = {id: tree.content for id, tree in trees.items() if isinstance(tree.content, bytes)}
    assert list_files(root, contents, "here") == files
    assert decode_tip(encode_tip(Tip(root, files))) == Tip(root, files)
    for id, content in contents.items():
        parsed = Tree.from_string(content)
        parsed.check()
        again = Tree()
        for name, mode, sha in parsed.items():
            again.add(name, mode, sha)
        assert again.id.decode() == id


def test_a_tip_whose_bytes_are_damaged_is_not_used() -> None:
    whole = encode_tip(Tip("1" * 40, {"head": HostFile("2" * 40, 5)}))
    for place in range(len(whole)):
        assert decode_tip(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]) is None
    assert decode_tip(b"") is None


def pieces(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield content cut anywhere."""
    place = 0
    while place < len(content):
        size = chance.choice([1, 2, 3, 20, 500, 65_515, 200_000])
        yield content[place : place + size]
        place += size


@settings(max_examples=25)
@given(st.lists(SIZES, min_size=1, max_size=6), st.integers(0, 2**32))
def test_a_pack_we_write_has_the_size_we_said_and_is_read_by_git_and_by_us(sizes: list[int], seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        objects = []
        for place, size in enumerate(sizes):
            content: bytes | Path = chance.randbytes(size)
            if place % 2:
                (Path(scratch) / str(place)).write_bytes(chance.randbytes(size))
                content = Path(scratch) / str(place)
            objects.append(make_blob(content))
        pack = PackOut(objects)
        sent: list[int] = []
        whole = b"".join(pack.chunks(sent.append))
        assert len(whole) == pack.size == sent[-1] and pack.sent_all
        done = subprocess.run(["git", "index-pack", "--stdin"], cwd=make_bare(Path(scratch) / "r.git"), input=whole,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = git("cat-file", "--batch-check", "--batch-all-objects", cwd=Path(scratch) / "r.git").splitlines()
        assert set(found) == {f"{each.id} blob {each.size}" for each in objects}
        got = [item.content for item in PackIn(pieces(whole, chance), "here", most_objects=len(objects))]
        assert [make_object(BLOB, content).id for content in got] == [each.id for each in objects]


def test_a_file_that_changes_while_it_is_sent_ends_the_pack_before_its_end(tmp_path: Path) -> None:
    path = tmp_path / "part"
    for change in (b"y" * 1000, b"x" * 999, b"x" * 1001, b""):
        path.write_bytes(b"x" * 1000)
        pack = PackOut([make_blob(path)])
        path.write_bytes(change)
        with pytest.raises(StorageFailure):
            list(pack.chunks(lambda done: None))
        assert not pack.sent_all


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose objects are stored as differences from each other, in chains."""
    work = tmp_path_factory.mktemp("history") / "work"
    git("init", "--quiet", "--initial-branch=main", str(work))
    lines = [hashlib.sha256(b"%d" % place).hexdigest() for place in range(400)]
    for turn in range(12):
        lines[turn * 30] = f"changed {turn}"
        (work / "text").write_text("\n".join(lines))
        for place in range(40):
            (work / f"file{place:03}").write_text(f"{place} {turn if place % 7 == turn % 7 else ''}")
        git("add", ".", cwd=work)
        git("commit", "--quiet", "-m", str(turn), cwd=work)
    git("repack", "-a", "-d", "-f", "--depth=50", "--quiet", cwd=work)
    return work


@pytest.mark.parametrize("options", [[], ["--delta-base-offset"]], ids=["by id", "by offset"])
def test_packs_of_git_with_chains_of_differences_are_read_whole(history: Path, options: list[str]) -> None:
    names = git("cat-file", "--batch-check", "--batch-all-objects", cwd=history).splitlines()
    ids = "\n".join(name.split()[0] for name in names)
    whole = packed(history, ids, *options)
    received = Received(pieces(whole, random.Random(1)), "here", {})
    try:
        for name in names:
            id, kind, size = name.split()
            content = received.blob(id) if kind == "blob" else received.others[id]
            assert len(content) == int(size)
            if kind == "blob":
                assert Blob.from_string(content).id.decode() == id
    finally:
        received.close()


def packed(cwd: Path, revisions: str, *options: str) -> bytes:
    return subprocess.run(
        ["git", "pack-objects", "--stdout", "-q", *options], cwd=cwd, input=revisions.encode(), capture_output=True,
        check=True,
    ).stdout  # fmt: skip


def test_a_thin_pack_is_read_with_the_folders_we_have_and_refused_without(history: Path) -> None:
    trees = {}
    for line in git("ls-tree", "-r", "-t", "main~1", cwd=history).splitlines():
        assert line.split()[1] == "blob"
    root = git("rev-parse", "main~1^{tree}", cwd=history)
    trees[root] = subprocess.run(["git", "cat-file", "tree", root], cwd=history, capture_output=True, check=True).stdout
    thin = packed(history, "main\n--not\nmain~1\n", "--revs", "--thin", "--filter=blob:none")
    received = Received(iter([thin]), "here", trees)
    assert git("rev-parse", "main^{tree}", cwd=history) in received.others
    received.close()
    with pytest.raises(BaseMissing):
        Received(iter([thin]), "here", {})


def test_differences_that_come_before_their_bases_are_made_whole() -> None:
    base, second = b"0123456789" * 10, b"0123456789" * 10 + b"!"
    delta = bytes([100, 101, 0x90, 100, 1]) + b"!"
    more = bytes([101, 102, 0x90, 101, 1]) + b"?"
    base_id, second_id = (bytes.fromhex(make_object(BLOB, each).id) for each in (base, second))
    whole = pack(
        (7, second_id, len(more), zlib.compress(more)),
        (7, base_id, len(delta), zlib.compress(delta)),
        (BLOB, b"", len(base), zlib.compress(base)),
    )
    received = Received(iter([whole]), "here", {})
    for content in (base, second, second + b"?"):
        assert received.blob(make_object(BLOB, content).id) == content
    received.close()


def test_a_pack_that_becomes_far_more_than_it_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexrepo.remotes.hosts.git_received._MOST_DISK", 1 << 20)
    base = bytes(60_000)
    base_id = bytes.fromhex(make_object(BLOB, base).id)
    items: list[Raw] = [(BLOB, b"", len(base), zlib.compress(base))]
    for place in range(100):
        delta = b"\xe0\xd4\x03" + b"\xe1\xd4\x03" + b"\xb0\x60\xea" + b"\x01" + bytes([place])
        items.append((7, base_id, len(delta), zlib.compress(delta)))
    with pytest.raises(HostError) as caught:
        Received(iter([pack(*items)]), "here", {})
    assert "far more than it is" in str(caught.value)


def test_impossible_paths_and_clashes_are_refused() -> None:
    file = HostFile("1" * 40)
    with pytest.raises(HostError) as caught:
        make_trees({"a": file, "a/b": file}, "here")
    assert caught.value.code == "host-not-ours"


def test_a_commit_tells_nothing_of_who_wrote_it_or_when() -> None:
    commit = make_commit("1" * 40, ["2" * 40])
    assert isinstance(commit, GitObject) and commit.content == (
        b"tree " + b"1" * 40 + b"\nparent " + b"2" * 40 + b"\nauthor vexrepo <vexrepo@localhost> 0 +0000\n"
        b"committer vexrepo <vexrepo@localhost> 0 +0000\n\nvexrepo\n"
    )
