"""Search indexes of Redis: what FT.INFO says of one, and the FT.CREATE that makes the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vexrepo.errors import StoreError
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.points import TEXTS, Fields
from vexrepo.remotes.stores.redis_forms import DTYPES, TIMES, Keys, Layout, VectorField

VECTORS: Final = ("vector", "embedding", "content_vector", "text_vector")


@dataclass(frozen=True, slots=True)
class IndexField:
    """A field of an index: its path, its name in queries, its type and what FT.CREATE is given after that."""

    path: str
    name: str
    type: str
    args: tuple[str, ...] = ()

    @property
    def member(self) -> str | None:
        """The hash field, or the document's member at the top, that is indexed; None for one further down."""
        if not self.path.startswith("$"):
            return self.path
        member = self.path.removeprefix("$.")
        return None if member == self.path or any(each in member for each in ".[*$") else member

    def option(self, name: str) -> str:
        """Return an option's value, "" where there is none."""
        names = [each.upper() for each in self.args]
        at = names.index(name) + 1 if name in names else len(names)
        return self.args[at] if at < len(self.args) else ""


@dataclass(frozen=True, slots=True)
class Index:
    """An index.  ``count`` documents are in it; None where it does not have all that it should."""

    name: str
    keys: Keys
    prefixes: tuple[str, ...]
    fields: tuple[IndexField, ...]
    count: int | None = None
    failures: int = 0
    trouble: str = ""

    def members(self, kind: str) -> list[str]:
        """Return which members are indexed as a type."""
        return [each.member for each in self.fields if each.type == kind and each.member is not None]

    def text(self) -> str | None:
        """Return the member that has the text, None where no name says so."""
        found = self.members("TEXT")
        return next((name for name in TEXTS if name in found), None)

    def layout(self, main: str | None) -> Layout:
        """Return how its keys are laid out; ``main`` is the field of the main vector, None: found by name.

        Raises: StoreError (store-schema) for vectors of numbers that are not known, or a field that is not there.
        """
        held = {each.member: each for each in self.fields if each.type == "VECTOR" and each.member is not None}
        if main is not None and main not in held and held:
            raise StoreError(
                f"index {self.name!r:.60} has no vector field {main!r:.60}; it has {', '.join(sorted(held))}",
                code="store-schema",
            )
        first = main or next((name for name in VECTORS if name in held), next(iter(held), "vector"))
        vectors = {MAIN: VectorField(first)}
        for name, each in held.items():
            dtype = DTYPES.get(each.option("TYPE").upper() or "FLOAT32")
            if dtype is None:
                raise StoreError(
                    f"index {self.name!r:.60}: {name!r:.60} has numbers of type {each.option('TYPE')}; expected one of "
                    f"{', '.join(DTYPES)}",
                    code="store-schema",
                )
            dims = each.option("DIM")
            vectors[MAIN if name == first else name] = VectorField(
                name, dtype if self.keys == "hash" else "<f4", int(dims) if dims.isdigit() else 0
            )
        return Layout(self.keys, vectors, TIMES | {*self.members("NUMERIC")})

    def spaces(self, layout: Layout) -> dict[str, Space]:
        """Return the vectors it is set up for."""
        held = {*self.members("VECTOR")}
        return {
            name: Space(name, "dense", None, each.dims, "f32")
            for name, each in layout.vectors.items()
            if each.dims and each.name in held
        }

    def config(self) -> dict[str, Any]:
        """Return what ``of_config`` makes the same index of, elsewhere."""
        rows = [[each.path, each.name, each.type, *each.args] for each in self.fields]
        return {"keys": self.keys, "fields": rows}

    def command(self) -> list[str]:
        """Return the FT.CREATE command."""
        found = ["FT.CREATE", self.name, "ON", self.keys.upper(), "PREFIX", str(len(self.prefixes)), *self.prefixes]
        found.append("SCHEMA")
        for each in self.fields:
            found += [each.path, *(["AS", each.name] if each.name != each.path else []), each.type]
            if each.type == "VECTOR":
                algorithm, *options = each.args
                found += [algorithm, str(len(options)), *options]
            else:
                found += each.args
        return found


def new_index(name: str, keys: Keys, prefix: str, fields: Fields, spaces: Mapping[str, Space], main: str) -> Index:
    """Return an index for memories: full text, namespace and model, and each vector by cosine (HNSW)."""

    def at(member: str, kind: str, *args: str) -> IndexField:
        return IndexField(f"$.{member}" if keys == "json" else member, member, kind, args)

    rows = [at(fields.text, "TEXT"), at(fields.namespace, "TAG"), at(fields.model, "TAG")]
    for space in sorted(spaces.values(), key=lambda each: each.name):
        options = ("TYPE", "FLOAT32", "DIM", str(space.dims), "DISTANCE_METRIC", "COSINE")
        rows.append(at(space.name or main, "VECTOR", "HNSW", *options))
    return Index(name, keys, (prefix,), tuple(rows))


