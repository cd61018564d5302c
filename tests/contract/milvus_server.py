"""A Milvus server for tests: the real one, of its package, which is installed without its dependencies and aside."""

from __future__ import annotations

import functools
import itertools
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.hosting.programs import await_answer, end_with_us, free_port
from tests.packages import installed
from vexrepo.remotes.stores.address import Address

VERSION = "2.3.5"
TOKEN = "root:Milvus"  # what it lets in at first
_NUMBER = itertools.count()
_PORTS = ("root_coord", "proxy", "proxy_internal", "query_coord", "query_node", "index_coord", "index_node")
_PORTS += ("data_coord", "data_node", "etcd", "etcd_peer", "metrics")
# It ends with us, even where we are killed: the kernel sends it signal 9 then.
_RUN = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
# The server ticks five times a second, and looks each second at what is to be loaded: quicker, so that tests are.
_QUICK = {
    "PROXY_TIMETICKINTERVAL": "20",
    "QUERYCOORD_CHECKINTERVAL": "50",
    "QUERYCOORD_DISTPULLINTERVAL": "50",
    "QUERYCOORD_CHECKHANDOFFINTERVAL": "50",
    "QUERYCOORD_CHECKCHANNELINTERVAL": "50",
    "QUERYCOORD_CHECKSEGMENTINTERVAL": "50",
    "QUERYCOORD_LEADERVIEWUPDATEINTERVAL": "1",
    "QUERYCOORD_UPDATENEXTTARGETINTERVAL": "1",
}


def package() -> Path:
    """Return a folder with the program, its libraries and the templates of its configuration."""
    return installed(f"milvus-{VERSION}", f"milvus=={VERSION}", unpack=_unpack)


def _unpack(package: Path, folder: Path) -> None:
    held = package / "milvus" / "data"
    for packed in sorted((held / "bin").glob("*.lzma")):
        unpacked = folder / packed.stem
        with lzma.open(packed) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target)
        unpacked.chmod(0o755)
    for name in ("config.yaml.template", "glog.conf"):
        shutil.copy(held / name, folder / name)


def _free_ports() -> dict[str, int]:
    found: dict[int, str] = {}
    for name in _PORTS:
        while (number := free_port()) in found:
            pass
        found[number] = name
    return {name: number for number, name in found.items()}


def _configuration(template: str, ports: dict[str, int], data: Path) -> str:
    """Return the server's configuration: the package's, with what stands in double braces filled in."""
    told = {f"{name}_port": str(number) for name, number in ports.items()} | {
        "etcd_log_path": str(data / "etcd.log"),
        "etcd_data_dir": str(data / "etcd"),
        "local_storage_dir": str(data / "files"),
        "rocksmq_data_dir": str(data / "rocksmq"),
        "system_log_path": str(data / "logs"),
        "authorization_enabled": "true",
    }
    lines = []
    for line in template.splitlines():
        before, braces, rest = line.partition("{{")
        if braces:
            inner, _, after = rest.partition("}}")
            name, _, default = inner.partition(":")
            line = before + told.get(name.partition("(")[0].strip(), default.strip()) + after
        lines.append(line)
    return "\n".join(lines)


@functools.cache
def port() -> int:
    """Return where the server listens, started at the first call and ended with the process."""
    program, data = package(), Path(tempfile.mkdtemp(prefix="vex-milvus-"))
    ports = _free_ports()
    (data / "configs").mkdir()
    text = (program / "config.yaml.template").read_text()
    (data / "configs" / "milvus.yaml").write_text(_configuration(text, ports, data))
    shutil.copy(program / "glog.conf", data / "configs" / "glog.conf")
    etcd, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd_peer"))
    (data / "etcd.yaml").write_text(
        f"name: default\nlisten-client-urls: {etcd}\nadvertise-client-urls: {etcd}\nlisten-peer-urls: {peer}\n"
        f"initial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\nlog-level: error\n"
    )
    environ = {
        **os.environ,
        **_QUICK,
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(ports["metrics"]),
        "MILVUSCONF": str(data / "configs"),
        "MILVUS_RUN_DIR": str(data / "run"),
        "ETCD_CONFIG_PATH": str(data / "etcd.yaml"),
        "LD_LIBRARY_PATH": f"{program}:{os.environ.get('LD_LIBRARY_PATH', '')}",
    }
    with (data / "out").open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(program / "milvus"), "run", "standalone"],
            env=environ, cwd=data, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    end_with_us(server, data)

    def answers() -> bool:
        with urlopen(f"http://127.0.0.1:{ports['metrics']}/healthz", timeout=60) as found:
            return bool(b"OK" in found.read())

    def said() -> str:
        return ": " + (data / "out").read_text()[-2000:]

    await_answer(server, "the Milvus server", answers, URLError, ConnectionError, said=said)
    return ports["proxy"]


def new_address(options: dict[str, str] | None = None, token: str = TOKEN, **more: Any) -> Address:
    """Return the address of a collection that is not there yet."""
    secrets: dict[str, Callable[[], str]] = {"password": lambda: token}
    return Address(
        "milvus", f"//127.0.0.1:{port()}/agent_{next(_NUMBER)}", options or {}, **{"secrets": secrets, **more}
    )
