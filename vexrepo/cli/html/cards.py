"""One memory that differs, as a piece of a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vexrepo.cli.changes import MARKS, vector_words
from vexrepo.cli.html.escape import marked, visible
from vexrepo.cli.text import counted
from vexrepo.cli.words import Piece, elided, word_pieces
from vexrepo.history.fields import ABSENT
from vexrepo.objects.record import body_value, key_name, split_key
from vexrepo.repository.difference import field_changes, vector_changes

if TYPE_CHECKING:
    from vexrepo.repository.difference import Difference, FieldChange, VectorChange

TEXT_LIMIT = 4_000  # characters of a text that are shown
VALUE_LIMIT = 300
FIELD_LIMIT = 60
WORD = 40  # characters
WORD_WORK = 3_000_000  # characters old × new in which words are still looked for
EFFORT = 300_000_000  # the same, in all of a page: texts made to be slow to compare cost seconds, not hours
_PLAIN_FIELDS = ("id", "namespace", "text", "metadata")


@dataclass(slots=True)
class Effort:
    """How much of a page's time for comparing words is left, in characters old × new."""

    left: int = EFFORT


def name_html(key: bytes) -> str:
    """Return a memory's name as HTML, its namespace set back."""
    namespace, identifier = split_key(key)
    start = f'<span class="ns">{marked(_cut(namespace, 200))}/</span><wbr>' if namespace else ""
    return start + marked(_cut(identifier, 200))


