"""What a Weaviate class is set up for: its properties with their types, its vectors, the request that makes it again.

A property has one type for all objects.  A member of a payload that is to be written gets a property of its own, of the
type of the first value that is seen; values of other types are carried.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities, is_uuid
from vexrepo.remotes.stores.points import RESERVED, Fields

DISTANCES: Final = ("cosine", "dot", "l2-squared", "hamming", "manhattan")
DEFAULT: Final = "default"  # what clients call the only vector of a class with named vectors
MOST_PROPERTIES: Final = 200  # that are made for members of metadata: each costs an index
ORIGINAL: Final = ("text", "model", "namespace", "created_at", "metadata")  # the original tool's properties, all text
JSON_TEXT: Final = "metadata"  # the one of them that is JSON
# What is kept of a class; shards, replicas and tenants are the cluster's.
_KEPT: Final = (
    "description",
    "invertedIndexConfig",
    "moduleConfig",
    "objectTtlConfig",
    "vectorConfig",
    "vectorIndexConfig",
    "vectorIndexType",
    "vectorizer",
)
_INTERNAL: Final = frozenset({"bucketGeneration", "searchableBlockmax"})  # clients must not set them, it says
_NAME = re.compile(r"[a-z_][_0-9A-Za-z]{0,230}")  # the first letter would be made small
_TARGET = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,229}")
_TAKEN: Final = frozenset({"_additional", "_id", "id"})
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|[+-](?!00:00)\d\d:\d\d)")  # as Go prints it
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_EXACT = 1 << 53  # numbers are doubles, whole ones too
_PLACES = ("latitude", "longitude")


def holds(kind: str, value: Any, nested: Mapping[str, tuple[str, Any]] | None = None) -> bool:
    """Whether a property of a type gives a value back as it is."""
    if kind == "text[]":  # as below, and quicker
        return isinstance(value, list) and bool(value) and all(type(each) is str and "\0" not in each for each in value)
    if kind.endswith("[]"):
        return isinstance(value, list) and bool(value) and all(holds(kind[:-2], each, nested) for each in value)
    if kind[:1].isupper():  # references to objects
        return isinstance(value, list) and bool(value) and all(map(_is_reference, value))
    match kind:
        case "text" | "string":
            return isinstance(value, str) and "\0" not in value
        case "boolean":
            return isinstance(value, bool)
        case "int":
            return type(value) is int and -(1 << 63) <= value < 1 << 63 and _is_number(value)
        case "number":
            return _is_number(value)
        case "date":
            return isinstance(value, str) and _is_date(value)
        case "uuid":
            return isinstance(value, str) and is_uuid(value)
        case "blob":
            return isinstance(value, str) and _BASE64.fullmatch(value) is not None
        case "geoCoordinates":
            is_place = isinstance(value, dict) and sorted(value) == sorted(_PLACES)
            return is_place and all(_is_short(each) for each in value.values())
        case "phoneNumber":
            return isinstance(value, dict) and isinstance(value.get("input"), str) and "valid" in value
        case "object":
            known = nested or {}
            return (
                isinstance(value, dict)
                and bool(value)
                and all(name in known and holds(known[name][0], each, known[name][1]) for name, each in value.items())
            )
    return False


def sent(kind: str, value: Any) -> Any:
    """Return a value as it is sent: without what the server makes of it itself."""
    if kind[:1].isupper():
        return [{"beacon": each["beacon"]} for each in value]
    if kind == "phoneNumber":
        return {name: value[name] for name in ("input", "defaultCountry") if value.get(name)}
    if kind == "number" and abs(value) >= 1 << 63:
        return float(value)  # the same, in a form that is written
    return [sent(kind[:-2], each) for each in value] if kind == "number[]" else value


def kind_of(value: Any) -> str | None:
    """Return the type of property that a value wants; None for one that is carried."""
    if isinstance(value, list):
        kinds = {kind_of(each) for each in value}
        kind = kinds.pop() if len(kinds) == 1 else None
        return None if kind is None or kind.endswith("[]") else kind + "[]"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text" if holds("text", value) else None
    return "number" if _is_number(value) else None


def _is_number(value: Any) -> bool:
    """Whether a number is a double that is printed and read as it was."""
    if type(value) not in (int, float) or (value == 0 and str(value) == "-0.0"):
        return False
    if abs(value) <= _EXACT or (isinstance(value, float) and abs(value) >= 1e21):
        return True
    # Up to 10^21 all digits are printed, as zeros after those that tell the double.
    return bool(abs(value) < 1e21 and int(Decimal(repr(float(value)))) == value)


def _is_date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and datetime.fromisoformat(text).year > 0
    except ValueError:
        return False


def _is_short(value: Any) -> bool:
    """Whether a number is the shortest decimal of a float32, as which it comes back."""
    import numpy as np

    return type(value) in (int, float) and abs(value) <= 180 and bool(float(str(np.float32(value))) == value)


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("beacon"), str) and not value.keys() - {"beacon", "href"}


class Schema:
    """The properties and vectors of a class, and the properties that are to be made."""

    def __init__(self, info: Mapping[str, Any] | None = None, properties: Any = None) -> None:
        """Read the definition of a class, as the server gives it; None: it is to be made, with these properties."""
        self.info = info
        self.kinds: dict[str, str] = {}
        self.new: dict[str, str] = {}
        self.is_closed = False  # no more properties are to be made
        self._nested: dict[str, dict[str, tuple[str, Any]]] = {}
        self._lower: set[str] = set()
        for each in _objects(properties if info is None else info.get("properties")):
            name, kind = str(each.get("name")), _data_type(each)
            self.kinds[name] = kind
            self._lower.add(name.lower())
            self._nested[name] = _nested(each)
        self.is_original = all(self.kinds.get(name) == "text" for name in ORIGINAL)
        self.vectors = {} if info is None else _vectors(info)

    @property
    def has_legacy_vector(self) -> bool:
        """Whether the main vector is the one without a name, as all classes had before named vectors."""
        return MAIN in self.vectors and DEFAULT not in _object((self.info or {}).get("vectorConfig"))

    @property
    def embeds(self) -> bool:
        """Whether the server makes a main vector itself for an object that comes without one."""
        info = self.info or {}
        default = _object(info.get("vectorConfig")).get(DEFAULT)
        if default is not None:
            return bool(_object(default.get("vectorizer")).keys() - {"none"})
        return MAIN in self.vectors and info.get("vectorizer") not in (None, "", "none")

    @property
    def keeps_tenants(self) -> bool:
        """Whether objects are kept by tenant."""
        return _object((self.info or {}).get("multiTenancyConfig")).get("enabled") is True

    def holds_member(self, name: str, value: Any) -> bool:
        """Whether a member of a payload has a property, or can get one, that gives its value back as it is."""
        kind = self.kinds.get(name)
        if kind is not None:
            if kind == "text" and not (self.is_original and name == JSON_TEXT):  # most are
                return type(value) is str and "\0" not in value
            is_read_otherwise = self.is_original and name == JSON_TEXT
            return not is_read_otherwise and holds(kind, value, self._nested.get(name))
        if self.is_closed or name.lower() in self._lower or len(self.new) >= MOST_PROPERTIES:
            return False  # names that differ in case only are taken as one
        return name != "vector" and kind_of(value) is not None  # the official client refuses a property "vector"

    def note(self, payload: Mapping[str, Any]) -> None:
        """Note the members that are to be written, so that they get properties."""
        for name, value in payload.items():
            if name.lower() in self._lower or (len(self.new) >= MOST_PROPERTIES and name != RESERVED):
                continue
            kind = kind_of(value)
            if kind is not None:
                self.kinds[name] = self.new[name] = kind
                self._lower.add(name.lower())

    def sent(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload as properties are sent."""
        return {name: sent(self.kinds[name], value) for name, value in payload.items()}

    def properties(self, fields: Fields) -> list[dict[str, Any]]:
        """Return the definitions of the properties that are to be made."""
        whole = {fields.namespace, fields.model, fields.created_at}
        found = []
        for name, kind in self.new.items():
            made: dict[str, Any] = {"name": name, "dataType": [kind]}
            if name == RESERVED:  # nobody looks for it
                made |= {"indexFilterable": False, "indexSearchable": False}
            elif name in whole and kind == "text":
                made["tokenization"] = "field"
            found.append(made)
        return found

    def capabilities(self) -> Capabilities:
        """Return what the class holds."""
        vectors = self.vectors

        def fits(item: Vector) -> bool:
            name, kind = item.space.name, item.space.kind
            if self.info is None:
                return kind == "dense" and (name == MAIN or _is_target(name))
            return vectors.get(name) == kind

        return Capabilities(
            lambda value: value is not None,
            values="text, flags, doubles, and lists of one of these; a property has one type",
            holds_name=_is_name,
            holds_member=self.holds_member,
            id_form="uuid only",
            kinds=frozenset({"dense", "multi"}),
            is_named=True,
            names=None if self.info is None else frozenset(vectors),
            holds_vector=fits,
            needs_vector=self.embeds,
        )


