"""``vex log --html``: the timeline, and what each commit changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from vexrepo.cli.changes import Totals
from vexrepo.cli.describe import decorations
from vexrepo.cli.describe_signatures import missing_author
from vexrepo.cli.graph import NO_LANE, Row, iter_rows
from vexrepo.cli.html.cards import Effort, card, counts_html
from vexrepo.cli.html.escape import marked, visible
from vexrepo.cli.html.page import check_target, page, write_page
from vexrepo.cli.output import say
from vexrepo.cli.text import counted, iso, memories, moment, plain, size_words
from vexrepo.objects.signature import Verdict
from vexrepo.storage.keys import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from vexrepo.cli.surroundings import Edge
    from vexrepo.objects.commit import Commit
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Difference, Repository

COMMITS = 1_000
CHANGES = 200  # shown of one commit
PAGE_CARDS = 5_000
PAGE_CHARACTERS = 20_000_000
HEIGHT, NODE_AT = 64, 24
STEP, WIDEST = 18, 200


class Listed(Protocol):
    """A commit in the list, and what it did to the memory that was asked for."""

    @property
    def id(self) -> CommitId:
        """The commit's id."""

    @property
    def commit(self) -> Commit:
        """The commit."""

    @property
    def changes(self) -> tuple[Difference, ...]:
        """What it did to the memory that was asked for."""


class _Budget:
    """How much may still be shown."""

    def __init__(self) -> None:
        self.cards = PAGE_CARDS
        self.characters = PAGE_CHARACTERS
        self.effort = Effort()

    @property
    def is_spent(self) -> bool:
        """Whether nothing more fits."""
        return self.cards <= 0 or self.characters <= 0


def write_history(
    edge: Edge,
    repository: Repository,
    path: Path,
    revision: str,
    memory: str | None,
    listed: Sequence[Listed],
    parents: Mapping[CommitId, Sequence[CommitId]],
    number: int | None,
) -> None:
    """Write the page of at most ``number`` commits and say so.  Raises: UsageError (bad-option), StorageFailure."""
    check_target(path)
    shown = listed[: min(number if number is not None else COMMITS, COMMITS)]
    rows = list(iter_rows((each.id, parents[each.id]) for each in shown))
    widest = max((max(len(row.before), len(row.after)) for row in rows), default=1)
    lanes = _Lanes(widest)
    view = repository.view()
    names = decorations(view)
    label = view.branch if revision in ("HEAD", "@") and view.branch else revision
    budget = _Budget()
    known = {each.id for each in shown}
    items = [
        f'<li id="{each.id.hex()[:16]}">{lanes.drawn(row, is_head=each.id == view.commit)}'
        f"{_commit(repository, each, names.get(each.id, []), memory, budget, known)}</li>\n"
        for each, row in zip(shown, rows, strict=True)
    ]
    title = f"{memory} in {label}" if memory else label
    body = [
        _top(label, memory, shown, len(listed)),
        _FILTER if len(shown) > 1 else "",
        '<main><ol class="log">\n',
        *items,
        "</ol>\n",
        _left_out(len(listed) - len(shown), budget),
        "</main>\n",
    ]
    size_bytes = write_page(path, page(f"{title} · vex log", body, edge.now_us()))
    say(f"{plain(str(path))}: {counted(len(shown), 'commit')} · {size_words(size_bytes)}")


_FILTER = (
    '<form class="filter" id="filter" role="search" hidden><label class="find"><span>Find</span>'
    '<input type="search" id="find" placeholder="words in a message, a memory, a name" autocomplete="off"></label>'
    '<output id="count" aria-live="polite"></output></form>\n'
)


def _top(label: str, memory: str | None, shown: Sequence[Listed], total: int) -> str:
    of = f"<bdi>{marked(memory)}</bdi> in " if memory else ""
    authors = len({each.commit.author.get("name", "unknown") for each in shown})
    of_all = f" of {total:,}" if len(shown) < total else ""
    tiles = [f"<b>{len(shown):,}</b>{of_all} {'commit' if total == 1 else 'commits'}"]
    if authors:
        tiles.append(f"<b>{authors:,}</b> {'author' if authors == 1 else 'authors'}")
    if shown:
        days = sorted(moment(each.commit.time_us).date() for each in shown)
        tiles.append(str(days[0]) if days[0] == days[-1] else f"{days[0]} – {days[-1]}")
    return (
        f'<header class="top"><p class="brand">vex log</p><h1>{of}<bdi>{marked(label)}</bdi></h1>'
        f'<ul class="tiles">{"".join(f"<li>{tile}</li>" for tile in tiles)}</ul></header>\n'
    )