def card(change: Difference, anchor: str, effort: Effort, *, namespace: int = 0, mode: str = "exact") -> str:
    """Return a changed memory as an article.  ``namespace`` is the number of its box in the filter."""
    kind = change.kind
    side = change.new or change.old
    assert side is not None
    body = body_value(side.body)
    facts, content = "", []
    if kind == "changed":
        fields = field_changes(change)
        vectors = vector_changes(change, mode)
        facts = " ".join(_vector(item) for item in vectors)
        text = next((item for item in fields if item.path == "text"), None)
        content.append(_text_difference(text, effort) if text else _text(body, "text same"))
        content.append(_rows([item for item in fields if item.path != "text"]))
    else:
        content.append(_text(body, "text"))
        content.append(_chips(body))
    return (
        f'<article class="card {kind}" id="{anchor}" data-k="{kind}" data-n="{namespace}">'
        f'<header><span class="mark" title="{kind}">{MARKS[kind].replace("-", "−")}</span>'
        f'<h3><bdi>{name_html(change.key)}</bdi></h3>{facts}<a class="self" href="#{anchor}" aria-label="link">#</a>'
        f"</header>{''.join(content)}</article>\n"
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(body: dict[str, Any], kind: str) -> str:
    found = body.get("text")
    if not isinstance(found, str) or not found:
        return f'<p class="{kind} none">no text</p>'
    return f'<p class="{kind}" dir="auto">{marked(found[:TEXT_LIMIT], lines=True)}{_more(len(found))}</p>'


def _more(length: int, limit: int = TEXT_LIMIT) -> str:
    left = length - limit
    return f' <span class="more">… {counted(left, "more character")}</span>' if left > 0 else ""


def _text_difference(change: FieldChange, effort: Effort) -> str:
    if not (isinstance(change.old, str) and isinstance(change.new, str)):
        sides = ((change.old, "del"), (change.new, "ins"))
        return "".join(
            f'<p class="text" dir="auto"><{tag}>{_value(side)}</{tag}></p>' for side, tag in sides if side is not ABSENT
        )
    parts: list[str] = []
    shown = 0
    pieces = _pieces(change.old, change.new, effort)
    long = len(change.old) + len(change.new) > TEXT_LIMIT
    for at, piece in enumerate(pieces):
        if shown > TEXT_LIMIT:
            parts.append('<span class="more">… and more differences further on</span>')
            break
        if piece.same:
            text = elided(piece.old, first=at == 0, last=at == len(pieces) - 1) if long else piece.old
            parts.append(marked(text, lines=True))
            shown += len(text)
            continue
        for text, tag in ((piece.old, "del"), (piece.new, "ins")):
            if text:
                parts.append(f"<{tag}>{marked(text[:TEXT_LIMIT], lines=True)}{_more(len(text))}</{tag}>")
                shown += len(text)
    return f'<p class="text" dir="auto">{"".join(parts)}</p>'


def _pieces(old: str, new: str, effort: Effort) -> list[Piece]:
    """Return the word differences; where that is too much work, what lies between common start and end as one."""
    head = _common(old, new)
    head -= _to_space(old[:head][::-1])
    tail = _common(old[head:][::-1], new[head:][::-1])
    tail -= _to_space(old[len(old) - tail :])
    middle = Piece(old[head : len(old) - tail], new[head : len(new) - tail])
    work = len(middle.old) * len(middle.new)
    fits = work <= min(WORD_WORK, effort.left)
    if fits:
        effort.left -= work
        if len(old) + len(new) <= 2 * TEXT_LIMIT:
            return word_pieces(old, new)
    start, end = old[:head], old[len(old) - tail :]
    inner = word_pieces(*middle) if fits else [middle]
    return [piece for piece in (Piece(start, start), *inner, Piece(end, end)) if piece.old or piece.new]


def _to_space(text: str) -> int:
    """Return how far the first white space or the end is, 0 where neither is near: words are not cut in two."""
    end = len(text) if len(text) < WORD else 0
    return next((place for place, mark in enumerate(text[:WORD]) if mark.isspace()), end)


def _common(a: str, b: str) -> int:
    """Return how many characters two texts have in common at the start."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _vector(change: VectorChange) -> str:
    words = marked(vector_words(change))
    if change.distance is None or change.scaled:
        return f'<span class="moved">{words}</span>'
    width = 100 * min(change.distance, 1.0)
    return (
        f'<span class="moved" title="cosine distance {change.distance:.4g}: 0 the same direction, 1 unrelated">'
        f'{words}<span class="gauge"><i style="width:{width:.0f}%"></i></span></span>'
    )


def _rows(fields: list[FieldChange]) -> str:
    if not fields:
        return ""
    rows = []
    for item in fields[:FIELD_LIMIT]:
        old = "" if item.old is ABSENT else f"<del>{_value(item.old)}</del>"
        new = "" if item.new is ABSENT else f"<ins>{_value(item.new)}</ins>"
        arrow = '<span class="to">→</span>' if old and new else ""
        name = marked(_cut(item.path.removeprefix("metadata."), VALUE_LIMIT))
        rows.append(f"<div><dt>{name}</dt><dd>{old}{arrow}{new}</dd></div>")
    if len(fields) > FIELD_LIMIT:
        rows.append(f'<div class="more">… and {counted(len(fields) - FIELD_LIMIT, "more field")}</div>')
    return f'<dl class="fields">{"".join(rows)}</dl>'


def _chips(body: dict[str, Any]) -> str:
    metadata = body.get("metadata")
    items = list(metadata.items()) if isinstance(metadata, dict) else [("metadata", metadata)] if metadata else []
    items += [(name, value) for name, value in body.items() if name not in _PLAIN_FIELDS]
    if not items:
        return ""
    chips = [
        f"<div><dt>{marked(_cut(str(name), VALUE_LIMIT))}</dt><dd>{_value(value)}</dd></div>"
        for name, value in items[:FIELD_LIMIT]
    ]
    if len(items) > FIELD_LIMIT:
        chips.append(f'<div class="more">… and {counted(len(items) - FIELD_LIMIT, "more field")}</div>')
    return f'<dl class="chips">{"".join(chips)}</dl>'


def _value(value: Any) -> str:
    if value is ABSENT:
        return ""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    limit = TEXT_LIMIT if "\n" in text else VALUE_LIMIT
    return f"<bdi>{marked(text[:limit], lines=True)}</bdi>{_more(len(text), limit)}"


def counts_html(learned: int, changed: int, forgotten: int) -> str:
    """Return counts in signs and colours: +4 ~2 −1."""
    parts = ((learned, "learned", "+"), (changed, "changed", "~"), (forgotten, "forgotten", "−"))
    found = [
        f'<span class="{kind}" title="{number:,} {kind}">{mark}{number:,}</span>'
        for number, kind, mark in parts
        if number
    ]
    return f'<span class="counts">{" ".join(found)}</span>' if found else ""


def title_text(key: bytes, text: str, kind: str) -> str:
    """Return what a dot in the picture says of a memory, as HTML for a ``title``."""
    return visible(f"{kind} {_cut(key_name(key), 100)}".lstrip()) + ("&#10;" + visible(_cut(text, 120)) if text else "")
