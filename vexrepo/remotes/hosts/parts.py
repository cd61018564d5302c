"""Packs in parts: a pack file sealed into the files a host keeps, and joined again from them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from blake3 import blake3

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.base import Host, Tip
from vexrepo.remotes.hosts.head import Pack, Part, part_path
from vexrepo.remotes.hosts.seal import HostTampered, SealKeys, Writable, open_stream, seal_stream, sealed_size
from vexrepo.storage.files import Files, wrapped
from vexrepo.storage.pack import PackReader, index_of

PART_BYTES = (1 << 24) - 8  # with the eight bytes of its size in front it needs no padding
INDEX_APART = 1 << 18  # past so many bytes of entries a pack's index is in parts of its own, to be read without them
Progress = Callable[[str, int, int | None], None]
_BLOCK = 1 << 22


def describe_pack(path: Path) -> Pack:
    """Return what a head says of a pack file, parts not included.  Raises: Tampered (pack-corrupt), StorageFailure."""
    objects = PackReader(path).count
    digest, size = _digest(path)
    return Pack(digest, size, objects, ())


def iter_sealed(
    keys: SealKeys,
    pack: Path,
    done: Sequence[Part],
    folder: Path,
    files: Files,
    *,
    part_bytes: int = PART_BYTES,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> Iterator[tuple[Part, Path]]:
    """Yield the parts of a pack after those already ``done``, each sealed in a scratch file of ``folder``."""
    index_at = PackReader(pack).index_at
    with wrapped("read", pack), open(pack, "rb", buffering=0) as source:
        at = source.seek(sum(part.size for part in done))
        end = pack.stat().st_size
        while at < end:
            before_index = index_at - at if index_at > INDEX_APART else 0
            size = min(end - at, part_bytes, before_index if before_index > 0 else part_bytes)
            name = entropy(16).hex()
            part = Part(name, size, sealed_size(size))
            path = folder / name
            with wrapped("write", path):
                files.step("create", path)
                with open(path, "xb") as target:
                    seal_stream(keys, part.path, source, size, target, entropy)
            at += size
            yield part, path


@dataclass
class _Joining:
    pack: Pack
    scratch: Path
    missing: int
    offsets: dict[str, int] = field(default_factory=dict)


def iter_joined(
    host: Host, tip: Tip, keys: SealKeys, packs: Sequence[Pack], folder: Path, files: Files, progress: Progress
) -> Iterator[tuple[Pack, Path]]:
    """Yield packs as plain files in ``folder``, each as soon as its parts are there and give its digest.

    One ``fetch`` gets all of them; memory holds one part.  Files are durable, and the caller's from then on.
    Raises: Tampered (host-tampered), HostError (host-file-missing, …), StorageFailure.
    """
    files.make_folder(folder)
    wanted: dict[str, tuple[_Joining, Part]] = {}
    for pack in packs:
        joining = _Joining(pack, folder / f"{pack.digest}.tmp", len(pack.parts))
        offset = 0
        for part in pack.parts:
            wanted[part.path] = joining, part
            joining.offsets[part.path] = offset
            offset += part.size
    total = sum(part.sealed for _, part in wanted.values())
    received = 0
    begun: set[Path] = set()
    try:
        for path, raw in host.fetch(tip, list(wanted)):
            if path not in wanted:
                raise _not_asked(host, path)
            joining, part = wanted.pop(path)
            new = joining.scratch not in begun
            begun.add(joining.scratch)
            _write_part(keys, joining, part, raw, files, new=new)
            received += part.sealed
            progress("receiving bytes", received, total)
            joining.missing -= 1
            if not joining.missing:
                yield joining.pack, _finish(joining, folder, files)
                begun.discard(joining.scratch)
        for path in wanted:
            raise HostError(f"{host.url} does not give the file {path}", code="host-file-missing")
    finally:
        for scratch in begun:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)


def iter_indexes(host: Host, tip: Tip, keys: SealKeys, packs: Sequence[Pack]) -> Iterator[tuple[Pack, bytes]]:
    """Yield the indexes of packs, read from the last parts of each; memory holds an index and a part a pack.

    One request gets all of them where an index is in one part.
    Raises: Tampered (host-tampered, pack-corrupt), HostError (host-file-missing, …).
    """
    ends = {pack.digest: b"" for pack in packs}
    left = {part.path: (pack, part) for pack in packs for part in pack.parts[-1:]}
    while left:
        asked, left = left, {}
        for path, raw in host.fetch(tip, list(asked)):
            if path not in asked:
                raise _not_asked(host, path)
            pack, part = asked.pop(path)
            target = BytesIO()
            open_part(keys, part, raw, target)
            end = ends[pack.digest] = target.getvalue() + ends[pack.digest]
            number = pack.parts.index(part)
            index = index_of(end, pack.size)
            if index is not None:
                yield pack, index
                ends[pack.digest] = b""
            elif number:
                left[pack.parts[number - 1].path] = pack, pack.parts[number - 1]
            else:
                raise HostTampered(path, "it is not the beginning of a pack")
        for path in asked:
            raise HostError(f"{host.url} does not give the file {path}", code="host-file-missing")


def _not_asked(host: Host, path: str) -> HostError:
    return HostError(f"{host.url} gave {path}, which was not asked for", code="host-answer")


def _write_part(keys: SealKeys, joining: _Joining, part: Part, raw: bytes, files: Files, *, new: bool) -> None:
    with wrapped("write", joining.scratch):
        files.step("create" if new else "write", joining.scratch)
        with open(joining.scratch, "w+b" if new else "r+b") as target:
            target.seek(joining.offsets[part.path])
            size = open_part(keys, part, raw, target)
    if size != part.size:
        raise HostTampered(part.path, f"it holds {size:,} bytes, expected {part.size:,}")


def open_part(keys: SealKeys, part: Part, raw: bytes, target: Writable) -> int:
    """Write the content of a part; return its size.  Raises: Tampered (host-tampered)."""
    if len(raw) != part.sealed:
        raise HostTampered(part.path, f"it has {len(raw):,} bytes, expected {part.sealed:,}")
    return open_stream(keys, part.path, BytesIO(raw), len(raw), target)


def _finish(joining: _Joining, folder: Path, files: Files) -> Path:
    pack, scratch = joining.pack, joining.scratch
    if _digest(scratch) != (pack.digest, pack.size):
        raise HostTampered(part_path(pack.parts[0].name), "the pack it is a part of is another than the head says")
    with wrapped("write", scratch), open(scratch, "r+b") as file:
        files.sync(file, scratch)
    target = folder / f"{pack.digest}.pack"
    files.replace(scratch, target)
    return target


def _digest(path: Path) -> tuple[str, int]:
    hasher, size = blake3(), 0
    with wrapped("read", path), open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            size += len(block)
    return hasher.hexdigest(), size