def _left_out(commits: int, budget: _Budget) -> str:
    parts = []
    if commits > 0:
        parts.append(
            f"{counted(commits, 'older commit')} {'is' if commits == 1 else 'are'} left out: "
            f"<code>vex log</code> in a terminal lists all; <code>-n</code> takes up to {COMMITS:,} into a page."
        )
    if budget.is_spent:
        parts.append("The page is full: what the older commits changed is only counted.")
    return "".join(f'<p class="left">{part}</p>\n' for part in parts)


def _commit(
    repository: Repository,
    each: Listed,
    names: list[str],
    memory: str | None,
    budget: _Budget,
    known: Collection[CommitId],
) -> str:
    commit = each.commit
    cards, note, totals = _cards(repository, each, budget)
    refs = "".join(
        f'<span class="ref{" tag" if name.startswith("tag: ") else ""}">{marked(name.removeprefix("tag: "))}</span>'
        for name in names
    )
    kinds = ("learned", "changed", "forgotten")
    counts = [totals.kinds[kind] if totals else commit.statistics.get(kind, 0) for kind in kinds]
    shown_counts = "" if memory else counts_html(*counts)
    author = str(commit.author.get("name", "unknown"))[:100]
    about = (
        f"<span><bdi>{marked(author)}</bdi></span>"
        f'<time datetime="{iso(commit.time_us)}" title="{moment(commit.time_us).isoformat(" ", "seconds")}">'
        f"{moment(commit.time_us).isoformat(' ', 'minutes')[:16]}</time>{_signature(repository, each)}"
        f"<code>{each.id.short}</code>"
    )
    subject = marked(commit.subject[:200]) or "<em>no message</em>"
    summary = (
        f'<summary><div class="subject"><h3><bdi>{subject}</bdi></h3>{refs}'
        f'{shown_counts}</div><div class="about">{about}</div></summary>'
    )
    rest = commit.message.partition("\n")[2].strip("\n")
    if len(commit.subject) > 200:
        rest = commit.message
    more = f'<p class="text" dir="auto">{marked(rest[:4_000], lines=True)}</p>' if rest else ""
    inside = f"{more}{_facts(commit, each.id, known)}{''.join(cards)}{note}"
    return f'<details class="commit">{summary}<div class="inside">{inside}</div></details>'


def _cards(repository: Repository, each: Listed, budget: _Budget) -> tuple[list[str], str, Totals | None]:
    """Return the first changes of a commit, what to say of the rest, and the counts where they were counted."""
    if budget.is_spent:
        return [], '<p class="left">Not shown, the page is full: <code>vex show</code> lists it.</p>', None
    totals = Totals()
    first = not each.changes and not each.commit.parents
    if each.changes:
        changes: Iterator[Difference] = iter(each.changes)
    elif first:
        changes = _first_records(repository, each.id)
    else:
        changes = repository.diff(each.commit.parents[0], each.id)
    changes = totals.counting(changes)
    prefix = f"{each.id.hex()[:12]}-"
    cards: list[str] = []
    for change in islice(changes, min(CHANGES, budget.cards)):
        cards.append(card(change, f"{prefix}{len(cards)}", budget.effort))
        budget.characters -= len(cards[-1])
        if budget.characters <= 0:
            break
    budget.cards -= len(cards)
    if first:
        root = repository.records_root(each.id)
        totals.kinds["learned"] = root.count if root else 0
    else:
        for _ in changes:
            pass
    left = totals.total - len(cards)
    if left > 0:
        command = f"vex diff {each.commit.parents[0].short} {each.id.short}" if each.commit.parents else "vex diff"
        note = f'<p class="left">{memories(left)} more. All of them: <code>{command}</code></p>'
        if first:
            note = f'<p class="left">{memories(left)} more, all new with this first commit.</p>'
    else:
        note = "" if cards else '<p class="empty">No memory changed.</p>'
    return cards, note, totals


def _first_records(repository: Repository, identifier: CommitId) -> Iterator[Difference]:
    """Yield the memories of a commit as learned."""
    from vexrepo.history.walk import LeafReader, RecordAt, iter_leaves
    from vexrepo.repository.difference import Difference

    root = repository.records_root(identifier)
    assert root is not None
    for leaf in iter_leaves(repository.objects, root):
        reader = LeafReader(repository.objects, leaf.id)
        for row, key in enumerate(reader.leaf.keys):
            yield Difference(key, None, RecordAt(reader, row))


