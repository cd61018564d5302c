"""A commit: a statement that a memory was in this state.  Signatures sit beside it.

Format: objects/FORMAT.md, "Commits".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId, SnapshotId

MAX_PARENTS = 64
MIN_TIME_US, END_TIME_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # the years 1 to 9999


@dataclass(frozen=True, slots=True)
class Commit:
    """Who says what about which snapshot.

    ``time_us`` is microseconds since 1970-01-01 UTC.  ``author`` has ``name`` and, when signed, ``key`` (64
    hexadecimal digits).  ``source`` says which store it was read from, ``statistics`` counts for display.
    ``extra`` holds members this version does not know; they are part of the id.
    """

    snapshot: SnapshotId
    parents: tuple[CommitId, ...]
    author: dict[str, str]
    time_us: int
    message: str
    source: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> tuple[CommitId, bytes]:
        """Return the commit's id and payload.  Raises: InvalidData (lone-surrogate)."""
        payload = canonical.encode(
            {
                **self.extra,
                "snapshot": self.snapshot.hex(),
                "parents": [parent.hex() for parent in self.parents],
                "author": dict(self.author),
                "time_us": self.time_us,
                "message": self.message,
                "source": self.source,
                "statistics": dict(self.statistics),
            }
        )
        return CommitId.of(payload), payload

    @classmethod
    def decode(cls, payload: bytes | memoryview) -> Commit:
        """Return the commit of a payload.  Raises: InvalidData (object-corrupt, not-canonical)."""
        value: Any = canonical.decode(payload)
        match value:
            case {
                "snapshot": str(snapshot),
                "parents": list(parents),
                "author": dict(author),
                "time_us": int(time_us),
                "message": str(message),
                "source": dict(source),
                "statistics": dict(statistics),
                **extra,
            } if (
                len(parents) <= MAX_PARENTS
                and all(isinstance(item, str) for item in author.values())
                and type(time_us) is int
                and MIN_TIME_US <= time_us < END_TIME_US
                and all(type(count) is int for count in statistics.values())
            ):
                try:
                    if [snapshot, *parents] != [item.lower() for item in (snapshot, *parents)]:
                        raise ValueError("ids are written in lower case")
                    return cls(
                        SnapshotId.parse(snapshot),
                        tuple(CommitId.parse(parent) for parent in parents),
                        author,
                        time_us,
                        message,
                        source,
                        statistics,
                        {str(name): item for name, item in extra.items()},
                    )
                except Exception as error:
                    raise InvalidData(f"not a commit object: {error}", code="object-corrupt") from None
        raise InvalidData("not a commit object", code="object-corrupt")

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.split("\n", 1)[0]
