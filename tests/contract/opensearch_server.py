"""OpenSearch and Elasticsearch for tests: an emulator of OpenSearch, as a program, behind a front of ours.

The front passes requests on; it can be told to answer otherwise, to want a key, to take no more than so many bytes, and
to lack what older servers lack.  For Elasticsearch, which cannot be installed from a package, it speaks that dialect as
its reference has it: points in time at ``_pit``, ``dense_vector`` in mappings, vectors left out unless asked for, zero
vectors refused under cosine; and it refuses the words of the other.
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import orjson
import osmem_server

from tests.hosting.programs import await_answer, end_with_us, free_port
from tests.hosting.scripted import Request as HttpRequest
from tests.hosting.scripted import Said, ScriptedServer
from vexrepo.remotes.stores.address import Address

_NUMBER = itertools.count()
_SPACES = {"cosine": "cosinesimil", "l2_norm": "l2", "max_inner_product": "innerproduct", "dot_product": "innerproduct"}
USER, PASSWORD, KEY = "agent", "s3cret/of the server", "k3y=="


@functools.cache
def port() -> int:
    """Return where the emulator listens, started at the first call and ended with the process."""
    program = Path(osmem_server.__file__).parent / "bin" / "osmem-server"
    number = free_port()
    server = subprocess.Popen(
        [str(program), "-addr", f"127.0.0.1:{number}", "-no-stdin-watch"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end_with_us(server)

    def answers() -> bool:
        with urlopen(f"http://127.0.0.1:{number}/", timeout=60):
            return True

    await_answer(server, "the emulator", answers, URLError, ConnectionError)
    return number


def call(method: str, path: str, body: Any = None) -> Any:
    """Ask the emulator as another program would; returns the JSON of its answer, whatever the status."""
    return orjson.loads(_passed(method, path, b"" if body is None else orjson.dumps(body), "application/json")[1])


def put(index: str, documents: dict[str, dict[str, Any]]) -> None:
    """Index documents as another program would."""
    lines = [orjson.dumps(each) for name, value in documents.items() for each in ({"index": {"_id": name}}, value)]
    body = b"".join(line + b"\n" for line in lines)
    answer = orjson.loads(_passed("POST", f"/{index}/_bulk?refresh=true", body, "application/x-ndjson")[1])
    assert answer["errors"] is False, answer


def _passed(method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
    request = Request(f"http://127.0.0.1:{port()}{path}", body or None, method=method)
    request.add_header("Content-Type", kind)
    try:
        with urlopen(request, timeout=120) as found:
            return found.status, found.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def new_index() -> str:
    """Return the name of an index that is not there."""
    return f"agent-{next(_NUMBER)}"


class Front(ScriptedServer):
    """Stands before the emulator.

    ``sent`` are the requests with their bodies; ``answers`` are given instead to requests whose method and path match.
    """

    def __init__(self, kind: str = "opensearch", version: str = "9.2.0") -> None:
        self.kind = kind
        self.version = version
        self.sent: list[tuple[str, str, bytes]] = []
        self.credentials: set[str] | None = None
        self.most_bytes = 10 << 20
        self.answers: dict[str, Callable[[bytes], tuple[int, Any]]] = {}
        super().__init__()

    def want(self) -> None:
        """From now on, let in only who says the user's password, or in Elasticsearch the key."""
        packed = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self.credentials = {f"Basic {packed}"} | ({f"ApiKey {KEY}"} if self.kind == "elasticsearch" else set())

    def address(self, index: str, secrets: dict[str, str] | None = None, user: str = "", **options: str) -> Address:
        """Return the address of an index by way of this front."""
        held: dict[str, Callable[[], str]] = {
            name: functools.partial(str, value) for name, value in (secrets or {}).items()
        }
        return Address(self.kind, f"//{user}{'@' if user else ''}{self.host}/{index}", options, held)

    def paths(self) -> list[str]:
        """Return what was asked for, without bodies and queries."""
        return [f"{method} {path}" for method, path, _ in self.sent]

    def respond(self, request: HttpRequest) -> Said:
        """Return the answer of the emulator, or what a test wants."""
        self.sent.append((request.method, request.path, request.body))
        if self.credentials is not None and request.headers.get("authorization") not in self.credentials:
            return 401, {}, b'{"error":{"type":"security_exception","reason":"missing credentials"},"status":401}'
        if len(request.body) > self.most_bytes:
            return 413, {}, b'{"error":"Request entity too large"}'
        for pattern, answer in self.answers.items():
            if re.fullmatch(pattern, f"{request.method} {request.path}"):
                status, value = answer(request.body)
                return status, {}, orjson.dumps(value)
        kind = request.headers.get("content-type", "application/json")
        path = f"{request.path}?{request.query}" if request.query else request.path
        passed = Elasticsearch(self.version).answer if self.kind == "elasticsearch" else _passed
        status, said = passed(request.method, path, request.body, kind)
        return status, {}, said


