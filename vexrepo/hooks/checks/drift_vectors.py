"""Whether vectors belong to an embedding space, by samples of bounded size.

``VectorGroup`` takes the new vectors of one namespace and embedding space as they come and keeps counts and a sample.
Where the memory holds vectors of that space already, the new ones are compared with a sample of those.

The tests, and why they may speak with few samples:

- *norms*: most new lengths lie outside the range of the known ones.  Under the same model a length falls outside the
  widened 98 % range once in fifty times at most; eight of them, most outside, do not happen.
- *foreign*: the known vectors of any model lie near a subspace of few directions.  Its directions are taken from one
  half of the sample; the other half tells how much of a vector's length known vectors keep in it (far more than the
  k of d that a vector of another model keeps by chance).  New vectors are foreign where their median lies near that
  chance, and their ranks are below those of the known at p < 0.0001.  A new topic lowers the share, but not so far.
- *hub*: of 64 known memories, a new vector is nearer to one than all the others are about once by chance, and in real
  embeddings to a seventh of them at the very most; one that is nearer to more than a fifth was made for it.
- *same*: one vector for many different texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from vexrepo.hooks.surrounding import Shape
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

LEAST_NEW = 8
LEAST_KNOWN = 32
HUB_KNOWN = 50  # known vectors, for one to be a hub among them
HUB_SHARE = 0.22  # measured: natural vectors at most 0.18, the mean of all vectors at least 0.25
ZERO_SHARE = 0.05
LEAST_BLANK = 8
SAME_SHARE = 0.1
LEAST_SAME = 5
NORM_FACTOR = 5.0  # a single vector so many times as long as the longest known one
MOST_NAMED = 10  # vectors of one rule that are named
_TALLY = 64
_FOREIGN_Z = -3.7  # p < 0.0001, one-sided
_FOREIGN_PART = 0.25  # of the way from chance to what known vectors keep


class Oddity(NamedTuple):
    """What is odd: a rule, words, how much (0 to 1), and the record's key where it is about one."""

    rule: str
    message: str
    score: float
    key: bytes | None = None


