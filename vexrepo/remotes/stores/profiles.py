"""Frameworks that keep their memory in a store of others: what they call things, and what they add.

Mem0, self-hosted (on Qdrant, pgvector): payload ``data`` (the text), ``hash`` (its MD5), ``created_at``,
``updated_at``, ``user_id``, ``agent_id``, ``run_id`` and whatever was given as metadata; ids are UUIDs.  It finds
memories by whose they are, so the namespace of a record is its ``user_id``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vexrepo.remotes.stores.points import Fields

if TYPE_CHECKING:
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.points import Point

MEM0: Final = "mem0"
MEM0_FILTERS: Final = ("user_id", "agent_id", "run_id", "actor_id")  # what Mem0 has indexes on
MEM0_TABLE: Final[Mapping[str, Any]] = {
    "id": "id",
    "columns": {"id": "uuid", "vector": "vector", "payload": "jsonb"},
    "vector": "vector",
}
_PROFILES: Final = (MEM0, "none")


def _mem0_hash(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def complete_mem0(payload: dict[str, Any], record: Mapping[str, Any]) -> None:
    """Make a payload one that Mem0 would have written: the hash is of the text that is there.

    What Mem0 made of a former text goes: it makes it anew.  A memory that says in its metadata whose it is belongs to
    them, as one read without this profile does.
    """
    text = payload.get("data")
    if isinstance(text, str):
        made = _mem0_hash(text)
        if payload.get("hash", made) != made:
            payload.pop("text_lemmatized", None)
        payload["hash"] = made
    metadata = record.get("metadata")
    if "user_id" not in payload and isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        payload["user_id"] = metadata["user_id"]


_MEM0_FIELDS: Final = Fields(text="data", namespace="user_id", complete=complete_mem0)


def wanted_profile(address: Address) -> str | None:
    """Return the profile that an address names, None if it names none.  Raises: UsageError (bad-address)."""
    return address.choice("profile", _PROFILES)


def profile_fields(address: Address, sample: Sequence[Point]) -> Fields | None:
    """Return the fields of the framework whose memory this is, as the address says or most points look; else None."""
    wanted = wanted_profile(address)
    if wanted == MEM0 or (wanted is None and "text" not in address.options and _is_mem0(sample)):
        return _MEM0_FIELDS
    return None


def _is_mem0(sample: Sequence[Point]) -> bool:
    """Whether most points have Mem0's hash of their text."""
    fitting = sum(
        isinstance(text := point.payload.get("data"), str)
        and isinstance(held := point.payload.get("hash"), str)
        and held == _mem0_hash(text)
        for point in sample
    )
    return bool(sample) and 2 * fitting > len(sample)
