"""A real sshd on a free port of 127.0.0.1 with keys made for the test, and git's own daemon."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hosting.programs import await_answer, free_port

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class Sshd:
    """Where it is, and the command that gets in."""

    port: int
    command: str

    def url(self, path: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until something listens."""

    def listens() -> bool:
        socket.create_connection(("127.0.0.1", port), 60).close()
        return True

    await_answer(process, str(process.args), listens, OSError)


@contextmanager
def sshd(folder: Path, *, restricted: bool = False) -> Iterator[Sshd]:
    """Run sshd while the context lasts.  ``restricted``: only git's own commands are let through, as at hosts."""
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = (folder / "user.pub").read_text()
    forced = 'command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"" ' if restricted else ""
    (folder / "authorized_keys").write_text(forced + public)
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    port = free_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    options = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": folder / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": folder / "authorized_keys", "StrictModes": "no", "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password", "SetEnv": "GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null",
        "MaxStartups": "100", "MaxSessions": "100", "UseDNS": "no",
    }  # fmt: skip
    arguments = [SSHD, "-D", "-e", "-f", os.devnull]
    for name, value in options.items():
        arguments += ["-o", f"{name}={value}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(arguments, stdout=log, stderr=log) as process:
        try:
            wait_for(port, process)
            known = f"-o UserKnownHostsFile={folder / 'known_hosts'} -o GlobalKnownHostsFile={os.devnull}"
            # One connection carries all conversations of a test: making one costs more than anything said on it.
            with tempfile.TemporaryDirectory(prefix="vex") as control:
                shared = f"-o ControlMaster=auto -o ControlPersist=60 -o ControlPath={control}/s"
                command = (
                    f"ssh -F {os.devnull} -i {folder / 'user'} -o IdentitiesOnly=yes -o BatchMode=yes {known} "
                    f"-o StrictHostKeyChecking=yes {shared}"
                )
                try:
                    yield Sshd(port, command)
                finally:
                    end = [*shlex.split(command), "-O", "exit", "-p", str(port), "127.0.0.1"]
                    subprocess.run(end, capture_output=True, check=False)
        finally:
            process.terminate()


@contextmanager
def git_daemon(root: Path) -> Iterator[str]:
    """Run git's daemon for what is below a folder while the context lasts; its address, without a path."""
    port = free_port()
    arguments = [
        "git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all",
        "--enable=receive-pack", "--informative-errors", str(root),
    ]  # fmt: skip
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL, process_group=0) as process:
        try:
            wait_for(port, process)
            yield f"git://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)  # the daemon is a child of git