def _facts(commit: Commit, identifier: CommitId, known: Collection[CommitId]) -> str:
    rows = [("commit", f"<code>{identifier.hex()}</code>")]
    if commit.parents:
        links = " ".join(
            f'<a href="#{parent.hex()[:16]}"><code>{parent.short}</code></a>'
            if parent in known
            else f"<code>{parent.short}</code>"
            for parent in dict.fromkeys(commit.parents)
        )
        rows.append(("parent" if len(commit.parents) == 1 else "merge of", links))
        if len(commit.parents) > 1:
            rows.append(("changes", "against the first of them"))
    count = commit.statistics.get("records")
    if isinstance(count, int):
        rows.append(("holds", memories(count)))
    store = commit.source.get("store")
    if isinstance(store, str):
        rows.append(("from", f"<bdi>{marked(store[:200])}</bdi>"))
    return f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)}</dl>'


def _signature(repository: Repository, each: Listed) -> str:
    signatures = repository.signatures(each.id)
    if not signatures:
        return '<span class="sign">unsigned</span>'
    missing = missing_author(each.commit.author.get("key", ""), signatures)
    parts = []
    for signature in signatures[:4]:
        name = marked(signature.name[:60]) or fingerprint(signature.key)
        match signature.verdict:
            case Verdict.GOOD:
                parts.append(f'<span class="sign good" title="good signature">✓ signed by <bdi>{name}</bdi></span>')
            case Verdict.UNKNOWN:
                parts.append(
                    f'<span class="sign" title="a key you do not know">? signed by {fingerprint(signature.key)}</span>'
                )
            case Verdict.BAD:
                parts.append(f'<span class="sign bad">✗ not valid: {fingerprint(signature.key)}</span>')
            case verdict:
                why = visible(signature.why[:300])
                parts.append(f'<span class="sign bad" title="{why}">✗ {verdict.value}: <bdi>{name}</bdi></span>')
    if missing:
        parts.append('<span class="sign bad">✗ the author’s signature is missing</span>')
    return "".join(parts)


class _Lanes:
    """Draws the graph beside the commits: what bends in an SVG of fixed height, and straight lines below it."""

    def __init__(self, widest: int) -> None:
        self._step = min(STEP, WIDEST / widest)
        self._width = round(self._step * (widest - 1) + 22)

    def _x(self, lane: int) -> float:
        return 11 + self._step * lane

    def drawn(self, row: Row[CommitId], *, is_head: bool) -> str:
        """Return the picture of one row."""
        own = self._x(row.column)
        paths = []
        for lane, colour in enumerate(row.before):
            if colour == NO_LANE or (lane == row.column and row.new):
                continue
            x = self._x(lane)
            if lane == row.column:
                paths.append(_path(colour, x, 0, x, NODE_AT))
            elif lane == row.moved:
                paths.append(_path(colour, x, 0, own, HEIGHT))
            else:
                paths.append(_path(colour, x, 0, x, HEIGHT))
        for lane in row.links:
            joins = lane != row.column and lane < len(row.before) and row.before[lane] != NO_LANE
            colour = row.colour if joins or lane == row.column else row.after[lane]
            paths.append(_path(colour, own, NODE_AT, self._x(lane), HEIGHT))
        node = (
            f'<circle class="s{row.colour}{" head" if is_head else ""}" cx="{own:g}" cy="{NODE_AT}" '
            f'r="{min(5.5, max(self._step / 2.6, 3)):g}"/>'
        )
        below = "".join(
            f'<i class="s{colour}" style="left:{self._x(lane):g}px"></i>'
            for lane, colour in enumerate(row.after)
            if colour != NO_LANE
        )
        return (
            f'<span class="lanes" style="width:{self._width}px" aria-hidden="true">'
            f'<svg width="{self._width}" height="{HEIGHT}">{"".join(paths)}{node}</svg>{below}</span>'
        )


def _path(colour: int, x: float, y: float, to_x: float, to_y: float) -> str:
    if x == to_x:
        return f'<path class="s{colour}" d="M{x:g} {y:g}V{to_y:g}"/>'
    middle = (y + to_y) / 2
    return f'<path class="s{colour}" d="M{x:g} {y:g}C{x:g} {middle + 8:g} {to_x:g} {middle - 8:g} {to_x:g} {to_y:g}"/>'
