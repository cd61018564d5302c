"""Agent files of Letta: ``letta:agent.af``, or a bare ``*.af``.

Memory blocks, messages and passages are memories; everything else in the file (agents, tools, settings) stays as it is
when the file is written.  What an item cannot say is carried in a file beside it, ``agent.af.vex``, and joined with
what was changed since.  Files are read and held in memory.  Format: remotes/STORES.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, split_key
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Written
from vexrepo.remotes.stores.capabilities import Capabilities, mapped_id
from vexrepo.remotes.stores.carry import carried_json, carried_record, is_same, reconcile
from vexrepo.remotes.stores.file_store import DAMAGES, CarryingFile
from vexrepo.remotes.stores.letta_items import KINDS, Kind, in_order, make_item, name_of, read_item

BATCH: Final = 500
_CAN: Final = Capabilities(lambda value: True)
_NEW: Final = ("agents", "groups", "blocks", "files", "sources", "tools", "mcp_servers")


class _Item(NamedTuple):
    """An item of a file: its kind, the list it is in, its place there."""

    kind: Kind
    holder: list[Any]
    at: int


class LettaStore(CarryingFile):
    """A file of agents.  Places are numbers of items, from 1: blocks, then messages, then passages."""

    kind: ClassVar[str] = "letta"
    expected: ClassVar[str] = "an agent file, .af"

    def check_ours(self) -> None:
        """Raise StoreError (store-schema) for a file that a write would not keep whole."""
        document = self._document()
        if "core_memory" in document:
            raise StoreError(
                f"{self.path} is an agent file of the older form, which is only read; import it into Letta and export "
                "it again, or name another target",
                code="store-schema",
            )
        problems: list[InvalidData] = []
        for batch in self.scan(problems.append):
            del batch
        for problem in problems:
            raise StoreError(f"{problem}; it would be lost: mend the file, or name another target", code="store-schema")

    def describe(self) -> Description:
        """Return what changes whenever the files may have changed."""
        if not self.path.exists():
            return Description(0)
        return Description(None, fingerprint=self.fingerprint())

    def place(self, place: int) -> str:
        """Return words for an item."""
        return f"{self.path} item {place}"

    # -- reading -----------------------------------------------------------------------------------------------------

    def _document(self) -> dict[str, Any]:
        """Return what the file says.  Raises: StoreError (store-unreadable, store-corrupt, store-schema)."""
        if not self.path.exists():
            return {**{name: [] for name in _NEW}, "passages": [], "metadata": {}}
        try:
            value: Any = canonical.parse(self.path.read_bytes())
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}", code="store-unreadable") from None
        except InvalidData as error:
            raise StoreError(f"{self.path} is no agent file: {error}", code="store-corrupt") from None
        is_right = isinstance(value, dict) and (
            isinstance(value.get("core_memory"), list)
            or (isinstance(value.get("agents"), list) and isinstance(value.get("blocks"), list))
        )
        if not is_right:
            raise StoreError(
                f"{self.path} is no agent file of Letta: expected an object with agents and blocks", code="store-schema"
            )
        document: dict[str, Any] = value
        return document

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield blocks, messages and passages as memories."""
        document = self._document()
        carried, names = self._carried(), set[tuple[Kind, str]]()
        is_old = "core_memory" in document

        def found() -> Iterator[Sourced]:
            for place, (kind, holder, at) in enumerate(_items(document), 1):
                try:
                    name = name_of(kind, holder[at], at, is_old=is_old)
                    if (kind, name) in names:
                        raise InvalidData(
                            f"a second item {name!r:.80} of the {kind}: rename or remove one of them (with --on-error "
                            "skip the first is read)",
                            code="duplicate-key",
                        )
                    names.add((kind, name))
                    yield Sourced(_joined(read_item(kind, name, holder[at]), carried.get((kind, name))), place)
                except InvalidData as error:
                    told = InvalidData(f"{self.place(place)} ({kind[:-1]} {at + 1}): {error}", code=error.code)
                    if on_problem is None:
                        raise told from None
                    on_problem(told)

        records = found()
        while batch := list(islice(records, BATCH)):
            yield batch

    def _carried(self) -> dict[tuple[Kind, str], tuple[Record, Record]]:
        """Return, of each item that something is carried for, the memory and how it read when it was written.

        Raises: StoreError (store-corrupt).
        """
        found: dict[tuple[Kind, str], tuple[Record, Record]] = {}
        try:
            for value in self.read_beside():
                kind = next(kind for kind in KINDS if kind == value["kind"])
                name = name_of(kind, value["item"], 0, is_old=False)
                found[kind, name] = carried_record(value), read_item(kind, name, value["item"])
        except DAMAGES as error:
            raise self.damaged(error) from None
        return found

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Write both files anew."""
        document = self._document()
        has_agents = any(isinstance(agent, dict) for agent in document["agents"])
        wanted: dict[Kind, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
        carried: list[bytes] = []
        records = [(_kind(record, has_agents=has_agents), record) for record in plan.records()]
        records.sort(key=lambda each: split_key(each[1].key)[0] != each[0])  # those of a kind keep their ids
        for kind, record in records:
            name = split_key(record.key)[1]
            if not name or name in wanted[kind]:
                name = mapped_id(record.key, _CAN)
            item = wanted[kind][name] = make_item(kind, name, record)
            if read_item(kind, name, item) != record:
                carried.append(canonical.encode({"kind": kind, "item": item, **carried_json(record)}))
            plan.advance(1)
        _put(document, wanted)
        self.check_expected(plan)
        self.write_both(json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n", carried)
        return Written(len(records), 0, self.fingerprint())


def _kind(record: Record, *, has_agents: bool) -> Kind:
    """Return what a memory is in a file; without an agent there is no conversation that a message could be in."""
    space = split_key(record.key)[0]
    found = next((kind for kind in KINDS if kind == space), KINDS[-1])
    return KINDS[-1] if found == "messages" and not has_agents else found


def _items(document: dict[str, Any]) -> Iterator[_Item]:
    for kind in KINDS:
        for holder in _holders(document, kind):
            for at in range(len(holder)):
                yield _Item(kind, holder, at)


def _holders(document: dict[str, Any], kind: Kind) -> Iterator[list[Any]]:
    """Yield the lists of a file that hold items of a kind."""
    agents = document.get("agents")
    owners = [document, *(agent for agent in agents if isinstance(agent, dict))] if agents else [document]
    for owner in owners:
        for name in ("blocks", "core_memory") if kind == "blocks" else (kind,):
            if isinstance(owner.get(name), list):
                yield owner[name]


def _put(document: dict[str, Any], wanted: dict[Kind, dict[str, dict[str, Any]]]) -> None:
    """Make a file hold the wanted items: those that were there keep their place, new ones come last."""
    agents = [agent for agent in document["agents"] if isinstance(agent, dict)]
    for kind, items in wanted.items():
        left, gone = dict(items), set()
        for holder in _holders(document, kind):
            kept = []
            for item in holder:
                new = left.pop(item["id"], None)
                if new is None:
                    gone.add(item["id"])
                else:
                    kept.append(_as_it_was(item, new))
            holder[:] = kept
        for agent in agents if gone else ():
            for member in ("block_ids", "in_context_message_ids"):
                if isinstance(agent.get(member), list) and (member == "block_ids") == (kind == "blocks"):
                    agent[member] = [name for name in agent[member] if name not in gone]
        for name, item in sorted(left.items(), key=lambda each: in_order(*each)):
            if kind == "messages":
                owner = next((agent for agent in agents if agent.get("id") == item.get("agent_id")), agents[0])
            else:
                owner = document
            if not isinstance(owner.get(kind), list):
                owner[kind] = []
            owner[kind].append(item)
            if kind == "blocks" and len(agents) == 1 and isinstance(agents[0].get("block_ids"), list):
                agents[0]["block_ids"].append(name)


def _as_it_was(old: Any, new: Any) -> Any:
    """Return a new value in the form of the old one: its members in the same order, what is the same untouched."""
    if is_same(old, new):
        return old
    if isinstance(old, dict) and isinstance(new, dict):
        kept = {member: _as_it_was(old[member], new[member]) for member in old if member in new}
        return {**kept, **{member: value for member, value in new.items() if member not in old}}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_as_it_was(*pair) for pair in zip(old, new, strict=True)]
    return new


def _joined(now: Record, carried: tuple[Record, Record] | None) -> Record:
    """Return the memory that was written, with what was changed since."""
    if carried is None:
        return now
    original, then = carried
    was, found = body_value(then.body), body_value(now.body)
    if was.get("text") != found.get("text") and was["metadata"] != found["metadata"]:
        return now  # another item of that id
    return reconcile(original, then, now)
