"""What a host's tip is made of: the listing of its files as Git trees, and the commit on top.

Trees follow from the listing alone, so that a listing kept from before is worth as much as one just fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vexrepo.errors import HostError, StorageFailure
from vexrepo.remotes.hosts.base import HostFile
from vexrepo.storage.files import wrapped

BRANCH: Final = "refs/heads/main"
ABSENT: Final = "0" * 40  # how Git's protocol writes the id of a ref that is not there
COMMIT, TREE, BLOB = 1, 2, 3  # types as packs number them
NAMES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
MOST_FILES: Final = 500_000  # a few kilobytes of trees can list billions of files
MOST_LEVELS: Final = 128
MOST_BYTES: Final = 1 << 26  # of one file: a hostile host may claim any size

_FOLDER: Final = 0o040000
_TYPE: Final = 0o170000
_SUBMODULE: Final = 0o160000
_WHO: Final = b"vexrepo <vexrepo@localhost> 0 +0000"  # the time is always 0: no writer's clock is told


@dataclass(frozen=True, slots=True)
class GitObject:
    """An object to be sent: ``content`` in memory, or a file that must not change until it was sent."""

    kind: int
    id: str
    size: int
    content: bytes | Path


def object_hash(kind: int, size: int) -> hashlib._Hash:
    """Return the hash that gives an object's id when its content is added."""
    return hashlib.sha1(b"%s %d\0" % (NAMES[kind], size), usedforsecurity=False)


def make_object(kind: int, content: bytes) -> GitObject:
    """Return an object held in memory."""
    digest = object_hash(kind, len(content))
    digest.update(content)
    return GitObject(kind, digest.hexdigest(), len(content), content)


def make_blob(content: bytes | Path) -> GitObject:
    """Return the blob of a file's content; a file is read once for its id.  Raises: StorageFailure."""
    if isinstance(content, bytes):
        return make_object(BLOB, content)
    with wrapped("read", content):
        size = content.stat().st_size
    digest = object_hash(BLOB, size)
    for piece in pieces(content):
        digest.update(piece)
    return GitObject(BLOB, digest.hexdigest(), size, content)


def pieces(content: bytes | Path, size: int = 1 << 20) -> Iterator[memoryview]:
    """Yield a content in pieces of ``size`` bytes, the last one of less.  Raises: StorageFailure."""
    if isinstance(content, bytes):
        view = memoryview(content)
        for start in range(0, len(view), size):
            yield view[start : start + size]
        return
    with wrapped("read", content), content.open("rb") as file:
        while piece := file.read(size):
            yield memoryview(piece)


def changed(item: GitObject) -> StorageFailure:
    """Return the error of a file that is not what it was when its id was computed."""
    what = item.content if isinstance(item.content, Path) else "a file"
    return StorageFailure(
        f"{what} changed while it was being sent; nothing was published: run the command again", code="disk-error"
    )


def make_commit(root: str, parents: Sequence[str]) -> GitObject:
    """Return the commit of a tree: nothing in it tells who wrote it, or when."""
    lines = [b"tree " + root.encode(), *(b"parent " + each.encode() for each in parents)]
    lines += [b"author " + _WHO, b"committer " + _WHO, b"", b"vexrepo", b""]
    return make_object(COMMIT, b"\n".join(lines))


def root_of(commit: bytes, where: str) -> str:
    """Return the id of a commit's tree.  Raises: HostError (host-answer)."""
    first = commit.split(b"\n", 1)[0].split(b" ")
    if len(first) != 2 or first[0] != b"tree" or not is_id(first[1]):
        raise HostError(f"{where}: the commit at the tip has no tree", code="host-answer")
    return first[1].decode()


def is_id(text: bytes) -> bool:
    """Return whether these are the 40 lower-case hexadecimal digits of an object's id."""
    return len(text) == 40 and not text.strip(b"0123456789abcdef")


@dataclass(slots=True)
class _Folder:
    folders: dict[str, _Folder]
    files: dict[str, HostFile]


