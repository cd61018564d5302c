"""Histories as pictures: which lane each commit is in, and where its lines go.

Pure: from (id, parents) in display order, children before parents, to rows; from a row to cells of box drawing.
A lane is a line on its way down to one commit; there is never more than one to the same commit, so a line that
reaches a lane's commit from elsewhere joins that lane at once.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)

COLOURS = 6
UP, DOWN, LEFT, RIGHT, NODE, END = 1, 2, 4, 8, 16, 32
_BOXES = " ╵╷│╴╯╮┤╶╰╭├─┴┬┼"
_ASCII = " |||-'.+-'.+-+++"
NO_LANE = -1


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """One commit and the lanes around it.

    ``before`` and ``after`` have the colour of each lane above and below the row, ``NO_LANE`` where there is none.
    ``links`` are the lanes below in which the commit's parents are, in the order of the parents.  ``moved`` is a lane
    above whose line goes on in the commit's own, ``new`` says that no line comes from above, ``gap`` that this could
    not be seen because the lane's last line has just ended.
    """

    id: T
    column: int
    colour: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    links: tuple[int, ...]
    moved: int | None = None
    new: bool = False
    gap: bool = False


class Cell(NamedTuple):
    """A character of the picture: the directions its lines go (or ``NODE``, ``END``), and its colour."""

    mask: int
    colour: int


Line = tuple[Cell, ...]
_EMPTY = Cell(0, NO_LANE)


class Drawn(NamedTuple):
    """A row in cells: a line before it, the line of the commit, one that links (if any goes aside), those below."""

    gap: Line | None
    node: Line
    link: Line | None
    pad: Line


def topological(parents: Mapping[T, Sequence[T]], tips: Iterable[T]) -> list[T]:
    """Return what the tips reach, children before parents, each line of history in one piece where that can be.

    After a merge come the commits that it brought in, as with git.  Parents that are not in ``parents`` are left out.
    """
    waiting: dict[T, int] = {}
    tips = list(dict.fromkeys(tips))
    stack = list(tips)
    seen = set(tips)
    while stack:
        for parent in dict.fromkeys(parents[stack.pop()]):
            if parent in parents:
                waiting[parent] = waiting.get(parent, 0) + 1
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
    ready = [tip for tip in reversed(tips) if tip not in waiting]
    found = []
    while ready:
        found.append(ready.pop())
        for parent in dict.fromkeys(parents[found[-1]]):
            if parent in parents:
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)
    return found


def simplify(commits: Sequence[tuple[T, Sequence[T]]], keep: Collection[T]) -> list[tuple[T, tuple[T, ...]]]:
    """Return the commits to keep, each with its nearest kept ancestors for parents.

    An ancestor that another of them descends from is left out: the way there is drawn already.
    """
    nearest: dict[T, tuple[T, ...]] = {}
    place: dict[T, int] = {}
    kept: dict[T, tuple[T, ...]] = {}
    for number, (identifier, parents) in enumerate(reversed(commits)):
        found = tuple(dict.fromkeys(each for parent in parents for each in nearest.get(parent, ())))
        if len(found) > 1:
            found = _independent(found, kept, place)
        nearest[identifier] = found
        if identifier in keep:
            kept[identifier] = found
            place[identifier] = number
            nearest[identifier] = (identifier,)
    return [(identifier, kept[identifier]) for identifier, _ in commits if identifier in kept]


def _independent(found: tuple[T, ...], parents: Mapping[T, tuple[T, ...]], place: Mapping[T, int]) -> tuple[T, ...]:
    """Return those that no other of them descends from."""
    lowest = min(place[each] for each in found)
    reached: set[T] = set()
    stack = [parent for each in found for parent in parents[each]]
    while stack:
        each = stack.pop()
        if each not in reached and place[each] >= lowest:
            reached.add(each)
            stack += parents[each]
    return tuple(each for each in found if each not in reached)


def iter_rows(commits: Iterable[tuple[T, Sequence[T]]]) -> Iterator[Row[T]]:
    """Yield a row for each commit; a commit comes before its parents.  Lines to parents not among them stay open."""
    lanes: list[T | None] = []
    colours: list[int] = []
    last_colour = NO_LANE
    ended: int | None = None  # the lane in which the row before was the last of its line

    def open_lane(target: T) -> int:
        nonlocal last_colour
        if None not in lanes:
            lanes.append(None)
            colours.append(NO_LANE)
        column = lanes.index(None)
        used = {colour for lane, colour in zip(lanes, colours, strict=True) if lane is not None}
        turns = [(last_colour + step) % COLOURS for step in range(1, COLOURS + 1)]
        last_colour = next((colour for colour in turns if colour not in used), turns[0])
        lanes[column], colours[column] = target, last_colour
        return column

    def current() -> tuple[int, ...]:
        return tuple(NO_LANE if lane is None else colour for lane, colour in zip(lanes, colours, strict=True))

    for identifier, given in commits:
        new = identifier not in lanes
        column = open_lane(identifier) if new else lanes.index(identifier)
        before, colour = current(), colours[column]
        lanes[column] = None
        links: list[int] = []
        moved = None
        for parent in dict.fromkeys(given):
            if parent in lanes:
                links.append(lanes.index(parent))
            elif lanes[column] is None:
                lanes[column] = parent
                links.append(column)
            else:
                links.append(open_lane(parent))
        if len(links) == 1 and links[0] > column:
            # The parent's line comes over to this lane, so that lanes to the right end where they can.
            moved = links[0]
            lanes[column], lanes[moved] = lanes[moved], None
            links = [column]
        while lanes and lanes[-1] is None:
            lanes.pop()
            colours.pop()
        yield Row(identifier, column, colour, before, current(), tuple(links), moved, new, new and ended == column)
        ended = None if links else column


def draw(row: Row[T]) -> Drawn:
    """Return a row in cells: lanes at even places, what lies between them at odd ones."""
    node = [_EMPTY] * (2 * len(row.before) - 1)
    for lane, colour in enumerate(row.before):
        if colour != NO_LANE:
            node[2 * lane] = Cell(UP | DOWN, colour)
    gap = tuple(cell if place != 2 * row.column else _EMPTY for place, cell in enumerate(node)) if row.gap else None
    node[2 * row.column] = Cell(NODE, row.colour)
    aside = row.moved is not None or any(lane != row.column for lane in row.links)
    return Drawn(gap, tuple(node), _link(row) if aside else None, verticals(row.after))


def verticals(lanes: Sequence[int], mask: int = UP | DOWN) -> Line:
    """Return a line in which all lanes just go on (or end, with the mask ``END``)."""
    cells = [_EMPTY] * max(2 * len(lanes) - 1, 0)
    for lane, colour in enumerate(lanes):
        if colour != NO_LANE:
            cells[2 * lane] = Cell(mask, colour)
    return tuple(cells)


def _link(row: Row[T]) -> Line:
    width = 2 * max(len(row.before), len(row.after)) - 1
    cells = [_EMPTY] * width

    def add(place: int, mask: int, colour: int) -> None:
        cells[place] = Cell(cells[place].mask | mask, colour)

    for lane, colour in enumerate(row.before):
        if colour != NO_LANE and lane not in (row.column, row.moved):
            add(2 * lane, UP | DOWN, colour)
    own = 2 * row.column
    add(own, UP, row.colour)
    if row.column in row.links:
        add(own, DOWN, row.colour)
    if row.moved is not None:
        colour = row.before[row.moved]
        _across(cells, own, 2 * row.moved, set(), colour)
        add(own, RIGHT, row.colour)
        add(2 * row.moved, UP | LEFT, colour)
        return tuple(cells)
    # The farthest first: what is shared takes the colour of the nearest.
    for lane in sorted(row.links, key=lambda each: -abs(each - row.column)):
        if lane == row.column:
            continue
        to_right = lane > row.column
        # A line that ends by joining another lane keeps its own colour up to there.
        joins = lane < len(row.before) and row.before[lane] != NO_LANE
        colour = row.colour if joins else row.after[lane]
        _across(cells, own, 2 * lane, {2 * each for each in row.links}, colour)
        add(own, RIGHT if to_right else LEFT, row.colour)
        add(2 * lane, DOWN | (LEFT if to_right else RIGHT), row.after[lane])
    return tuple(cells)


def _across(cells: list[Cell], start: int, end: int, joins: Collection[int], colour: int) -> None:
    """Draw a horizontal line between two places; it passes under lanes that it does not join."""
    for place in range(min(start, end) + 1, max(start, end)):
        mask = cells[place].mask
        if place in joins:
            cells[place] = Cell(mask | LEFT | RIGHT, cells[place].colour)
        elif not mask & (UP | DOWN):
            cells[place] = Cell(LEFT | RIGHT, colour)


def character(cell: Cell, *, boxes: bool, node: str = "") -> str:
    """Return the character of a cell; ``node`` stands for the commit."""
    if cell.mask == NODE:
        return node or ("○" if boxes else "*")
    if cell.mask == END:
        return "~"
    return (_BOXES if boxes else _ASCII)[cell.mask]
