"""The operation log: the single point at which anything becomes true.

An operation holds a whole view (head, refs, what is known of stores) and its parent, so that several refs move
at once or not at all, and undo is one more operation.  Order of writing: packs, then the operation, then the
pointer.  Format: objects/FORMAT.md, "Operations".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vexrepo.errors import InvalidData, StateError, Tampered
from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId, OperationId
from vexrepo.storage.files import Files, wrapped

_HORIZON = re.compile(r"horizon ([0-9]{1,18})\b")
BRANCHES = "heads/"
TAGS = "tags/"
REMOTES = "remotes/"


@dataclass(frozen=True, slots=True)
class View:
    """What is true after an operation.

    ``head`` is ``heads/NAME`` or the 64 digits of a commit (detached).  ``refs`` maps full names to commits:
    ``heads/NAME``, ``tags/NAME``, and ``remotes/REMOTE/NAME``, where a remote's branch was when last seen.
    ``stores`` maps a store's address to what was last seen there: ``commit`` and ``fingerprint``.
    """

    head: str
    refs: dict[str, CommitId] = field(default_factory=dict)
    stores: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def branch(self) -> str | None:
        """The name of the current branch, None when HEAD is detached."""
        return self.head[len(BRANCHES) :] if self.head.startswith(BRANCHES) else None

    @property
    def commit(self) -> CommitId | None:
        """The commit HEAD stands for, None on a branch without one."""
        if self.head.startswith(BRANCHES):
            return self.refs.get(self.head)
        return CommitId.parse(self.head)

    @property
    def own_refs(self) -> dict[str, CommitId]:
        """The branches and tags: what is decided here, not seen elsewhere."""
        return {name: commit for name, commit in self.refs.items() if not name.startswith(REMOTES)}

    def tracking(self, remote: str) -> dict[str, CommitId]:
        """Return where a remote's branches were when last seen, by name."""
        prefix = f"{REMOTES}{remote}/"
        return {name[len(prefix) :]: commit for name, commit in self.refs.items() if name.startswith(prefix)}

    def with_tracking(self, remote: str, branches: Mapping[str, CommitId]) -> View:
        """Return the view with another idea of where a remote's branches are."""
        prefix = f"{REMOTES}{remote}/"
        refs = {name: commit for name, commit in self.refs.items() if not name.startswith(prefix)}
        return replace(self, refs=refs | {prefix + name: commit for name, commit in branches.items()})

    def restored(self, earlier: View) -> View:
        """Return an earlier view to go back to.

        What stores and remotes hold is not changed by that, so what is known of them stays.
        """
        seen = {name: commit for name, commit in self.refs.items() if name.startswith(REMOTES)}
        return replace(earlier, refs=earlier.own_refs | seen, stores=self.stores)

    def with_ref(self, name: str, commit: CommitId | None) -> View:
        """Return the view with a ref set, or removed for None."""
        refs = {key: value for key, value in self.refs.items() if key != name}
        if commit is not None:
            refs[name] = commit
        return replace(self, refs=refs)

    def with_head(self, head: str) -> View:
        """Return the view with another head."""
        return replace(self, head=head)

    def with_new_head(self, head: str, commit: CommitId) -> View:
        """Return the view with another head that is at ``commit``; a branch that does not exist is made there.

        Raises: StateError (ref-exists) for a branch that is elsewhere.
        """
        if head.startswith(BRANCHES) and self.refs.get(head) not in (None, commit):
            name = head[len(BRANCHES) :]
            raise StateError(
                f"branch {name} moved meanwhile, to {self.refs[head].short}; run the command again", code="ref-exists"
            )
        view = self.with_ref(head, commit) if head.startswith(BRANCHES) else self
        return view.with_head(head)

    def with_commit(self, commit: CommitId) -> View:
        """Return the view with HEAD, or the branch it stands for, moved to a commit."""
        return self.with_ref(self.head, commit) if self.branch is not None else self.with_head(commit.hex())

    def with_store(self, address: str, seen: dict[str, Any] | None) -> View:
        """Return the view with what was last seen at a store set, or forgotten for None."""
        stores = {key: value for key, value in self.stores.items() if key != address}
        if seen is not None:
            stores[address] = seen
        return replace(self, stores=stores)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        refs = {name: commit.hex() for name, commit in self.refs.items()}
        return {"head": self.head, "refs": refs, "stores": self.stores}


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the log.  ``undoes`` is set on an undo: the operation it took back."""

    repository: str
    sequence: int
    parent: OperationId | None
    time_us: int
    command: str
    detail: str
    view: View
    packs: list[str] = field(default_factory=list)
    undoes: OperationId | None = None

    def encode(self) -> tuple[OperationId, bytes]:
        """Return the operation's id and payload."""
        payload = canonical.encode(
            {
                "repository": self.repository,
                "sequence": self.sequence,
                "parent": self.parent.hex() if self.parent else None,
                "time_us": self.time_us,
                "command": self.command,
                "detail": self.detail,
                "view": self.view.to_json(),
                "packs": list(self.packs),
                "undoes": self.undoes.hex() if self.undoes else None,
                "version": 1,
            }
        )
        return OperationId.of(payload), payload

    @classmethod
    def decode(cls, payload: bytes) -> Operation:
        """Return the operation of a payload.  Raises: InvalidData."""
        value = canonical.decode(payload)
        match value:
            case {
                "version": 1,
                "repository": str(repository),
                "sequence": int(sequence),
                "parent": None | str() as parent,
                "time_us": int(time_us),
                "command": str(command),
                "detail": str(detail),
                "view": {"head": str(head), "refs": dict(refs), "stores": dict(stores)},
                "packs": list(packs),
                "undoes": None | str() as undoes,
            }:
                return cls(
                    repository,
                    sequence,
                    OperationId.parse(parent) if parent else None,
                    time_us,
                    command,
                    detail,
                    View(head, {name: CommitId.parse(commit) for name, commit in refs.items()}, stores),
                    packs,
                    OperationId.parse(undoes) if undoes else None,
                )
        raise InvalidData("not an operation", code="operation-corrupt")