def make_trees(files: Mapping[str, HostFile], where: str) -> tuple[str, dict[str, GitObject]]:
    """Return the id of the root tree of a listing, and all its trees by id.

    Raises: HostError (host-not-ours) when a path needs a folder where another path is a file.
    """
    top = _Folder({}, {})
    for path, file in files.items():
        folder = top
        *above, name = path.split("/")
        for part in above:
            folder = folder.folders.setdefault(part, _Folder({}, {}))
        folder.files[name] = file
    trees: dict[str, GitObject] = {}
    return _make_tree(top, trees, where).id, trees


def _make_tree(folder: _Folder, trees: dict[str, GitObject], where: str) -> GitObject:
    if clash := folder.folders.keys() & folder.files.keys():
        raise HostError(
            f"{where}: {min(clash)!r} is a file where a folder of that name is needed; use an empty repository",
            code="host-not-ours",
        )
    entries = []
    for name, inner in folder.folders.items():
        entries.append((_encode(name), _FOLDER, _make_tree(inner, trees, where).id))
    for name, file in folder.files.items():
        entries.append((_encode(name), file.mode, file.id))
    # Git sorts a folder as if its name ended with a slash.
    entries.sort(key=lambda entry: entry[0] + b"/" if entry[1] == _FOLDER else entry[0])
    tree = make_object(TREE, b"".join(b"%o %s\0%s" % (mode, name, bytes.fromhex(id)) for name, mode, id in entries))
    trees[tree.id] = tree
    return tree


def list_files(root: str, trees: Mapping[str, bytes], where: str) -> dict[str, HostFile]:
    """Return the files of a tree by path.  ``trees``: contents of trees by id.

    Raises: KeyError for a tree that is not among them; HostError (host-answer).
    """
    files: dict[str, HostFile] = {}
    waiting = [("", root, 0)]
    while waiting:
        above, id, level = waiting.pop()
        if level > MOST_LEVELS:
            raise _unreadable(where, f"folders more than {MOST_LEVELS} deep")
        seen = set()
        for name, mode, child in _entries(trees[id], where):
            if name in seen:
                raise _unreadable(where, f"the name {name!r} twice in one folder")
            seen.add(name)
            if mode & _TYPE == _FOLDER:
                waiting.append((f"{above}{name}/", child, level + 1))
            else:
                files[above + name] = HostFile(child, mode=mode)
        if len(files) + len(waiting) > MOST_FILES:
            raise _unreadable(where, f"more than {MOST_FILES} files")
    return files


def _entries(tree: bytes, where: str) -> Iterable[tuple[str, int, str]]:
    place = 0
    while place < len(tree):
        end = tree.find(b"\0", place)
        mode, space, name = tree[place:end].partition(b" ")
        place = end + 21
        if end < 0 or not space or not name or b"/" in name or place > len(tree) or not 4 < len(mode) < 8:
            raise _unreadable(where, "a folder that is no Git tree")
        if mode.strip(b"01234567"):
            raise _unreadable(where, "a folder that is no Git tree")
        yield name.decode("utf-8", "surrogateescape"), int(mode, 8), tree[end + 1 : place].hex()


def is_blob(file: HostFile) -> bool:
    """Return whether a file of a listing has content at this host (a submodule has not)."""
    return file.mode & _TYPE != _SUBMODULE


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that are none in a Git tree.  Raises: ValueError."""
    for path in paths:
        if not all(part not in ("", ".", "..", ".git") and "\0" not in part for part in path.split("/")):
            raise ValueError(f"{path!r} cannot be the path of a file at a host")


def next_files(
    before: Mapping[str, HostFile], blobs: Mapping[str, GitObject], remove: Iterable[str]
) -> dict[str, HostFile]:
    """Return the listing after files are removed, and others added or replaced."""
    files = dict(before)
    for path in remove:
        files.pop(path, None)
    for path, blob in blobs.items():
        old = files.get(path, HostFile(blob.id))
        files[path] = replace(HostFile(blob.id, blob.size), mode=old.mode if old.mode & _TYPE == 0o100000 else 0o100644)
    return files


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _unreadable(where: str, what: str) -> HostError:
    return HostError(
        f"{where}: the files at the tip cannot be listed: {what}; this is no repository of ours", code="host-answer"
    )
