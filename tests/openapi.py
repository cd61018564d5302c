"""Vendors' published API descriptions (OpenAPI 3.0 and 2.0), to which requests and answers are held."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


def find_spec(name: str) -> Path | None:
    """Return the file of a description: in ``shared/specs`` beside the project, None if it is not there."""
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "specs" / name
        if path.is_file():
            return path
    return None


class Conformance:
    """Checks requests and answers against a description; those of paths that it does not know are refused.

    ``replaced`` are schemas, by name, that stand for those of the description where a server is known not to keep it.
    """

    def __init__(self, path: Path, replaced: Mapping[str, Any] | None = None) -> None:
        spec = _read(path)
        if "swagger" in spec:
            spec = _as_openapi_3(spec)
        schemas = {**spec["components"]["schemas"], **(replaced or {})}
        self._paths = {
            re.compile(re.sub(r"\{[^/{}]+\}", "[^/]+", name)): operations for name, operations in spec["paths"].items()
        }
        self._schemas = {"components": {"schemas": _strict(schemas)}}
        self._validators: dict[str, Draft202012Validator] = {}
        self._operation = functools.lru_cache(self._find)

    def request_fault(
        self, method: str, path: str, query: Collection[str], body: Any, headers: Mapping[str, str] | None = None
    ) -> str | None:
        """Return what is wrong with a request, None if nothing is.  ``headers`` have names in lower case."""
        operation = self._operation(method, path)
        if operation is None:
            return f"there is no {method} {path}"
        parameters = operation.get("parameters", ())
        known = {each["name"]: each.get("required", False) for each in parameters if each["in"] == "query"}
        if {*query} - known.keys():
            return f"no parameters {sorted({*query} - known.keys())}"
        missing = {name for name, is_needed in known.items() if is_needed} - {*query}
        if headers is not None:
            wanted = {each["name"] for each in parameters if each["in"] == "header" and each.get("required")}
            missing |= {name for name in wanted if name.lower() not in headers}
        if missing:
            return f"without {sorted(missing)}"
        wanted = operation.get("requestBody")
        if wanted is None:
            return None if body is None else "no body is expected"
        return self._fault(f"{method} {path}", wanted["content"]["application/json"]["schema"], body)

    def answer_fault(self, method: str, path: str, status: int, body: Any) -> str | None:
        """Return what is wrong with an answer, None if nothing is."""
        operation = self._operation(method, path)
        assert operation is not None
        answers = operation["responses"]
        found = answers.get(str(status)) or answers.get(f"{status // 100}XX") or answers.get("default")
        if found is None:
            return f"{status} is no answer to {method} {path}"
        if "content" not in found:
            return None if body is None else f"{status} of {method} {path} has no body"
        return self._fault(f"{method} {path} {status}", found["content"]["application/json"]["schema"], body)

    def _find(self, method: str, path: str) -> Any:
        exact = [each for pattern, each in self._paths.items() if pattern.fullmatch(path)]
        return next((each[method.lower()] for each in exact if method.lower() in each), None)

    def _fault(self, name: str, schema: Any, value: Any) -> str | None:
        validator = self._validators.get(name)
        if validator is None:
            validator = self._validators[name] = Draft202012Validator({**_strict(schema), **self._schemas})
        if validator.is_valid(value):
            return None
        worst = best_match(validator.iter_errors(value))
        return f"{name}: {worst.json_path}: {worst.message[:300]}"


def _read(path: Path) -> Any:
    if path.suffix == ".json":
        return orjson.loads(path.read_bytes())
    import yaml

    class Loader(yaml.SafeLoader):
        """Leaves dates as they are written: versions look like them."""

    Loader.yaml_implicit_resolvers = {
        first: [each for each in found if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    with open(path, "rb") as file:
        return yaml.load(file, Loader)


_NUMBERS = {"uint8": 8, "uint32": 32, "uint64": 64, "uint": 64}
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def _strict(schema: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as JSON Schema: null where it may be, formats as bounds, no unknown members."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("nullable") is True and not schema.keys() - {"nullable", "description", "default"}:
        return {"type": "null"}
    found = {name: _strict(each) for name, each in schema.items() if name not in ("example", "default", "nullable")}
    bits = _NUMBERS.get(schema.get("format", ""))
    if bits is not None and schema.get("type") == "integer":
        found["maximum"] = min((1 << bits) - 1, schema.get("maximum", 1 << bits))
    if schema.get("format") == "uuid":
        found["pattern"] = _UUID
    if isinstance(schema.get("properties"), dict) and "type" in schema and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        found["type"] = [schema["type"], "null"]
    return found


# -- OpenAPI 2.0 -------------------------------------------------------------------------------------------------------


def _as_openapi_3(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a description of version 2.0 as one of 3.0, as far as it is used here."""
    definitions = {name: _modern(each, spec["definitions"]) for name, each in spec["definitions"].items()}
    paths: dict[str, Any] = {}
    for name, operations in spec["paths"].items():
        paths[spec.get("basePath", "") + name] = {
            method: _operation(each, spec) for method, each in operations.items() if method != "parameters"
        }
    return {"paths": paths, "components": {"schemas": definitions}}


def _operation(operation: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        spec["parameters"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for each in operation.get("parameters", ())
    ]
    found: dict[str, Any] = {"parameters": [each for each in parameters if each["in"] != "body"]}
    for each in parameters:
        if each["in"] == "body":
            found["requestBody"] = _content(each["schema"], spec)
    found["responses"] = {
        status: _content(each["schema"], spec) if "schema" in each else {"description": each["description"]}
        for status, each in operation["responses"].items()
    }
    return found


def _content(schema: Any, spec: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _modern(schema, spec["definitions"])}}}


def _modern(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema with references as 3.0 has them, and objects that are made of several as one."""
    if isinstance(schema, list):
        return [_modern(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "allOf" in schema:
        parts = [definitions[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in schema["allOf"]]
        members = {name: value for part in parts for name, value in part.get("properties", {}).items()}
        return _modern({"type": "object", "properties": members}, definitions)
    found = {name.removeprefix("x-"): _modern(each, definitions) for name, each in schema.items()}
    if isinstance(found.get("$ref"), str):
        return {"$ref": found["$ref"].replace("#/definitions/", "#/components/schemas/")}
    return found
