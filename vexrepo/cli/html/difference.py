"""``vex diff --html``: what was learned, changed and forgotten, and how the memory moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vexrepo.cli.changes import MARKS, EdgeTotals, Totals, edge_kind
from vexrepo.cli.html.cards import Effort, card, counts_html
from vexrepo.cli.html.escape import marked
from vexrepo.cli.html.page import page, write_page
from vexrepo.cli.html.picture import Dot, dot_of, picture, still_dot
from vexrepo.cli.output import say
from vexrepo.cli.text import counted, memories, plain, size_words
from vexrepo.objects.record import body_value, split_key

if TYPE_CHECKING:
    from pathlib import Path

    from vexrepo.cli.surroundings import Edge
    from vexrepo.history.walk import RecordAt
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Difference, Repository, Selection
    from vexrepo.repository.difference import EdgeDifference

SHOWN = {"learned": 1_000, "changed": 2_000, "forgotten": 1_000}
PAGE_CHARACTERS = 20_000_000
STILL_DOTS = 2_000
SHOWN_EDGES = 200
NAMESPACE_BOXES = 40
_BALL = '<circle cx="22" cy="7" r="4.6"/>'
_TITLES = {"changed": "Changed", "learned": "Learned", "forgotten": "Forgotten"}


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared: what each side is called, and its commit if it is one."""

    old: str
    new: str
    old_commit: CommitId | None
    new_commit: CommitId | None
    mode: str = "exact"
    selection: Selection | None = None
    limit: int | None = None


@dataclass(slots=True)
class _Gathered:
    cards: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in _TITLES})
    dots: list[Dot] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)  # of namespaces, as they come
    boxes: Counter[int] = field(default_factory=Counter)
    size: int = 0
    effort: Effort = field(default_factory=Effort)


def write_difference(
    edge: Edge,
    path: Path,
    repository: Repository | None,
    compared: Compared,
    changes: Iterator[Difference],
    totals: Totals,
    edges: EdgeTotals | None,
) -> None:
    """Write the page and say so.  ``totals`` counts the changes as they are read.

    Raises: UsageError (bad-option), StorageFailure.
    """
    found = _gather(changes, compared)
    dots = found.dots + list(_still(repository, compared, found.keys))
    title = f"{compared.old} → {compared.new}"
    body = [
        _top(compared, totals, edges),
        "<main>\n",
        _by_namespace(totals),
        _drawn(dots, totals, repository is None),
        _filter(found, totals),
        *_sections(found, totals, compared),
        _links(edges),
        "</main>\n",
    ]
    size_bytes = write_page(path, page(f"{title} · vex diff", body, edge.now_us()))
    words = totals.words() if totals or not edges else "no memory changed"
    say(f"{plain(str(path))}: {words} · {size_words(size_bytes)}")


def _gather(changes: Iterator[Difference], compared: Compared) -> _Gathered:
    found = _Gathered()
    left = compared.limit
    for number, change in enumerate(changes):
        found.keys.add(change.key)
        kind = change.kind
        if len(found.cards[kind]) >= SHOWN[kind] or found.size > PAGE_CHARACTERS or left == 0:
            continue
        left = None if left is None else left - 1
        box = min(found.numbers.setdefault(split_key(change.key)[0], len(found.numbers)), NAMESPACE_BOXES)
        found.boxes[box] += 1
        text = card(change, f"c{number}", found.effort, namespace=box, mode=compared.mode)
        found.size += len(text)
        found.cards[kind].append(text)
        found.dots.append(dot_of(change, f"c{number}"))
    return found


def _still(repository: Repository | None, compared: Compared, changed: set[bytes]) -> Iterator[Dot]:
    """Yield dots for memories that did not change, sampled where there are many."""
    commit = compared.new_commit or compared.old_commit
    root = repository.records_root(commit) if repository is not None else None
    if repository is None or root is None:
        return
    from vexrepo.history.projection import sample_records

    for record in sample_records(repository.objects, root, STILL_DOTS):
        if record.reader.leaf.keys[record.row] not in changed and _is_selected(record, compared.selection):
            yield still_dot(record)


def _is_selected(record: RecordAt, selection: Selection | None) -> bool:
    return not selection or selection.accepts(record.reader.leaf.keys[record.row], lambda: record.body)


def _top(compared: Compared, totals: Totals, edges: EdgeTotals | None) -> str:
    sides = []
    for label, commit in ((compared.old, compared.old_commit), (compared.new, compared.new_commit)):
        short = f' <code class="id">{commit.short}</code>' if commit is not None and commit.short != label else ""
        sides.append(f"<span><bdi>{marked(label)}</bdi>{short}</span>")
    tiles = [
        f'<li class="{kind}"><b>{totals.kinds[kind]:,}</b> {kind}</li>'
        for kind in ("learned", "changed", "forgotten")
        if totals.kinds[kind]
    ]
    if edges:
        tiles.append(f"<li><b>{len(edges.changes):,}</b> {'link' if len(edges.changes) == 1 else 'links'} differ</li>")
    return (
        '<header class="top"><p class="brand">vex diff</p>'
        f'<h1>{sides[0]} <span class="to">→</span> {sides[1]}</h1><ul class="tiles">{"".join(tiles)}</ul></header>\n'
    )


