"""Law 7: everything a Git host holds, turned inside out, shows nothing of the memory."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

from tests.hosting.http_backend import git, make_bare
from tests.hosting.team import PASSPHRASE, REMOTE, Team
from vexrepo.history.walk import iter_records
from vexrepo.remotes.hosts.base import Access
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.repository.hostcare import compact_host, open_host, rekey_host

TEXTS = {
    "mem_8f3a1c": "The user prefers short calls before noon and dislikes asynchronous communication",
    "mem_02bb71": "The harbour pilot in Ødegård keeps the spare key under the blue buoy",
    "mem_77aa00": "Budget approval needs a second signature above forty thousand",
}


def everything(bare: Path) -> bytes:
    """All that the host has: every Git object unpacked, every file as it lies there, every name."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check", cwd=bare).splitlines()
    wanted = "\n".join(line.split()[0] for line in listed) + "\n"
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=bare, input=wanted.encode(), capture_output=True, check=True
    )
    files = [path for path in bare.rglob("*") if path.is_file()]
    names = "\n".join(str(path.relative_to(bare)) for path in files)
    return b"\n".join(
        [done.stdout, git("log", "--all", "--format=fuller", cwd=bare).encode(), names.encode()]
        + [path.read_bytes() for path in files]
    )


def test_a_host_sees_sizes_and_times_and_nothing_else(tmp_path: Path) -> None:
    bare = make_bare(tmp_path / "memory.git")
    team = Team(tmp_path / "machines", host=lambda: DirectoryHost.open(str(bare), Access()))
    one = team.machine().init()
    one.commit(**TEXTS, **{f"mem_filler_{number}": f"filler text number {number} of many" for number in range(60)})
    one.repository.create_tag("tag-of-the-quarter", "HEAD")
    one.push("main", "tag-of-the-quarter")
    two = team.cloned()
    two.branch("branch-of-secrets")
    two.commit(mem_02bb71="The harbour pilot moved the spare key to the lighthouse")
    two.push()
    one.fetch()
    with open_host(one.repository, REMOTE, one.reach) as vault:
        from vexrepo.remotes.hosts.members import Recipient

        vault.add_recipient(Recipient("colleague-maren", one.around.identity.key))  # type: ignore[union-attr]
    held = everything(bare)
    rekey_host(one.repository, REMOTE, one.reach, passphrases={"slot-of-laptop": PASSPHRASE}, recipients=())
    held += everything(bare)
    compact_host(one.repository, REMOTE, one.reach)
    held += everything(bare)
    assert len(held) > 20_000 and b"vexrepo host 1" in held

    needles: set[bytes] = {
        b"secret-namespace",
        b"branch-of-secrets",
        b"tag-of-the-quarter",
        b"colleague-maren",
        b"slot-of-laptop",
    }
    needles |= {PASSPHRASE.encode(), one.around.identity.key, b"VEXPACK1", b"ed25519"}  # type: ignore[union-attr]
    for machine in (one, two):
        for name, commit in machine.repository.view().refs.items():
            needles |= {commit, commit.hex().encode(), commit.hex()[:16].encode()}
            if "/" in name and len(name.rsplit("/", 1)[1]) > 6:
                needles.add(name.rsplit("/", 1)[1].encode())
            snapshot = machine.repository.commit_at(commit).snapshot
            needles |= {snapshot, snapshot.hex().encode()}
            root = machine.repository.records_root(commit)
            assert root is not None
            for item in iter_records(machine.repository.objects, root):
                value = item.to_json()
                text = value["text"]
                needles |= {value["id"].encode(), item.id, item.id.hex().encode(), item.body[:40]}
                needles |= {word.encode() for word in text.split() if len(word) > 7} | {text.encode()[:24]}
                numbers = value["vector"]
                for at in range(0, len(numbers) - 3, 3):
                    needles.add(struct.pack("<3f", *numbers[at : at + 3]))
                    needles.add(struct.pack("<3d", *numbers[at : at + 3]))
                    needles.add(json.dumps(numbers[at : at + 3])[1:-1].encode())
        for identifier, kind in machine.repository.objects:
            needles |= {identifier, identifier.hex().encode()}
            assert kind
        needles.add(machine.repository.log.current()[1].repository.encode())
    assert len(needles) > 500
    lowered = held.lower()
    found = [needle for needle in needles if needle in held or (needle.isascii() and needle.lower() in lowered)]
    assert not found
    # What the host does see: who pushes, as Git says it, and when.
    assert git("log", "--all", "--format=%an %ae %s", cwd=bare).splitlines() == ["vexrepo vexrepo@localhost vexrepo"]