class VectorGroup:
    """The new vectors of one namespace and embedding space."""

    SAMPLE: ClassVar[int] = 1024  # vectors of either side that are compared
    _PROBES: ClassVar[int] = 64  # known vectors that every new one is held against

    def __init__(self, shape: Shape, known: Matrix | None) -> None:
        self.count = 0
        self._shape = shape
        self._known = known if known is not None and len(known) else None
        self._known_norms = None if self._known is None else _norms(self._known)
        self._probes: tuple[Matrix, Matrix] | None = None
        if self._known is not None and len(self._known) >= HUB_KNOWN:
            self._probes = _probes(_units(self._known), self._PROBES)
        self._rows: list[Matrix] = []
        self._ranks: list[NDArray[np.uint64]] = []
        self._keys: list[bytes] = []
        self._kept = 0
        self._zeros = 0
        self._constants = 0
        self._same = _Heaviest(_TALLY)
        self._named: dict[str, int] = {}

    def take(self, items: Sequence[tuple[Record, Vector]]) -> Iterator[Oddity]:
        """Take vectors in; yield those that are odd by themselves."""
        import numpy as np

        parts = [
            np.frombuffer(item.row, "<f8" if item.space.dtype == "f64" else "<f4").astype(np.float64)
            for _, item in items
        ]
        rows = np.stack(parts)
        norms = _norms(rows)
        self.count += len(rows)
        zero = norms == 0
        self._zeros += int(zero.sum())
        self._constants += int(((rows == rows[:, :1]).all(axis=1) & ~zero).sum()) if rows.shape[1] > 1 else 0
        for (record, item), is_zero in zip(items, zero.tolist(), strict=True):
            if not is_zero:
                self._same.add(item.row, record)
        yield from self._long(items, norms)
        if self._probes is not None:
            yield from self._hubs([record.key for record, _ in items], rows, *self._probes)
        self._keep(items, rows)

    def _keep(self, items: Sequence[tuple[Record, Vector]], rows: Matrix) -> None:
        """Keep a sample that does not depend on the order: the smallest record ids, which are digests."""
        import numpy as np

        self._rows.append(rows)
        self._ranks.append(np.frombuffer(b"".join(record.id[:8] for record, _ in items), ">u8").astype(np.uint64))
        self._keys += [record.key for record, _ in items]
        self._kept += len(items)
        if self._kept >= 2 * self.SAMPLE:
            self._prune()

    def _prune(self) -> None:
        import numpy as np

        rows, ranks = np.concatenate(self._rows), np.concatenate(self._ranks)
        if len(rows) > self.SAMPLE:
            chosen = np.sort(np.argpartition(ranks, self.SAMPLE)[: self.SAMPLE])
            rows, ranks = rows[chosen], ranks[chosen]
            self._keys = [self._keys[place] for place in chosen.tolist()]
        self._rows, self._ranks, self._kept = [rows], [ranks], len(rows)

    def _may_name(self, rule: str) -> bool:
        self._named[rule] = self._named.get(rule, 0) + 1
        return self._named[rule] <= MOST_NAMED

    def _long(self, items: Sequence[tuple[Record, Vector]], norms: Matrix) -> Iterator[Oddity]:
        if self._known_norms is None or len(self._known_norms) < LEAST_KNOWN:
            return
        longest = float(self._known_norms.max())
        if not longest:
            return
        for place in (norms > NORM_FACTOR * longest).nonzero()[0].tolist():
            if self._may_name("norm-outlier"):
                words = f"a vector {norms[place] / longest:.0f} times as long as the longest known one"
                yield Oddity(
                    "norm-outlier", f"{words}: by inner product it is near to everything", 1.0, items[place][0].key
                )

    def _hubs(self, keys: Sequence[bytes], rows: Matrix, probes: Matrix, nearest: Matrix) -> Iterator[Oddity]:
        closer = (_units(rows) @ probes.T > nearest + 1e-9).mean(axis=1)
        for place in (closer >= HUB_SHARE).nonzero()[0].tolist():
            if self._may_name("hub"):
                words = f"nearer to {closer[place]:.0%} of the known memories than their nearest neighbour"
                yield Oddity("hub", f"{words}: made to be found for everything", float(closer[place]), keys[place])

    def finish(self) -> Iterator[Oddity]:
        """Yield what the vectors show together."""
        import numpy as np

        self._prune()
        rows = self._rows[0]
        norms = _norms(rows)
        yield from self._blank()
        yield from self._repeated()
        if self._known is None or self._known_norms is None:
            if len(rows) >= HUB_KNOWN:  # nothing to compare with but the batch itself
                yield from self._hubs(self._keys, rows, *_probes(_units(rows), self._PROBES))
            return
        filled = norms > 0
        if filled.sum() < LEAST_NEW or len(self._known) < LEAST_KNOWN:
            return
        known_norms = self._known_norms[self._known_norms > 0]
        if len(known_norms) >= LEAST_KNOWN:
            low, high = np.quantile(known_norms, 0.01) / 1.1, np.quantile(known_norms, 0.99) * 1.1
            outside = float(((norms[filled] < low) | (norms[filled] > high)).mean())
            if outside > 0.5:
                yield Oddity(
                    "norms",
                    f"{outside:.0%} of {self.count:,} new vectors are not as long as the known ones: median "
                    f"{np.median(norms[filled]):.3g}, known {np.quantile(known_norms, 0.01):.3g} to "
                    f"{np.quantile(known_norms, 0.99):.3g}",
                    outside,
                )
        yield from self._foreign(_units(rows[filled]))

    def _blank(self) -> Iterator[Oddity]:
        for rule, count, what in (
            ("zero", self._zeros, "all zeros"),
            ("constant", self._constants, "one number repeated"),
        ):
            if count >= LEAST_BLANK and count / self.count >= ZERO_SHARE:
                yield Oddity(rule, f"{count:,} of {self.count:,} new vectors are {what}", count / self.count)

    def _repeated(self) -> Iterator[Oddity]:
        for key, count, texts in self._same.heaviest():
            if count >= LEAST_SAME and count / self.count >= SAME_SHARE and texts >= 3:
                words = f"one vector for at least {count:,} of {self.count:,} new memories, whose texts differ"
                yield Oddity("same", words, count / self.count, key)

    def _foreign(self, new: Matrix) -> Iterator[Oddity]:
        import numpy as np

        assert self._known is not None
        known = _units(self._known[_norms(self._known) > 0])
        first, second = known[0::2], known[1::2]
        directions = max(1, min(len(first) // 4, self._shape.dims // 8))
        _, _, basis = np.linalg.svd(first, full_matrices=False)
        basis = basis[:directions]
        of_known = ((second @ basis.T) ** 2).sum(axis=1)
        of_new = ((new @ basis.T) ** 2).sum(axis=1)
        chance = directions / self._shape.dims
        usual, found = float(np.median(of_known)), float(np.median(of_new))
        if usual < 2 * chance:
            return  # the known vectors keep to no directions: this test can tell nothing
        if found < chance + _FOREIGN_PART * (usual - chance) and _rank_z(of_new, of_known) < _FOREIGN_Z:
            yield Oddity(
                "foreign",
                f"{self.count:,} new vectors do not lie where those of {_model(self._shape)} do: they keep {found:.0%} "
                f"of length² in its {directions} main directions, known ones {usual:.0%}, any vectors {chance:.0%}",
                min(1.0, 1 - max(0.0, (found - chance) / (usual - chance))),
            )


class _Heaviest:
    """The most frequent rows of a stream, with a bounded number of counters (Misra and Gries, 1982).

    A count is too low by at most the rows seen divided by the counters.
    """

    def __init__(self, counters: int) -> None:
        self._most = counters
        self._counts: dict[bytes, int] = {}
        self._seen: dict[bytes, tuple[bytes, set[bytes]]] = {}  # the first record's key; a few records' bodies' ids

    def add(self, row: bytes, record: Record) -> None:
        counts = self._counts
        if row in counts:
            counts[row] += 1
            texts = self._seen[row][1]
            if len(texts) < 3:
                texts.add(_text_of(record))
        elif len(counts) < self._most:
            counts[row] = 1
            self._seen[row] = (record.key, {_text_of(record)})
        else:
            for known in [each for each, count in counts.items() if count == 1]:
                del counts[known], self._seen[known]
            for known in counts:
                counts[known] -= 1

    def heaviest(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield the first record's key, the count and how many texts differ (3 at most), most frequent first."""
        for row, count in sorted(self._counts.items(), key=lambda each: -each[1]):
            key, texts = self._seen[row]
            yield key, count, len(texts)


def _text_of(record: Record) -> bytes:
    return record.text.encode("utf-8", "replace")[:200]


def _norms(rows: Matrix) -> Matrix:
    import numpy as np

    with np.errstate(over="ignore"):
        found: Matrix = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return found


def _units(rows: Matrix) -> Matrix:
    """Return rows scaled to length 1; a row of zeros stays."""
    import numpy as np

    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)  # keeps the squares inside the range of a double
    scaled = rows / np.where(largest > 0, largest, 1.0)
    lengths = _norms(scaled)[:, None]
    units: Matrix = scaled / np.where(lengths > 0, lengths, 1.0)
    return units


def _probes(units: Matrix, most: int) -> tuple[Matrix, Matrix]:
    """Return some of the rows, and for each the cosine of its nearest neighbour among them."""
    import numpy as np

    count = min(most, len(units))
    chosen = units[np.arange(count) * len(units) // count]
    cosines = chosen @ chosen.T
    np.fill_diagonal(cosines, -2.0)
    return chosen, cosines.max(axis=1)


def _rank_z(one: Matrix, other: Matrix) -> float:
    """Return the z-score of the rank sum of ``one`` among both (Mann and Whitney, 1947): negative where it is lower."""
    import numpy as np

    both = np.concatenate((one, other))
    ranks = np.empty(len(both))
    ranks[np.argsort(both, kind="stable")] = np.arange(1, len(both) + 1)
    n, m = len(one), len(other)
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def _model(shape: Shape) -> str:
    return "this space" if shape.model is None else f"{shape.model!r:.60}"
