"""What an agent file of Letta holds of memory: its blocks, messages and passages, as records and back.

An item reads as a record whose namespace is its kind; its members but id, text, time and embedding are metadata, nulls
too, so that nothing of it is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from vexrepo.errors import InvalidData
from vexrepo.objects import vector
from vexrepo.objects.record import Record, body_value, from_json
from vexrepo.objects.vector import MAIN

Kind: TypeAlias = Literal["blocks", "messages", "passages"]
KINDS: Final[tuple[Kind, ...]] = ("blocks", "messages", "passages")
_TEXT: Final[dict[Kind, str]] = {"blocks": "value", "messages": "content", "passages": "text"}
_LIMIT: Final = 20_000  # characters; Letta's own of a new block


def read_item(kind: Kind, name: str, item: Mapping[str, Any]) -> Record:
    """Return the memory an item natively is; ``name`` is its id.

    Raises: InvalidData where it makes none.
    """
    rest = {member: value for member, value in item.items() if member != "id"}
    value: dict[str, Any] = {"id": name, "namespace": kind}
    member = _TEXT[kind]
    if kind == "messages":
        text, content = _text_of(rest.get(member))
        if text is not None:
            value["text"] = text
            del rest[member]
            if content is not None:
                rest[member] = content
    elif isinstance(rest.get(member), str):
        value["text"] = rest.pop(member)
    if kind != "blocks" and isinstance(rest.get("created_at"), str):
        value["created_at"] = rest.pop("created_at")
    if kind == "passages" and isinstance(rest.get("embedding"), list) and rest["embedding"]:
        value["vector"] = rest.pop("embedding")
    value["metadata"] = rest
    return from_json(value)


def _text_of(content: Any) -> tuple[str | None, Any]:
    """Return the text of a message, and what else its content says, None for nothing."""
    if isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        return None, None
    texts = [part["text"] for part in content if _is_text(part)]
    if not texts:
        return None, None
    if len(content) == 1:
        return texts[0], [{member: value for member, value in content[0].items() if member != "text"}]
    return "\n".join(texts), content


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def make_item(kind: Kind, name: str, record: Record) -> dict[str, Any]:
    """Return the item that is nearest to a memory."""
    value = body_value(record.body)
    metadata = value.get("metadata")
    text, created_at = value.get("text"), value.get("created_at")
    taken = {"id", *(() if kind == "messages" or not isinstance(text, str) else (_TEXT[kind],))}
    rest = {m: each for m, each in metadata.items() if m not in taken} if isinstance(metadata, dict) else {}
    item: dict[str, Any] = {}
    if kind == "blocks":
        words = text if isinstance(text, str) else ""
        item = {"value": words, "label": name, "limit": max(_LIMIT, len(words))}
    elif kind == "messages":
        item = {"role": "user", "content": _content(text, rest.pop("content", None))}
    else:
        item = {"text": text if isinstance(text, str) else ""}
        main = next((each for each in record.vectors if each.space.name == MAIN and each.space.kind == "dense"), None)
        if main is not None:
            item["embedding"] = vector.to_json(main)
    if kind != "blocks" and isinstance(created_at, str):
        item["created_at"] = created_at
    made = {"id": name, **item, **{m: each for m, each in rest.items() if m not in item or kind != "passages"}}
    if kind == "blocks" and type(made["limit"]) is int and made["limit"] < len(item["value"]):
        made["limit"] = len(item["value"])  # Letta takes no file with a block beyond its limit
    return made


def _content(text: Any, given: Any) -> Any:
    """Return a message's content with a text, as it was given else."""
    if not isinstance(text, str):
        return given if isinstance(given, (str, list)) else ""
    if not isinstance(given, list):
        return text
    if len(given) == 1 and isinstance(given[0], dict) and "text" not in given[0] and given[0].get("type") == "text":
        return [{**given[0], "text": text}]
    if _text_of(given)[0] == text:
        return given
    return [{"type": "text", "text": text}, *(part for part in given if not _is_text(part))]


def in_order(name: str, item: Mapping[str, Any]) -> tuple[str, list[tuple[int, str]]]:
    """Return what sorts new items: their time, then their id, numbers in it by size."""
    created_at = item.get("created_at")
    parts = [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]{1,18})", name) if part]
    return created_at if isinstance(created_at, str) else "", parts


def name_of(kind: Kind, item: Any, place: int, *, is_old: bool) -> str:
    """Return an item's id; in files of the older form those without one have their label, or their place.

    Raises: InvalidData (not-an-object, id-missing).
    """
    if not isinstance(item, dict):
        raise InvalidData(f"is {item!r:.60}, expected an object", code="not-an-object")
    name = item.get("id")
    if is_old and name is None:
        name = item.get("label") if kind == "blocks" else f"{kind[:-1]}-{place}"
    if not isinstance(name, str) or not name:
        raise InvalidData(f"its id is {name!r:.60}, expected a text", code="id-missing")
    return name
