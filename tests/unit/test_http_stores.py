"""What connectors over HTTP share, against a small server that keeps points and can misbehave."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import orjson
import pytest

from tests.hosting.scripted import Request, Said, ScriptedServer
from tests.property.strategies import attempt
from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import Record, from_json
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import Description, Store
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.http_store import HttpPointStore, is_local
from vexrepo.remotes.stores.point_store import Point, Wanted
from vexrepo.testing.stores import StoreContract, check_holds, plan_between

KEY = "k3y/of the store"


def plain(value: Any) -> bool:
    return type(value) in (str, bool) or (type(value) is int and abs(value) < 2**53)


class Wire(HttpPointStore):
    """A connector of the server below."""

    kind: ClassVar[str] = "wire"
    port: ClassVar[int] = 80
    patience: ClassVar[Patience] = Patience(sleep=lambda seconds: None)
    batch_points: ClassVar[int] = 40
    can = Capabilities(plain)

    def exists(self) -> bool:
        return self.ask("GET", f"/{self.collection}", also={404}).status == 200

    def describe(self) -> Description:
        found = self.ask("GET", f"/{self.collection}", also={404})
        return Description(found.json()["count"] if found.status == 200 else 0)

    def held_spaces(self) -> Mapping[str, Space] | None:
        dims = self.ask("GET", f"/{self.collection}").json()["dims"]
        return {MAIN: Space(MAIN, "dense", None, dims, "f32")}

    def read_points(self) -> Iterator[list[Point]]:
        after = ""
        while rows := self.ask("GET", f"/{self.collection}/points", query={"after": after}).json():
            after = rows[-1]["id"]
            yield [Point(row["id"], row["payload"], self._vectors(row["vector"])) for row in rows]

    @staticmethod
    def _vectors(raw: str | None) -> tuple[Vector, ...]:
        if raw is None:
            return ()
        row = bytes.fromhex(raw)
        return (Vector(Space(MAIN, "dense", None, len(row) // 4, "f32"), row),)

    def prepare(self, wanted: Wanted) -> None:
        self.ask("PUT", f"/{self.collection}", body={"dims": wanted.dims})

    def upsert(self, points: Sequence[Point]) -> None:
        rows = [
            {"id": each.id, "payload": each.payload, "vector": each.vectors[0].row.hex() if each.vectors else None}
            for each in points
        ]
        self.ask("POST", f"/{self.collection}/points", body=rows)

    def delete(self, ids: Sequence[str]) -> None:
        self.ask("POST", f"/{self.collection}/delete", body=list(ids))


class Server(ScriptedServer):
    """Keeps points."""

    def __init__(self) -> None:
        self.points: dict[str, dict[str, Any]] = {}
        self.dims: int | None = None
        self.keys: set[str | None] = set()
        self.most_bytes = 1 << 30
        self.under_way = self.most_under_way = 0
        self.counting = threading.Lock()
        super().__init__()

    def address(self, **more: Any) -> Address:
        return Address("wire", f"//{self.host}/agent", **more)

    def reply(self, request: Request) -> Said | None:
        """Return the answer to a request, and count how many there are at once."""
        with self.counting:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self.keys.add(request.headers.get("authorization"))
        try:
            return super().reply(request)
        finally:
            with self.counting:
                self.under_way -= 1

    def respond(self, request: Request) -> Said:
        if len(request.body) > self.most_bytes:
            return 413, {}, b'{"error":"too large"}'
        value: Any = orjson.loads(request.body) if request.body else None
        match request.method, request.path:
            case "PUT", "/agent":
                self.dims = value["dims"]
            case _ if self.dims is None:
                return 404, {}, b"{}"
            case "POST", "/agent/delete":
                for each in value:
                    self.points.pop(each, None)
            case "POST", "/agent/points":
                self.points |= {row["id"]: row for row in value}
            case "GET", "/agent":
                return 200, {}, orjson.dumps({"count": len(self.points), "dims": self.dims})
            case _:
                after = parse_qs(request.query, keep_blank_values=True)["after"][0]
                rest = sorted(name for name in self.points if name > after)
                return 200, {}, orjson.dumps([self.points[name] for name in rest[:40]])
        return 200, {}, b"{}"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.end()


def memory(count: int) -> list[Record]:
    return [from_json({"id": f"m{n:04}", "text": f"note {n}", "vector": [float(n), 1.0]}) for n in range(count)]


def write(address: Address, records: list[Record]) -> None:
    with Wire.open(address, create=True) as store:
        store.write(plan_between([], records))


class TestWire(StoreContract):
    dims = 6

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        self.servers: dict[Path, Server] = {}
        yield
        for each in self.servers.values():
            each.end()

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.servers:
            self.servers[tmp_path] = Server()
        return Wire.open(self.servers[tmp_path].address(), create=True)


def test_batches_are_halved_until_the_server_takes_them(server: Server) -> None:
    server.most_bytes = 1000
    write(server.address(), memory(100))
    with Wire.open(server.address()) as store:
        check_holds(store, memory(100))
    server.points.clear()
    server.most_bytes = 50
    assert attempt(lambda: write(server.address(), memory(3)))[1] == "store-limit"


def test_several_batches_are_under_way_at_once_and_no_more_than_allowed(server: Server) -> None:
    write(server.address(reach=Reach(concurrency=3)), memory(2000))
    assert 1 <= server.most_under_way <= 3
    with Wire.open(server.address()) as store:
        check_holds(store, memory(2000))


def test_a_failure_among_several_batches_is_raised_and_a_second_run_completes(server: Server) -> None:
    server.script = [*[None] * 8, *[(400, {}, b'{"error":"no"}')] * 2]
    assert attempt(lambda: write(server.address(reach=Reach(concurrency=3)), memory(1000)))[1] == "store-answer"
    assert len(server.points) < 1000
    server.script.clear()
    write(server.address(), memory(1000))
    assert len(server.points) == 1000


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    write(server.address(), memory(100))
    server.asked.clear()
    server.script = [(status, {"Retry-After": "1"}, b"{}")] * 2
    with Wire.open(server.address()) as store:
        check_holds(store, memory(100))
    assert server.asked[:3] == ["GET /agent"] * 3


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, b"{}", "store-busy"),
        (500, b"{}", "store-unreachable"),
        (401, b"{}", "store-refused"),
        (403, b"{}", "store-refused"),
        (400, b'{"error":"why not"}', "store-answer"),
        (200, b"<html><title>Sign in</title></html>", "store-answer"),
        (200, b"not JSON", "store-answer"),
    ],
)
def test_trouble_has_a_code_and_what_to_do(server: Server, status: int, body: bytes, code: str) -> None:
    write(server.address(), memory(2))
    server.script = [(status, {}, body)] * 9
    with pytest.raises(StoreError) as raised, Wire.open(server.address()) as store:
        store.describe()
    assert raised.value.code == code
    said = str(raised.value)
    assert "127.0.0.1" in said
    assert {"store-refused": "the key", "store-unreachable": "is it running"}.get(code, "") in said


def test_a_server_that_is_down_is_named(server: Server) -> None:
    address = server.address()
    server.end()
    with pytest.raises(StoreError) as raised:
        Wire.open(address)
    assert raised.value.code == "store-unreachable" and "is it running" in str(raised.value)


def test_a_key_is_sent_and_never_shown(server: Server) -> None:
    address = server.address(secrets={"api_key": lambda: KEY})
    write(address, memory(1))
    assert server.keys == {f"Bearer {KEY}"}
    server.script = [(401, {}, orjson.dumps({"error": f"bad key {KEY}"}))]
    with pytest.raises(StoreError) as raised, Wire.open(address):
        pass
    assert KEY not in str(raised.value) and KEY not in repr(address) and KEY not in str(address)


@pytest.mark.parametrize(
    ("location", "options", "has_key", "url"),
    [
        ("//localhost/c", {}, True, "http://localhost:80"),
        ("//127.0.0.1:99/c", {}, True, "http://127.0.0.1:99"),
        ("//[::1]:99/c", {}, True, "http://[::1]:99"),
        ("//db.example/c", {}, False, "http://db.example:80"),
        ("//db.example/c", {}, True, "https://db.example:80"),
        ("//db.example:443/c", {}, False, "https://db.example:443"),
        ("//db.example/c", {"tls": "0"}, True, "http://db.example:80"),
        ("//localhost/c", {"tls": "1"}, False, "https://localhost:80"),
    ],
)
def test_a_key_leaves_this_machine_only_encrypted(
    location: str, options: dict[str, str], has_key: bool, url: str
) -> None:
    secrets: dict[str, Callable[[], str]] = {"api_key": lambda: KEY} if has_key else {}
    with Wire(Address("wire", location, options, secrets)) as store:
        assert store.http.base_url == url


@pytest.mark.parametrize(
    ("location", "options"),
    [("//host:port/c", {}), ("//user@host/c", {}), ("//host/c", {"tls": "yes"}), ("//host", {})],
)
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with Wire(Address("wire", location, options)) as store, pytest.raises(UsageError) as raised:
        store.exists()
    assert raised.value.code == "bad-address" and "wire" in str(raised.value)


def test_what_is_this_machine_is_known() -> None:
    hosts = ["localhost", "127.0.0.1", "127.9.9.9", "::1", "a.localhost"]
    assert all(map(is_local, hosts)) and not any(map(is_local, ["db", "10.0.0.1", "::2", "localhost.example"]))
