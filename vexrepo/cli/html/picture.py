"""How a memory moved: its vectors in two dimensions, as SVG."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vexrepo.cli.html.cards import title_text
from vexrepo.objects.record import body_value
from vexrepo.objects.vector import MAIN, Vector, floats
from vexrepo.repository.difference import Loose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vexrepo.history.walk import RecordAt
    from vexrepo.repository.difference import Difference

    Matrix = NDArray[np.floating[Any]]

WIDTH, MARGIN = 960, 28
LOWEST, HIGHEST = 300, 620
SHORTEST_ARROW = 7.0
FIT_ROWS = 1_000
MANY, MOST = 120, 600  # from here on dots are smaller and lines fainter

Shape = tuple[str, str | None, int]


@dataclass(frozen=True, slots=True)
class Dot:
    """One memory in the picture; ``anchor`` is its article, "" for one that did not change."""

    kind: str
    title: str
    anchor: str
    old: Vector | None
    new: Vector | None


def dot_of(change: Difference, anchor: str) -> Dot:
    """Return the dot of a memory that differs."""
    side = change.new or change.old
    assert side is not None
    old = main_vector(change.old) if change.old else None
    new = main_vector(change.new) if change.new else None
    return Dot(change.kind, title_text(change.key, _text(side), change.kind), anchor, old, new)


def still_dot(record: RecordAt) -> Dot:
    """Return the dot of a memory that is the same on both sides."""
    vector = main_vector(record)
    return Dot("same", title_text(record.reader.leaf.keys[record.row], _text(record), ""), "", vector, vector)


def _text(side: RecordAt | Loose) -> str:
    found = body_value(side.body).get("text")
    return found if isinstance(found, str) else ""


def main_vector(side: RecordAt | Loose) -> Vector | None:
    """Return a record's own dense vector, else its first named one, else None."""
    vectors = side.record.vectors if isinstance(side, Loose) else side.reader.row_vectors(side.row)
    dense = [vector for vector in vectors if vector.space.kind == "dense"]
    return next((vector for vector in dense if vector.space.name == MAIN), dense[0] if dense else None)


def _shape(vector: Vector) -> Shape:
    return vector.space.name, vector.space.model, vector.space.dims


def picture(dots: list[Dot]) -> tuple[str, list[str]]:
    """Return the SVG and what to say of it, "" for fewer than two places.

    Dots that did not change come first in it, so that they lie below.
    """
    import numpy as np

    from vexrepo.history.projection import fit_projection

    shapes = Counter(_shape(vector) for dot in dots for vector in (dot.old, dot.new) if vector is not None)
    if not shapes:
        return "", ["None of these memories has a dense vector, so there is nothing to draw."]
    shape = max(shapes, key=lambda each: (shapes[each], str(each)))
    places: list[tuple[Dot, int | None, int | None]] = []
    rows: list[Matrix] = []
    left_out = 0
    for dot in sorted(dots, key=lambda each: ("same", "forgotten", "learned", "changed").index(each.kind)):
        ends: list[int | None] = []
        for vector in (dot.old, dot.new):
            fits = vector is not None and _shape(vector) == shape
            if fits and dot.kind == "same" and ends:
                ends.append(ends[0])
            elif fits:
                assert vector is not None
                rows.append(floats(vector.space, vector.row).astype(np.float32))
                ends.append(len(rows) - 1)
            else:
                ends.append(None)
        if ends == [None, None]:
            left_out += 1
        else:
            places.append((dot, ends[0], ends[1]))
    matrix = np.stack(rows)
    step = np.linspace(0, len(matrix) - 1, min(FIT_ROWS, len(matrix))).round().astype(int)
    projection = fit_projection(matrix[step])
    at, height = _fit(projection.place(matrix))
    words = [_about(shape, projection.explained)]
    if left_out:
        words.append(f"{left_out:,} without such a vector {'is' if left_out == 1 else 'are'} not drawn.")
    marks = [_mark(dot, at, old, new) for dot, old, new in places]
    moving = sum(dot.kind != "same" for dot, _, _ in places)
    crowd = "few" if moving <= MANY else "many" if moving <= MOST else "many most"
    svg = (
        f'<svg class="{crowd}" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        'aria-label="Where the memories lie, and how they moved">'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="6.6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 .6 7.4 4 0 7.4z"/></marker></defs>'
        f"{''.join(marks)}</svg>"
    )
    return svg, words


def _about(shape: Shape, explained: tuple[float, float]) -> str:
    from vexrepo.cli.html.escape import marked

    name, model, dims = shape
    space = ", ".join(marked(part) for part in (name, model) if part)
    return (
        f"Each dot is a memory; what lies close is alike. The picture shows the two directions in which the vectors"
        f"{f' ({space}, {dims} dims)' if space else f' of {dims} dims'} differ most: {explained[0]:.0%} and "
        f"{explained[1]:.0%} of their variance. Distances in it are therefore only a hint; the cosine distances below "
        "are exact."
    )


def _fit(points: Matrix) -> tuple[Matrix, float]:
    """Return places inside the frame (one scale for both axes), and the frame's height."""
    import numpy as np

    low, high = points.min(axis=0), points.max(axis=0)
    wide, tall = (float(each) for each in high - low)
    inner = WIDTH - 2 * MARGIN
    height = min(max(inner * tall / wide if wide else LOWEST, LOWEST), HIGHEST) + 2 * MARGIN
    scales = [inner / wide] if wide > 1e-9 else []
    scales += [(height - 2 * MARGIN) / tall] if tall > 1e-9 else []
    scale = min(scales, default=1.0)
    middle = (low + high) / 2
    flipped = (points - middle) * np.array([scale, -scale])
    return flipped + np.array([WIDTH / 2, height / 2]), height


def _mark(dot: Dot, at: Matrix, old: int | None, new: int | None) -> str:
    title = f"<title>{dot.title}</title>"
    end = new if new is not None else old
    assert end is not None
    x, y = at[end]
    if dot.kind == "same":
        return f'<circle class="same" cx="{x:.1f}" cy="{y:.1f}" r="2.6">{title}</circle>'
    parts = []
    radius = "4.6"
    if dot.kind == "changed" and old is not None and new is not None:
        a, b = at[old]
        length = float(((x - a) ** 2 + (y - b) ** 2) ** 0.5)
        if length >= SHORTEST_ARROW:
            # The line stops short of the dot, so that the arrow's head shows.
            part = max(length - 6, 1) / length
            parts.append(f'<circle class="was" cx="{a:.1f}" cy="{b:.1f}" r="3.4"/>')
            parts.append(
                f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{a + (x - a) * part:.1f}" y2="{b + (y - b) * part:.1f}" '
                'marker-end="url(#head)"/>'
            )
    parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>')
    inside = f"{title}{''.join(parts)}"
    if not dot.anchor:
        return f'<g class="{dot.kind}">{inside}</g>'
    return f'<a class="{dot.kind}" href="#{dot.anchor}" tabindex="-1">{inside}</a>'
