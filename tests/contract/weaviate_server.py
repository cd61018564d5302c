"""A Weaviate server for tests: its REST interface, made from what is documented and from its published source.

No engine can be had from a package.  Every request and answer is held to Weaviate's OpenAPI document where that is at
hand.  Kept as the server keeps them: names are restricted and their first letter is made small (large, of classes); a
property has one type; numbers are doubles; dates are printed as Go does; the cursor takes no offset and no sort; a
batch is answered with 200 and an error for each object that was refused; a vector fixes its dimensions.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

import numpy as np
import orjson

from tests.hosting.scripted import Request, Said, ScriptedServer
from tests.openapi import Conformance, find_spec
from vexrepo.remotes.stores.address import Address

_spec = find_spec("weaviate-openapi.json")
# The document calls a vector an object; the server's type is "anything", and it takes and gives arrays.
_ARRAY = {"type": "array", "items": {"type": ["number", "array"]}}
CONFORMANCE = Conformance(_spec, {"Vector": _ARRAY}) if _spec is not None else None
_SHOWN = 12  # objects of a request or answer that are held to the description: all are made alike
_TYPES = ("text", "string", "int", "number", "boolean", "date", "uuid", "blob", "object")
_DISTANCES = ("cosine", "dot", "l2-squared", "hamming", "manhattan")
_COUNT = re.compile(r'\{Aggregate\{(\w+)(?:\(tenant:"([^"]*)"\))?\{meta\{count\}\}\}\}')


class Refused(Exception):
    """An answer that is an error; ``why`` None: without a body."""

    def __init__(self, status: int, why: str | None) -> None:
        super().__init__(why or "")
        self.status, self.why = status, why


@dataclass
class Held:
    """An object as it is kept: its properties, its vectors as JSON."""

    properties: dict[str, Any]
    vectors: dict[str, orjson.Fragment]
    made: int


@dataclass
class Class:
    """A class: its definition; by tenant ("": none) its objects by id and the dimensions of each vector."""

    definition: dict[str, Any]
    objects: dict[str, dict[str, Held]] = field(default_factory=dict)
    dims: dict[tuple[str, str], int] = field(default_factory=dict)
    inactive: set[str] = field(default_factory=set)

    @property
    def is_by_tenant(self) -> bool:
        return bool(self.definition["multiTenancyConfig"]["enabled"])


class WeaviateServer(ScriptedServer):
    """Keeps classes; ``refuses`` gives, for an object of a batch, why it is refused for now."""

    def __init__(self, key: str | None = None) -> None:
        super().__init__()
        self.classes: dict[str, Class] = {}
        self.key = key
        self.written: list[Any] = []
        self.most_bytes = 1 << 30
        self.maximum = 10_000  # QUERY_MAXIMUM_RESULTS
        self.is_guessing = False  # AUTOSCHEMA_ENABLED
        self.refuses: Any = lambda value: None

    def address(self, name: str = "Agent", options: dict[str, str] | None = None, **more: Any) -> Address:
        return Address("weaviate", f"//{self.host}/{name}", options or {}, **more)

    def make(self, name: str, properties: Mapping[str, str] | None = None, **more: Any) -> Class:
        """Make a class as another program would."""
        made = [{"name": each, "dataType": [kind]} for each, kind in (properties or {}).items()]
        self._create({"class": name, "vectorizer": "none", "properties": made, **more})
        return self.classes[name]

    def put(self, name: str, objects: list[dict[str, Any]]) -> None:
        """Write objects as another program would."""
        found = self._batch({"objects": [{"class": name, **each} for each in objects]})
        wrong = [each["result"] for each in found if each["result"]["status"] != "SUCCESS"]
        assert not wrong, wrong[:3]

    def respond(self, request: Request) -> Said:
        """Return the answer to a request, both held to the description."""
        method, path = request.method, request.path
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        value: Any = None
        try:
            if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
                raise Refused(401, "anonymous access not enabled. Please authenticate through one of the methods")
            if len(request.body) > self.most_bytes:
                raise Refused(413, "Request Entity Too Large")
            body = json.loads(request.body) if request.body else None  # not orjson: integers keep their digits
            if CONFORMANCE is not None:
                fault = CONFORMANCE.request_fault(method, path, query, _some(body))
                if fault is not None:
                    self.faults.append(fault)
                    raise Refused(422, f"parsing body failed: {fault}")
            if isinstance(body, dict) and "objects" in body:
                self.written += body["objects"]
            value, status = self.answer(method, path, query, body), 200
        except Refused as error:
            status = error.status
            value = None if error.why is None else {"error": [{"message": error.why}]}
        said = b"" if value is None else orjson.dumps(value)
        if CONFORMANCE is not None and status not in (401, 413):
            fault = CONFORMANCE.answer_fault(method, path, status, _some(orjson.loads(said)) if said else None)
            if fault is not None:
                self.faults.append(f"our own answer: {fault}")
        return status, {}, said

    # -- operations --------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Return the answer to a request.  Raises: Refused."""
        parts = [unquote(each) for each in path.removeprefix("/v1/").split("/")]
        match method, parts:
            case "GET", ["meta"]:
                return {"hostname": "http://[::]:8080", "version": "1.36.0", "modules": {}}
            case "POST", ["schema"]:
                return self._create(body)
            case "GET", ["schema", name]:
                return self._class(name).definition
            case "POST", ["schema", name, "properties"]:
                return self._add_property(self._class(name), body)
            case "GET", ["schema", name, "tenants"]:
                return [{"name": each, "activityStatus": "ACTIVE"} for each in self._class(name).objects]
            case "GET", ["schema", name, "tenants", tenant]:
                if tenant not in self._class(name).objects:
                    raise Refused(404, None)
                return {"name": tenant, "activityStatus": "ACTIVE"}
            case "POST", ["schema", name, "tenants"]:
                return self._add_tenants(self._class(name), body)
            case "GET", ["objects"]:
                return self._page(query)
            case "GET", ["objects", name, identifier]:
                held = self._objects(self._class(name), query.get("tenant"))
                if identifier not in held:
                    raise Refused(404, None)
                return _shown(name, identifier, held[identifier], query)
            case "POST", ["batch", "objects"]:
                return self._batch(body)
            case "DELETE", ["batch", "objects"]:
                return self._delete(query, body)
            case "POST", ["graphql"]:
                return self._count(body["query"])
        raise Refused(404, None)

    def _class(self, name: str) -> Class:
        found = self.classes.get(name[:1].upper() + name[1:])
        if found is None:
            raise Refused(404, None)
        return found

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["class"][:1].upper() + body["class"][1:]
        if not re.fullmatch(r"[A-Z][_0-9A-Za-z]{0,254}", name):
            raise Refused(422, f"'{name}' is not a valid class name")
        if name in self.classes:
            raise Refused(422, f"class name {name} already exists")
        named = body.get("vectorConfig") or {}
        if named and any(body.get(each) for each in ("vectorizer", "vectorIndexType", "vectorIndexConfig")):
            raise Refused(422, "class has configuration for both class level and named vectors")
        for each in named.values():
            if len(each.get("vectorizer") or {}) != 1 or each.get("vectorIndexType") not in ("hnsw", "flat", "dynamic"):
                raise Refused(422, "vector index config of a named vector is not complete")
            _check_distance(each.get("vectorIndexConfig") or {})
        _check_distance(body.get("vectorIndexConfig") or {})
        definition = {
            "invertedIndexConfig": {"bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60},
            "replicationConfig": {"factor": 1, "deletionStrategy": "NoAutomatedResolution"},
            "shardingConfig": {"desiredCount": 1, "key": "_id", "strategy": "hash"},
            **{each: value for each, value in body.items() if value is not None},
            "class": name,
            "multiTenancyConfig": {
                "enabled": False,
                "autoTenantCreation": False,
                "autoTenantActivation": False,
                **(body.get("multiTenancyConfig") or {}),
            },
            "properties": [],
        }
        if named:
            definition["vectorConfig"] = {
                each: {**value, "vectorIndexConfig": _with_defaults(value.get("vectorIndexConfig"))}
                for each, value in named.items()
            }
        else:
            definition.setdefault("vectorizer", "none")
            definition.setdefault("vectorIndexType", "hnsw")
            definition["vectorIndexConfig"] = _with_defaults(body.get("vectorIndexConfig"))
        made = Class(definition)
        for each in body.get("properties") or ():
            self._add_property(made, each)
        if not made.is_by_tenant:
            made.objects[""] = {}
        self.classes[name] = made
        return definition

    def _add_property(self, found: Class, body: dict[str, Any]) -> dict[str, Any]:
        name = body["name"][:1].lower() + body["name"][1:]
        if not re.fullmatch(r"[_A-Za-z][_0-9A-Za-z]{0,230}", name):
            raise Refused(422, f"'{name}' is not a valid property name. Property names in Weaviate are restricted")
        if name in ("_additional", "_id", "id"):
            raise Refused(422, f"'{name}' is a reserved property name")
        held = found.definition["properties"]
        if any(each["name"].lower() == name.lower() for each in held):
            raise Refused(422, f'class "{found.definition["class"]}": conflict for property "{name}": already in use')
        (kind,) = body["dataType"]
        one = kind.removesuffix("[]")
        is_reference = kind[:1].isupper()
        if is_reference and kind not in self.classes:
            raise Refused(422, f"property '{name}': reference property to nonexistent class '{kind}'")
        if not is_reference and one not in (*_TYPES, "geoCoordinates", "phoneNumber"):
            raise Refused(422, f"property '{name}': invalid dataType: [\"{kind}\"]")
        if one not in ("text", "string") and (body.get("tokenization") or body.get("indexSearchable")):
            raise Refused(422, f"Tokenization is not allowed for data type '{kind}'")
        made = {"indexFilterable": True, "indexSearchable": one == "text", **body, "name": name}
        if one == "text":
            made.setdefault("tokenization", "word")
        held.append(made)
        return made

    def _add_tenants(self, found: Class, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not found.is_by_tenant:
            raise Refused(422, f'multi-tenancy is not enabled for class "{found.definition["class"]}"')
        for each in body:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each["name"]):
                raise Refused(422, f"'{each['name']}' is not a valid tenant name")
            found.objects.setdefault(each["name"], {})
        return [{"name": each["name"], "activityStatus": "ACTIVE"} for each in body]

    def _objects(self, found: Class, tenant: str | None) -> dict[str, Held]:
        name = found.definition["class"]
        if found.is_by_tenant and not tenant:
            raise Refused(422, f"class {name} has multi-tenancy enabled, but request was without tenant")
        if not found.is_by_tenant and tenant:
            raise Refused(422, f"class {name} has multi-tenancy disabled, but request was with tenant")
        if tenant in found.inactive:
            raise Refused(422, f"tenant not active: '{tenant}'")
        held = found.objects.get(tenant or "")
        if held is None:
            raise Refused(422, f'tenant not found: "{tenant}"')
        return held

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        if not query.get("class"):
            raise Refused(422, "class is needed")
        name = query["class"]
        if name not in self.classes:
            raise Refused(404, None)
        held = self._objects(self.classes[name], query.get("tenant"))
        limit, offset = int(query.get("limit", 25)), int(query.get("offset", 0))
        if limit < 1 or offset + limit > self.maximum:
            raise Refused(422, "query maximum results exceeded")
        ids = list(held)
        if "after" in query:
            if offset or query.get("sort"):
                raise Refused(400, "cursor api: invalid 'after' parameter: offset and sort cannot be set with after")
            if query["after"]:
                uuid.UUID(query["after"])
            ids = sorted(each for each in held if each > query["after"])
        shown = [_shown(name, each, held[each], query) for each in ids[offset : offset + limit]]
        return {"deprecations": [], "objects": shown, "totalResults": len(shown)}

    def _batch(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        objects = body.get("objects") or []
        if not objects:
            raise Refused(422, "invalid param 'objects': cannot be empty, need at least one object for batching")
        return [self._put(each) for each in objects]

    def _put(self, value: dict[str, Any]) -> dict[str, Any]:
        identifier = value.get("id") or str(uuid.uuid4())
        told: dict[str, Any] = {"status": "SUCCESS"}
        kept = None
        try:
            why = self.refuses(value)
            if why is not None:
                raise Refused(500, why)
            identifier = str(uuid.UUID(identifier))
            name = value["class"][:1].upper() + value["class"][1:]
            if name not in self.classes:
                raise Refused(422, f"class '{name}' not present in schema")
            found = self.classes[name]
            objects = self._objects(found, value.get("tenant"))
            properties = self._properties(found, value.get("properties") or {})
            vectors = self._vectors(found, value)
            made = objects[identifier].made if identifier in objects else 1_795_000_000_000 + len(self.asked)
            kept = objects[identifier] = Held(properties, vectors, made)
        except (Refused, ValueError) as error:
            told = {"status": "FAILED", "errors": {"error": [{"message": str(error)}]}}
        shown = {**value, "id": identifier, "result": told}
        if kept is not None:
            shown |= {"properties": kept.properties, "creationTimeUnix": kept.made, **_shown_vectors(kept.vectors)}
        return shown

    def _properties(self, found: Class, given: dict[str, Any]) -> dict[str, Any]:
        name = found.definition["class"]
        kept = {}
        for each, value in given.items():
            if value is None:
                continue
            each = each[:1].lower() + each[1:]
            held = next((one for one in found.definition["properties"] if one["name"] == each), None)
            if held is None:
                if not self.is_guessing:
                    raise Refused(422, f"no such prop with name '{each}' found in class '{name}' in the schema")
                held = self._add_property(found, {"name": each, "dataType": [_guess(value)]})
            kept[each] = _stored(each, held["dataType"][0], value, held.get("nestedProperties") or [])
        return kept

    def _vectors(self, found: Class, value: dict[str, Any]) -> dict[str, orjson.Fragment]:
        config = found.definition.get("vectorConfig") or {}
        given = dict(value.get("vectors") or {})
        if value.get("vector") is not None:
            if config:
                raise Refused(422, f"class {found.definition['class']} is configured with named vectors")
            given[""] = value["vector"]
        maker = found.definition.get("vectorizer", "none")
        if maker != "none" and "" not in given:
            given[""] = [0.25] * (found.dims.get((value.get("tenant") or "", "")) or 3)
        kept = {}
        for name, numbers in given.items():
            if name and name not in config:
                raise Refused(422, f"class {found.definition['class']} does not have vector index for {name}")
            if not numbers:
                continue
            index = config[name]["vectorIndexConfig"] if name else {}
            is_multi = bool((index.get("multivector") or {}).get("enabled"))
            if is_multi != isinstance(numbers[0], list):
                raise Refused(422, f"vector {name} is {'no' if is_multi else 'a'} multi vector")
            dims = len(numbers[0]) if is_multi else len(numbers)
            held = found.dims.setdefault((value.get("tenant") or "", name), dims)
            if held != dims:
                raise Refused(
                    422,
                    f"Validate vector index for {value.get('id')}: new node has a vector with length {dims}. Existing "
                    f"nodes have vectors with length {held}: vector dimensions do not match the index dimensions",
                )
            kept[name] = _go_numbers(np.array(numbers, "<f4"))
        return kept

    def _delete(self, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        match, where = body["match"], body["match"]["where"]
        objects = self._objects(self._class(match["class"]), query.get("tenant"))
        if where.get("path") != ["id"] or where.get("operator") != "ContainsAny":
            raise Refused(422, "only deleting by id is done here")
        found = [each for each in where["valueTextArray"] if each in objects]
        gone = found[: self.maximum]
        for each in gone:
            del objects[each]
        results = {"matches": len(found), "limit": self.maximum, "successful": len(gone), "failed": 0, "objects": []}
        return {"match": match, "output": "minimal", "dryRun": False, "results": results}

    def _count(self, text: str) -> dict[str, Any]:
        found = _COUNT.fullmatch(text)
        if found is None or found[1] not in self.classes:
            return {"errors": [{"message": f"Cannot query field in {text:.60}", "path": []}]}
        count = len(self._objects(self.classes[found[1]], found[2]))
        return {"data": {"Aggregate": {found[1]: [{"meta": {"count": count}}]}}}


# -- values ------------------------------------------------------------------------------------------------------------


def _check_distance(index: dict[str, Any]) -> None:
    if index.get("distance", "cosine") not in _DISTANCES:
        raise Refused(422, f"hnsw: unrecognized or unsupported distance metric {index['distance']!r}")


def _with_defaults(index: Any) -> dict[str, Any]:
    usual = {"distance": "cosine", "ef": -1, "efConstruction": 128, "maxConnections": 32, "skip": False}
    return {**usual, "pq": {"enabled": False}, **(index or {})}


def _guess(value: Any) -> str:
    """Return the type that auto-schema would give a property."""
    if isinstance(value, list):
        return _guess(value[0]) + "[]"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        try:
            _date(value)
        except ValueError:
            return "text"
        return "date"
    return "number"


def _stored(name: str, kind: str, value: Any, nested: list[dict[str, Any]]) -> Any:
    """Return a value as it comes back.  Raises: Refused, ValueError."""

    def wrong() -> Refused:
        return Refused(422, f"invalid {kind} property '{name}': requires a {kind}, the given value is '{value!r:.60}'")

    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise wrong()
        return [_stored(name, kind[:-2], each, nested) for each in value]
    if kind[:1].isupper():
        if not isinstance(value, list) or any(each.keys() != {"beacon"} for each in value):
            raise Refused(422, f"invalid cref: requires exactly 1 argument: 'beacon', got {value!r:.60}")
        return [{**each, "href": "/v1/objects/" + each["beacon"].rpartition("/")[2]} for each in value]
    wanted = {"text": str, "string": str, "date": str, "uuid": str, "blob": str, "boolean": bool}.get(kind, object)
    is_number = kind in ("int", "number")
    if not isinstance(value, wanted) or (is_number and type(value) not in (int, float)):
        raise (wanted is object and wrong()) or wrong()
    match kind:
        case "int":
            if value != int(value) or not -(1 << 63) <= value < 1 << 63:
                raise wrong()
            return _go_number(float(value))
        case "number":
            return _go_number(float(value))
        case "date":
            return _date(value)
        case "uuid":
            return str(uuid.UUID(value))
        case "blob":
            base64.b64decode(value, validate=True)
        case "geoCoordinates":
            return {each: _go_number(float(str(np.float32(value[each])))) for each in ("latitude", "longitude")}
        case "phoneNumber":
            if value.keys() - {"input", "defaultCountry"}:
                raise Refused(422, "phoneNumber has unknown members")
            return {**value, "internationalFormatted": value["input"], "valid": True}
        case "object":
            kinds = {each["name"]: each for each in nested}
            return {
                each: _stored(each, kinds[each]["dataType"][0], one, kinds[each].get("nestedProperties") or [])
                for each, one in value.items()
            }
    return value


def _date(text: str) -> str:
    """Return a date as Go prints what it parsed as RFC 3339.  Raises: ValueError."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", text)
    if found is None:
        raise ValueError(f"requires a string with a RFC3339 formatted date, but the given value is '{text}'")
    datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    fraction = (found[2] or "").rstrip("0").rstrip(".")
    return found[1] + fraction + ("Z" if found[3] in ("Z", "+00:00", "-00:00") else found[3])


def _go_number(value: float) -> Any:
    """Return a double so that it is printed as Go does: without a fraction where there is none, up to 10^21."""
    if value != int(value) if abs(value) < 1e300 else False:
        return value
    if value == 0 and str(value) == "-0.0":
        return orjson.Fragment(b"-0")
    if abs(value) >= 1e21:
        return value
    digits = repr(abs(value))  # the shortest that is the same double; zeros after it, as Go prints
    if "e" in digits:
        mantissa, _, exponent = digits.partition("e")
        whole, _, fraction = mantissa.partition(".")
        digits = whole + fraction.ljust(int(exponent), "0")
    else:
        digits = digits.removesuffix(".0")
    return orjson.Fragment((("-" if value < 0 else "") + digits).encode())


def _go_numbers(numbers: Any) -> orjson.Fragment:
    said = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.Fragment(re.sub(rb"\.0(?=[,\]])", b"", said))


def _shown(name: str, identifier: str, kept: Held, query: Mapping[str, str]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "class": name, "creationTimeUnix": kept.made, "id": identifier, "lastUpdateTimeUnix": kept.made,
        "properties": kept.properties,
    }  # fmt: skip
    if query.get("tenant"):
        value["tenant"] = query["tenant"]
    if "vector" in query.get("include", "").split(","):
        value |= _shown_vectors(kept.vectors)
    return value


def _shown_vectors(vectors: dict[str, orjson.Fragment]) -> dict[str, Any]:
    named = {name: each for name, each in vectors.items() if name}
    return {**({"vector": vectors[""]} if "" in vectors else {}), **({"vectors": named} if named else {})}


def _some(body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("objects"), list):
        return {**body, "objects": body["objects"][:_SHOWN]}
    return body[:_SHOWN] if isinstance(body, list) else body