def gc_horizon(operation: Operation) -> int | None:
    """Return the oldest operation (its sequence) that a gc left whole; None for an operation that is no gc."""
    match = _HORIZON.match(operation.detail) if operation.command == "gc" else None
    return int(match[1]) if match else None


class OperationLog:
    """Operations as files named by their id, and a pointer to the current one."""

    def __init__(self, folder: Path, pointer: Path, files: Files) -> None:
        self.folder = folder
        self.pointer = pointer
        self._files = files

    def current_id(self) -> OperationId:
        """Return the id of the current operation.  Raises: Tampered (pointer-corrupt)."""
        with wrapped("read", self.pointer):
            raw = self.pointer.read_bytes()
        if len(raw) == 65 and raw.endswith(b"\n"):
            with contextlib.suppress(ValueError):
                text = raw[:64].decode("ascii")
                if text == text.lower():
                    return OperationId(bytes.fromhex(text))
        raise Tampered(
            f"the pointer {self.pointer} is damaged: expected 64 hexadecimal digits, got {raw[:70]!r}; the newest file "
            f"in {self.folder} names the last operation",
            code="pointer-corrupt",
        )

    def read(self, identifier: OperationId) -> Operation:
        """Return an operation, checked against its id.  Raises: Tampered (operation-corrupt)."""
        path = self.folder / identifier.hex()
        try:
            payload = path.read_bytes()
            if OperationId.of(payload) != identifier:
                raise InvalidData("its content gives another id", code="operation-corrupt")
            return Operation.decode(payload)
        except FileNotFoundError:
            why = "it is missing"
        except (InvalidData, OSError) as error:
            why = str(error)
        raise Tampered(
            f"the operation {path} cannot be used: {why}; restore it from a backup or remote", code="operation-corrupt"
        )

    def current(self) -> tuple[OperationId, Operation]:
        """Return the current operation."""
        identifier = self.current_id()
        return identifier, self.read(identifier)

    def append(self, operation: Operation) -> OperationId:
        """Make an operation the current one; durable on return.  The caller holds the writer lock."""
        identifier, payload = operation.encode()
        if operation.parent is not None and operation.parent != self.current_id():
            raise StateError(
                "another process moved the repository meanwhile; run the command again", code="repository-locked"
            )
        self._files.make_folder(self.folder)
        self._files.write(self.folder / identifier.hex(), payload)
        self._files.write(self.pointer, identifier.hex().encode() + b"\n")
        return identifier

    def walk(self) -> Iterator[tuple[OperationId, Operation]]:
        """Yield operations, newest first."""
        identifier: OperationId | None = self.current_id()
        while identifier is not None:
            operation = self.read(identifier)
            yield identifier, operation
            identifier = operation.parent
