"""Vendors' published API descriptions (OpenAPI 3.0), to which requests and answers are held."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
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
    """Checks requests and answers against a description; those of paths that it does not know are refused."""

    def __init__(self, path: Path) -> None:
        spec = orjson.loads(path.read_bytes())
        self._paths = {
            re.compile(re.sub(r"\{[^/{}]+\}", "[^/]+", name)): operations for name, operations in spec["paths"].items()
        }
        self._schemas = {"components": {"schemas": _strict(spec["components"]["schemas"])}}
        self._validators: dict[str, Draft202012Validator] = {}
        self._operation = functools.lru_cache(self._find)

    def request_fault(self, method: str, path: str, query: Mapping[str, str], body: Any) -> str | None:
        """Return what is wrong with a request, None if nothing is."""
        operation = self._operation(method, path)
        if operation is None:
            return f"there is no {method} {path}"
        known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        if query.keys() - known:
            return f"no parameters {sorted(query.keys() - known)}"
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
