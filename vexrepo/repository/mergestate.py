"""A merge that waits for its conflicts to be resolved: kept in a file, so that it survives whatever happens.

It holds what is merged and how, and the resolutions made so far; the conflicts themselves are found again from
the commits, which never change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, Literal, TypeAlias

from vexrepo.errors import InvalidData, StateError
from vexrepo.history.conflict import WHOLE, Conflict
from vexrepo.history.fields import Path, from_json
from vexrepo.history.policy import UNDECIDED, Policy
from vexrepo.objects.digest import CommitId
from vexrepo.storage.files import Files, wrapped

FILE = "merge.json"
VERSION = 1
Action: TypeAlias = Literal["merge", "revert", "cherry-pick"]
Choice: TypeAlias = Literal["base", "ours", "theirs", "value"]
Place: TypeAlias = tuple[bool, bytes, Path]  # (is an edge, key, field)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was chosen for one conflict; ``value`` is JSON and only counts for the choice ``value``."""

    choice: Choice
    value: Any = None


@dataclass(frozen=True, slots=True)
class MergeState:
    """A merge under way: bring what ``theirs`` changed since ``base`` into ``ours``.

    ``name`` is what the user called theirs; ``head`` where HEAD was, so that a moved one is noticed.
    """

    action: Action
    name: str
    head: str
    ours: CommitId
    theirs: CommitId
    message: str
    policy: Policy = field(default_factory=Policy)
    allow_unrelated: bool = False
    resolutions: dict[Place, Resolution] = field(default_factory=dict)

    def resolve(self, conflict: Conflict) -> Any:
        """Return the value chosen for a conflict, UNDECIDED if none was."""
        found = self.resolutions.get(place_of(conflict))
        return UNDECIDED if found is None else resolved(conflict, found)

    def with_resolution(self, conflict: Conflict, resolution: Resolution) -> MergeState:
        """Return the state with one more resolution, or another one for the same conflict."""
        return replace(self, resolutions={**self.resolutions, place_of(conflict): resolution})

    def encode(self) -> bytes:
        """Return the file's content."""
        value = {
            "version": VERSION,
            "action": self.action,
            "name": self.name,
            "head": self.head,
            "ours": self.ours.hex(),
            "theirs": self.theirs.hex(),
            "message": self.message,
            "policy": {
                "default": self.policy.default,
                "by_component": dict(self.policy.by_component),
                "by_field": dict(self.policy.by_field),
            },
            "allow_unrelated": self.allow_unrelated,
            "resolutions": [
                {"edge": edge, "key": key.hex(), "field": list(path), "choice": made.choice, "value": made.value}
                for (edge, key, path), made in self.resolutions.items()
            ],
        }
        return json.dumps(value, indent=1).encode()

    @classmethod
    def decode(cls, raw: bytes) -> MergeState:
        """Return the state of a file's content.  Raises: InvalidData (merge-state)."""
        try:
            value = json.loads(raw)
            if value["version"] != VERSION:
                raise ValueError(f"version {value['version']}")
            return cls(
                value["action"],
                value["name"],
                value["head"],
                CommitId.parse(value["ours"]),
                CommitId.parse(value["theirs"]),
                value["message"],
                Policy(**value["policy"]),
                value["allow_unrelated"],
                {
                    (each["edge"], bytes.fromhex(each["key"]), tuple(each["field"])): Resolution(
                        each["choice"], each["value"]
                    )
                    for each in value["resolutions"]
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidData(
                f"the record of the merge under way is damaged ({error}); start over with `vex merge --abort`",
                code="merge-state",
            ) from None


def resolved(conflict: Conflict, resolution: Resolution) -> Any:
    """Return the field value that a resolution gives a conflict.

    Raises: InvalidData where a value that was given cannot be one of that field.
    """
    sides = {"base": conflict.base, "ours": conflict.ours, "theirs": conflict.theirs}
    if resolution.choice in sides:
        return sides[resolution.choice]
    if conflict.path == WHOLE:
        raise InvalidData(
            "a memory that one side forgot and the other changed is settled by a side: --ours or --theirs",
            code="not-in-conflict",
        )
    return from_json(conflict.path, resolution.value)


def place_of(conflict: Conflict) -> Place:
    """Return what identifies a conflict within its merge."""
    return conflict.is_edge, conflict.key, conflict.path


def read_state(folder: FilePath) -> MergeState | None:
    """Return the merge under way, None if there is none.  Raises: InvalidData (merge-state)."""
    path = folder / FILE
    if not path.exists():
        return None
    with wrapped("read", path):
        raw = path.read_bytes()
    return MergeState.decode(raw)


def write_state(files: Files, folder: FilePath, state: MergeState) -> None:
    """Keep a merge under way; durable on return."""
    files.write(folder / FILE, state.encode())


def remove_state(files: Files, folder: FilePath) -> None:
    """Forget the merge under way."""
    files.remove(folder / FILE)


def check_none(folder: FilePath) -> None:
    """Raise StateError (merge-under-way) if a merge waits to be finished."""
    if (folder / FILE).exists():
        raise StateError(
            "a merge is under way; see `vex conflicts`, then finish it with `vex merge --continue` or drop it with "
            "`vex merge --abort`",
            code="merge-under-way",
        )