@lru_cache(4096)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _TAKEN and not name.startswith("__")


def _is_target(name: str) -> bool:
    return name != DEFAULT and _TARGET.fullmatch(name) is not None


def _vectors(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the kind of each vector of a class, by the name that records have for it."""
    found = {}
    for name, each in _object(info.get("vectorConfig")).items():
        index = _object(_object(each).get("vectorIndexConfig"))
        is_multi = _object(index.get("multivector")).get("enabled") is True
        found[MAIN if name == DEFAULT else name] = "multi" if is_multi else "dense"
    if not found or info.get("vectorIndexType"):
        found.setdefault(MAIN, "dense")
    return found


def _data_type(definition: Mapping[str, Any]) -> str:
    kinds = definition.get("dataType")
    return str(kinds[0]) if isinstance(kinds, list) and kinds else ""


def _nested(definition: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    members = _objects(definition.get("nestedProperties"))
    return {str(each.get("name")): (_data_type(each), _nested(each)) for each in members}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


# -- making it again ---------------------------------------------------------------------------------------------------


def read_config(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of the definition of a class.  Properties are in order of their names."""
    found = {name: info[name] for name in _KEPT if info.get(name) not in (None, "", {})}
    properties = [
        {name: value for name, value in each.items() if name not in _INTERNAL and value is not None}
        for each in _objects(info.get("properties"))
    ]
    if properties:
        found["properties"] = sorted(properties, key=lambda each: str(each.get("name")))
    return found


def own_properties(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the properties of a kept configuration but references to other classes: those need not be there."""
    return [each for each in _objects(config.get("properties")) if not _data_type(each)[:1].isupper()]


def creation(
    name: str, spaces: Iterable[Space], config: Mapping[str, Any], made: list[dict[str, Any]], distance: str
) -> dict[str, Any]:
    """Return the request that makes a class for these vectors and properties, set up as a kept configuration says."""
    body = {each: config[each] for each in _KEPT if config.get(each) is not None}
    body["properties"] = [*own_properties(config), *made]
    body["class"] = name
    named = {each.name for each in spaces if each.name != MAIN}
    vectors = dict(_object(body.get("vectorConfig")))
    if not vectors and not named:
        body.setdefault("vectorizer", "none")
        body.setdefault("vectorIndexConfig", {"distance": distance})
        return body
    usual = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw", "vectorIndexConfig": {"distance": distance}}
    if body.get("vectorIndexType") and not vectors:  # one vector then, several now
        maker = str(body.get("vectorizer") or "none")
        vectors[DEFAULT] = {
            "vectorizer": {maker: _object(_object(body.get("moduleConfig")).get(maker))},
            "vectorIndexType": body["vectorIndexType"],
            "vectorIndexConfig": body.get("vectorIndexConfig") or {},
        }
    for space in spaces:
        vectors.setdefault(DEFAULT if space.name == MAIN else space.name, usual)
    for each in ("vectorizer", "vectorIndexType", "vectorIndexConfig"):
        body.pop(each, None)
    body["vectorConfig"] = vectors
    return body


def pack(name: str, value: Any) -> Vector | None:
    """Return a vector of an answer; None for an empty one.  Raises: struct.error, TypeError for what is none."""
    if not value:
        return None
    if isinstance(value[0], list):
        dims = len(value[0])
        row = b"".join(struct.pack(f"<{dims}f", *each) for each in value)
        return Vector(Space(name, "multi", None, dims, "f32"), row)
    return Vector(Space(name, "dense", None, len(value), "f32"), struct.pack(f"<{len(value)}f", *value))