def _by_namespace(totals: Totals) -> str:
    if not totals.namespaces:
        return '<p class="empty">No memory differs.</p>\n'
    most = max(counts.total() for counts in totals.namespaces.values())
    ordered = sorted(totals.namespaces.items(), key=lambda item: (-item[1].total(), item[0]))
    rows = []
    for name, counts in ordered[:NAMESPACE_BOXES]:
        bars = "".join(
            f'<i class="{kind}" style="width:{max(98 * counts[kind] / most, 0.6):.1f}%"></i>'
            for kind in ("learned", "changed", "forgotten")
            if counts[kind]
        )
        signs = counts_html(counts["learned"], counts["changed"], counts["forgotten"])
        rows.append(
            f'<tr><th scope="row">{_namespace(name)}</th><td>{signs}</td><td class="bar"><div>{bars}</div></td></tr>'
        )
    more = len(ordered) - NAMESPACE_BOXES
    if more > 0:
        rows.append(f'<tr><td colspan="3" class="more">… and {counted(more, "more namespace")}</td></tr>')
    return f'<section><h2>By namespace</h2><table class="spaces">{"".join(rows)}</table></section>\n'


def _namespace(name: str) -> str:
    return f"<bdi>{marked(name[:100])}</bdi>" if name else "<em>no namespace</em>"


def _drawn(dots: list[Dot], totals: Totals, stores: bool) -> str:
    if not dots:
        return ""
    svg, words = picture(dots)
    if stores:
        words.append("Of two stores only the memories that differ are drawn.")
    still = sum(dot.kind == "same" for dot in dots)
    if len(dots) - still < totals.total:
        words.append(f"Of the {totals.total:,} memories that differ, {len(dots) - still:,} are in the picture.")
    if still >= STILL_DOTS * 0.9:
        words.append(f"Of the memories that did not change, a sample of {still:,} is drawn.")
    legend = "".join(
        f'<li class="{kind}"><svg viewBox="0 0 30 14" aria-hidden="true">{mark}</svg>{word}</li>'
        for kind, word, mark in (
            ("learned", "learned", _BALL),
            (
                "changed",
                "changed: from where to where",
                f'<circle class="was" cx="4" cy="7" r="3.4"/><line x1="4" y1="7" x2="17" y2="7"/>{_BALL}',
            ),
            ("forgotten", "forgotten", _BALL),
            ("same", "as before", '<circle cx="22" cy="7" r="2.6"/>'),
        )
        if any(dot.kind == kind for dot in dots)
    )
    figure = f'<figure>{svg}<ul class="legend">{legend}</ul></figure>' if svg else ""
    return f'<section><h2>How the memory moved</h2>{figure}<p class="note">{" ".join(words)}</p></section>\n'


def _filter(found: _Gathered, totals: Totals) -> str:
    if not totals:
        return ""
    kinds = "".join(
        f'<label class="{kind}"><input type="checkbox" name="k" value="{kind}" checked> {kind} '
        f"<span>{len(found.cards[kind]):,}</span></label>"
        for kind in ("changed", "learned", "forgotten")
        if found.cards[kind]
    )
    names: dict[int, str] = {}
    for name, number in found.numbers.items():
        names.setdefault(min(number, NAMESPACE_BOXES), _namespace(name) if number < NAMESPACE_BOXES else "others")
    spaces = "".join(
        f'<label><input type="checkbox" name="n" value="{number}" checked> {label} <span>{found.boxes[number]:,}</span>'
        "</label>"
        for number, label in names.items()
    )
    boxes = f"<details><summary>Namespaces</summary><fieldset>{spaces}</fieldset></details>" if len(names) > 1 else ""
    return (
        '<form class="filter" id="filter" role="search" hidden><label class="find"><span>Find</span>'
        '<input type="search" id="find" placeholder="words in a text, an id, a value" autocomplete="off"></label>'
        f'<fieldset>{kinds}</fieldset>{boxes}<output id="count" aria-live="polite"></output></form>\n'
    )


def _sections(found: _Gathered, totals: Totals, compared: Compared) -> Iterator[str]:
    for kind, title in _TITLES.items():
        if not totals.kinds[kind]:
            continue
        cards = found.cards[kind]
        yield f'<section class="group"><h2>{title} <span class="n">{totals.kinds[kind]:,}</span></h2>\n'
        yield from cards
        left = totals.kinds[kind] - len(cards)
        if left > 0:
            yield (
                f'<p class="left">{memories(left)} more {"was" if left == 1 else "were"} {kind} and '
                f"{'is' if left == 1 else 'are'} left out of this page, to keep it small. All of them: "
                "<code>vex diff</code> in a terminal, or <code>vex diff --json</code>; or choose with "
                "<code>--namespace</code>.</p>"
            )
        yield "</section>\n"


def _links(edges: EdgeTotals | None) -> str:
    if not edges:
        return ""
    rows = "".join(_link(change) for change in edges.changes[:SHOWN_EDGES])
    left = len(edges.changes) - SHOWN_EDGES
    more = f'<p class="left">… and {counted(left, "more link")}.</p>' if left > 0 else ""
    return (
        f'<section><h2>Links between memories <span class="n">{len(edges.changes):,}</span></h2>'
        f'<ul class="links">{rows}</ul>{more}</section>\n'
    )


def _link(change: EdgeDifference) -> str:
    side = change.new or change.old
    assert side is not None
    value = body_value(side.body)
    source, kind, target = (marked(str(value.get(name))[:200]) for name in ("source", "type", "target"))
    how = edge_kind(change)
    weights = [body_value(each.body).get("weight") for each in (change.old, change.new) if each is not None]
    shown = " → ".join(
        str(each) for each in dict.fromkeys(str(weight)[:40] for weight in weights if weight is not None)
    )
    return (
        f'<li class="{how}"><span class="mark" title="{how}">{MARKS[how].replace("-", "−")}</span>'
        f"<bdi>{source}</bdi> <em>–{kind}→</em> <bdi>{target}</bdi>"
        f"{f' <small>weight {marked(shown)}</small>' if shown else ''}</li>"
    )
