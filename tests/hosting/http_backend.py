"""Git's own http-backend behind a small server on a free port of 127.0.0.1, with a token that it wants.

Counts requests, and bends answers where a test asks for it.
"""

from __future__ import annotations

import base64
import os
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.hosting.listening import HttpHandler, HttpListening

USER, SECRET = "writer", "s3cr3t-t0ken-0123456789"
PARTIAL = {"uploadpack.allowFilter": "true", "uploadpack.allowAnySHA1InWant": "true"}


def git(*arguments: str, cwd: Path | None = None, check: bool = True) -> str:
    """Run git, with nothing of the user's configuration, and return what it prints."""
    environment = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost",
    }  # fmt: skip
    done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return os.fsdecode(done.stdout).strip()


def make_bare(path: Path, config: dict[str, str] | None = None) -> Path:
    """Make an empty bare repository that may be pushed to over HTTP."""
    git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
    for key, value in {"http.receivepack": "true", **(config or {})}.items():
        git("config", key, value, cwd=path)
    return path


@dataclass
class Answer:
    """What a test's ``bend`` makes the server answer instead of asking http-backend."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Bend = Callable[[BaseHTTPRequestHandler], Answer | None]


class HttpBackend:
    """The server.  ``requests`` lists (method, path with query, protocol version) of each request."""

    def __init__(self, root: Path, tls: ssl.SSLContext | None = None) -> None:
        self.root = root
        self.requests: list[tuple[str, str, str]] = []
        self.bend: Bend | None = None
        self.token: tuple[str, str] | None = (USER, SECRET)
        self.busy = 0
        self.changed = threading.Condition()
        self.backend = [f"{git('--exec-path')}/git-http-backend"]
        outer = self

        class Handler(HttpHandler):
            def do_GET(self) -> None:
                outer.serve(self)

            def do_POST(self) -> None:
                outer.serve(self)

        self.server = HttpListening(Handler, tls)

    @property
    def port(self) -> int:
        return self.server.port

    def url(self, name: str = "memory.git") -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """End the server and what it runs; what went wrong in it is an error now."""
        self.server.end()

    def wait_until_idle(self) -> None:
        """Return when nothing is being served, what a client no longer waits for included."""
        with self.changed:
            assert self.changed.wait_for(lambda: not self.busy, 240)

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        with self.changed:
            self.busy += 1
        try:
            self._serve(handler)
        finally:
            with self.changed:
                self.busy -= 1
                self.changed.notify_all()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.command, handler.path, handler.headers.get("Git-Protocol", "")))
        if self.bend is not None and (bent := self.bend(handler)) is not None:
            drain(handler)
            handler.close_connection = True
            send(handler, bent)
            return
        if self.token is not None:
            wanted = "Basic " + base64.b64encode(":".join(self.token).encode()).decode()
            if handler.headers.get("Authorization") != wanted:
                drain(handler)
                send(
                    handler,
                    Answer(401, {"WWW-Authenticate": 'Basic realm="git"', "Content-Type": "text/plain"}, b"who?"),
                )
                return
        self._run(handler)

    def _run(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "REQUEST_METHOD": handler.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "REMOTE_USER": self.token[0] if self.token else "anybody",
        }
        if length := handler.headers.get("Content-Length"):
            environment["CONTENT_LENGTH"] = length
        with subprocess.Popen(
            self.backend,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            feeder = self.server.run(lambda: feed(handler, process))
            status, headers = 200, {}
            while (line := process.stdout.readline().strip()) != b"":
                name, _, value = line.decode().partition(": ")
                if name == "Status":
                    status = int(value.split()[0])
                else:
                    headers[name] = value
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            try:
                while chunk := process.stdout.read1(1 << 16):
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                handler.wfile.write(b"0\r\n\r\n")
            except OSError:
                terminate(process)
                handler.close_connection = True
            feeder.join()


def send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    """Send an answer that was made up."""
    handler.send_response(answer.status)
    ending = {"Connection": "close"} if handler.close_connection else {}  # unsaid, the next request meets the end
    for name, value in {"Content-Length": str(len(answer.body)), **ending, **answer.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(answer.body)


def body_of(handler: BaseHTTPRequestHandler) -> Iterator[bytes]:
    """Yield a request's body: of a known length, or in chunks."""
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        while size := int(handler.rfile.readline().split(b";")[0] or b"0", 16):
            yield handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
        return
    left = int(handler.headers.get("Content-Length") or 0)
    while left and (chunk := handler.rfile.read(min(left, 1 << 16))):
        left -= len(chunk)
        yield chunk


def drain(handler: BaseHTTPRequestHandler) -> None:
    for _ in body_of(handler):
        pass


def feed(handler: BaseHTTPRequestHandler, process: subprocess.Popen[bytes]) -> None:
    """Hand a request's body to http-backend, which unpacks gzip by itself.

    One that ends early ends the program, as web servers do: it would wait for the rest for ever, and busily.  What it
    does not want is taken all the same: left unread, it would be taken for the next request.
    """
    assert process.stdin is not None
    left = int(handler.headers.get("Content-Length") or 0)
    try:
        for chunk in body_of(handler):
            left -= len(chunk)
            with suppress(BrokenPipeError):
                process.stdin.write(chunk)
                process.stdin.flush()
    except (OSError, ValueError):  # cut, between chunks or within the size of one
        handler.close_connection = True
        terminate(process)
    if left > 0:
        handler.close_connection = True
        terminate(process)
    with suppress(BrokenPipeError):
        process.stdin.close()


def terminate(process: subprocess.Popen[bytes]) -> None:
    """End http-backend and what it started, which take their locks away."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


@contextmanager
def http_backend(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[HttpBackend]:
    """Run the server while the context lasts."""
    server = HttpBackend(root, tls)
    try:
        yield server
    finally:
        server.close()