def of_config(name: str, prefix: str, config: Mapping[str, Any], spaces: Mapping[str, Space]) -> Index | None:
    """Return an index as a configuration says, with the dims that are wanted now; None where it says nothing usable."""
    rows, keys = config.get("fields"), config.get("keys")
    if not isinstance(rows, list) or not rows or keys not in ("hash", "json"):
        return None
    fields = []
    for row in rows:
        if not (isinstance(row, list) and len(row) >= 3 and all(isinstance(each, str) for each in row)):
            return None
        fields.append(IndexField(row[0], row[1], row[2], tuple(row[3:])))
    found = Index(name, keys, (prefix,), tuple(fields))
    layout = found.layout(None)
    by_member = {each.name: spaces[name].dims for name, each in layout.vectors.items() if name in spaces}
    fitted = tuple(
        IndexField(each.path, each.name, each.type, _with_dims(each.args, by_member.get(each.member or "")))
        for each in fields
    )
    return Index(name, keys, (prefix,), fitted)


def _with_dims(args: tuple[str, ...], dims: int | None) -> tuple[str, ...]:
    if dims is None or "DIM" not in args:
        return args
    at = args.index("DIM") + 1
    return (*args[:at], str(dims), *args[at + 1 :])


def read_index(name: str, answer: Any) -> Index:
    """Return what an answer to FT.INFO says.  Raises: StoreError (store-answer)."""
    info = _members(answer)
    definition = _members(info.get("index_definition", ()))
    keys = _text(definition.get("key_type", b"HASH")).lower()
    if keys not in ("hash", "json") or "attributes" not in info:
        raise StoreError(f"index {name!r:.60}: FT.INFO says nothing that is understood", code="store-answer")
    fields = tuple(_field(row) for row in info["attributes"])
    failures = int(_text(info.get("hash_indexing_failures", b"0")))
    is_whole = not failures and float(_text(info.get("percent_indexed", b"1"))) >= 1
    errors = _members(info.get("Index Errors", ()))
    return Index(
        name,
        "json" if keys == "json" else "hash",
        tuple(_text(each) for each in definition.get("prefixes", ())) or ("",),
        fields,
        int(_text(info.get("num_docs", b"0"))) if is_whole else None,
        failures,
        _text(errors.get("last indexing error", b"")) if failures else "",
    )


_VECTOR_OPTIONS: Final = {
    "data_type": "TYPE",
    "dim": "DIM",
    "distance_metric": "DISTANCE_METRIC",
    "m": "M",
    "ef_construction": "EF_CONSTRUCTION",
    "ef_runtime": "EF_RUNTIME",
    "epsilon": "EPSILON",
    "initial_cap": "INITIAL_CAP",
    "block_size": "BLOCK_SIZE",
}


def _field(row: Sequence[Any]) -> IndexField:
    words = [_text(each) for each in row]
    named = dict(zip(words[0:6:2], words[1:6:2], strict=True))
    kind, rest = named.get("type", ""), words[6:]
    if kind == "VECTOR":
        options = {key.lower(): value for key, value in zip(rest[::2], rest[1::2], strict=False)}
        args = [options.get("algorithm", "HNSW")]
        for key, name in _VECTOR_OPTIONS.items():
            if key in options:
                args += [name, options[key]]
    else:
        args = _in_order(kind, rest)
    return IndexField(named.get("identifier", ""), named.get("attribute", ""), kind, tuple(args))


def _in_order(kind: str, rest: list[str]) -> list[str]:
    """Return options in the order FT.CREATE wants, which is not that of FT.INFO: those of the type come first."""
    last = ("SORTABLE", "UNF", "NOINDEX", "INDEXEMPTY", "INDEXMISSING")
    own = [each for each in rest if each.upper() not in last]
    common = [each for each in last if each in [word.upper() for word in rest]]
    if (kind, own[:2]) in (("TEXT", ["WEIGHT", "1"]), ("TAG", ["SEPARATOR", ""])):  # as it is if nothing is said
        own = own[2:]
    return [*own, *common]


def _members(flat: Any) -> dict[str, Any]:
    """Return a map that is told as a list of names and values."""
    if isinstance(flat, Mapping):
        return {_text(key): value for key, value in flat.items()}
    return {_text(key): value for key, value in zip(flat[::2], flat[1::2], strict=False)}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
