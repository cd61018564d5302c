"""What Forgejo's and Gitea's OpenAPI documents say, read back from clients that were generated from them.

No package carries the documents themselves.  The generated clients hold every operation (method, path, model of the
body, model of each answer) and every model with its members and their types, so that a request that the document
does not know, or an answer of the fake that it does not, is found all the same.
"""

import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.contract.forges.fake import Asked, Reply

_DEF = re.compile(r" +(?:async )?def (\w+)\($")
_BODY = re.compile(r"\b(\w+Option)\b")
_ANSWER = re.compile(r"'(\d+)': (?:\"(\w+)\"|None)")
_EVERYWHERE = {401, 403}  # what every route may answer to a token


@dataclass(frozen=True)
class Operation:
    """What one route takes and gives: names of models, None for none."""

    body: str | None
    answers: dict[int, str | None]


class Document:
    """The operations and models of a generated client."""

    def __init__(self, package: str) -> None:
        self._package = package
        folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
        for name, path in ((package, folder), (f"{package}.models", folder / "models")):
            if name not in sys.modules:  # as empty packages: their own __init__ import hundreds of models, for seconds
                sys.modules[name] = ModuleType(name)
                sys.modules[name].__path__ = [str(path)]
        self.operations: dict[tuple[str, str], Operation] = {}
        for name in ("user", "repository", "organization", "miscellaneous"):
            self._read((folder / "api" / f"{name}_api.py").read_text())

    def _read(self, source: str) -> None:
        """Take the operations of a module.  A pass over its lines: they are many, and alike."""
        name, routes = "", {}
        bodies: dict[str, str] = {}
        answers: dict[str, dict[int, str | None]] = {}
        lines = iter(source.splitlines())
        for line in lines:
            if found := _DEF.match(line):
                name = found[1]
            elif line.startswith("        body:") and (found := _BODY.search(line)):
                bodies[name] = found[1]
            elif "_response_types_map: " in line:
                told = {}
                while (line := next(lines)).strip() != "}":
                    if found := _ANSWER.search(line):
                        told[int(found[1])] = found[2]
                answers[name] = told
            elif "method='" in line:
                method, path = line.split("'")[1], next(lines).split("'")[1]
                routes[name.removeprefix("_").removesuffix("_serialize")] = (method, path)
        for name, route in routes.items():
            self.operations[route] = Operation(bodies.get(name), answers[name])

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a request's path; one with fewer variables goes before one with more."""
        for (known, template), operation in sorted(self.operations.items(), key=lambda item: item[0][1].count("{")):
            if known == method and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path):
                return operation
        return None

    def misfits(self, model: str | None, value: object) -> list[str]:
        """Return what of a JSON value the model does not know, or knows otherwise."""
        file = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", model or "").lower()
        if model is None or importlib.util.find_spec(f"{self._package}.models.{file}") is None:
            return []  # errors, whose words are in headers there
        kind = getattr(importlib.import_module(f"{self._package}.models.{file}"), model)
        try:
            kind.from_dict(value)
        except ValueError as error:
            return [f"{model}: {error}"]
        known = {field.alias or name for name, field in kind.model_fields.items()}
        return [f"{model} has no member {name!r}" for name in value if name not in known]  # type: ignore[union-attr]

    def check(self, prefix: str, asked: Asked, reply: Reply) -> list[str]:
        """Return what of a request and its reply is not as the document says."""
        path = asked.path.removeprefix(prefix)
        operation = self.find(asked.method, path)
        if operation is None:
            return [] if reply.status == 404 else [f"no route {asked.method} {path}"]
        wrong = []
        if asked.body is not None:
            wrong += self.misfits(operation.body, asked.body) if operation.body else ["a body where none is taken"]
        if reply.status not in operation.answers and reply.status not in _EVERYWHERE:
            wrong.append(f"{asked.method} {path} is not said to answer {reply.status}")
        if reply.status < 300:
            wrong += self.misfits(operation.answers.get(reply.status), reply.value)
        return wrong