class Elasticsearch:
    """The dialect of Elasticsearch, on the emulator of OpenSearch."""

    def __init__(self, version: str) -> None:
        self.version = version

    def answer(self, method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        """Return what Elasticsearch would answer."""
        place, _, query = path.partition("?")
        if place == "/":
            told = {"version": {"number": self.version, "build_flavor": "default"}, "tagline": "You Know, for Search"}
            return 200, orjson.dumps(told)
        if "point_in_time" in place or b"knn_vector" in body or b'"knn"' in body:
            return 400, b'{"error":{"type":"illegal_argument_exception","reason":"not known here"},"status":400}'
        if place.endswith("/_pit") and method == "POST":
            assert query.startswith("keep_alive=")
            status, said = _passed("POST", f"{place[:-5]}/_search/point_in_time?{query}", b"", kind)
            return status, orjson.dumps({"id": orjson.loads(said)["pit_id"]}) if status == 200 else said
        if place == "/_pit":
            assert orjson.loads(body).keys() == {"id"}
            given = {"pit_id": [orjson.loads(body)["id"]]}
            return _passed("DELETE", "/_search/point_in_time", orjson.dumps(given), kind)
        if place.endswith("/_search"):
            return self._search(path, orjson.loads(body), kind)
        if method == "PUT" and body and "_doc" not in place:
            value = orjson.loads(body)
            (value.get("mappings") or value).update(_mappings(value.get("mappings") or value, _to_knn))
            status, said = _passed(method, path, orjson.dumps(value), kind)
            return status, said
        if place.endswith("/_bulk"):
            return self._bulk(path, body, kind)
        status, said = _passed(method, path, body, kind)
        if status == 200 and method == "GET":
            found = orjson.loads(said)
            for each in found.values():
                if isinstance(each, dict) and "mappings" in each:
                    each["mappings"] = _mappings(each["mappings"], _to_dense)
                    each["settings"]["index"].pop("knn", None)
            said = orjson.dumps(found)
        return status, said

    def _search(self, path: str, value: dict[str, Any], kind: str) -> tuple[int, bytes]:
        wanted = value.pop("_source", None)
        is_new = tuple(map(int, self.version.split(".")[:2])) >= (9, 2)
        if wanted is not None and not is_new:
            reason = "unknown field [exclude_vectors]"
            return 400, orjson.dumps({"error": {"type": "parsing_exception", "reason": reason}, "status": 400})
        assert wanted in (None, {"exclude_vectors": False})
        status, said = _passed("POST", path, orjson.dumps(value), kind)
        found = orjson.loads(said)
        if status == 200:
            if "pit" in value:
                found["pit_id"] = value["pit"]["id"]
            for hit in found["hits"]["hits"]:
                if is_new:
                    _, told = _passed("GET", f"/{hit['_index']}/_mapping", b"", kind)
                    for name, each in orjson.loads(told)[hit["_index"]]["mappings"].get("properties", {}).items():
                        if each.get("type") == "knn_vector" and name in hit["_source"]:
                            if wanted is None:
                                del hit["_source"][name]
        return status, orjson.dumps(found)

    def _bulk(self, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        index = path.strip("/").partition("/")[0]
        _, told = _passed("GET", f"/{index}/_mapping", b"", kind)
        held = orjson.loads(told)[index]["mappings"].get("properties", {})
        cosines = [
            name
            for name, each in held.items()
            if each.get("type") == "knn_vector" and each.get("method", {}).get("space_type") == "cosinesimil"
        ]
        for line in body.splitlines():
            value = orjson.loads(line)
            for name in cosines:
                assert not (isinstance(value.get(name), list) and not any(value[name])), "zero magnitude under cosine"
        return _passed("POST", path, body, kind)


def _mappings(mappings: dict[str, Any], turned: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    properties = {
        name: turned(each) if each.get("type") in ("dense_vector", "knn_vector") else each
        for name, each in mappings.get("properties", {}).items()
    }
    return {**mappings, "properties": properties}


_SAID: dict[str, dict[str, Any]] = {}  # how vectors were declared, by what stands for it


def _to_knn(each: dict[str, Any]) -> dict[str, Any]:
    known = {"type", "dims", "index", "similarity", "element_type", "index_options"}
    assert each.keys() <= known and 0 < each["dims"] <= 4096 and each.get("similarity", "cosine") in _SPACES, each
    method = {"name": "hnsw", "engine": "lucene", "space_type": _SPACES[each.get("similarity", "cosine")]}
    made = {"type": "knn_vector", "dimension": each["dims"], "method": method}
    key = f"m{len(_SAID) + 2}"
    _SAID[key] = each
    method["parameters"] = {"m": int(key[1:])}  # type: ignore[assignment]
    return made


def _to_dense(each: dict[str, Any]) -> dict[str, Any]:
    return dict(_SAID[f"m{each['method']['parameters']['m']}"])
