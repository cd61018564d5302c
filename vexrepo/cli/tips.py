"""What ``vex status`` says of remotes at a host: whether the host moved since it was last seen.

One request tells: which commit the host's branch is at.  It needs no passphrase, and nothing is opened.  A token is
sent where it is at hand: what may ask for one (a keyring, a program, ssh) is left alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vexrepo.cli.drifting import fault_of
from vexrepo.cli.output import quiet, removed
from vexrepo.cli.text import plain
from vexrepo.errors import HostError, VexError
from vexrepo.storage.apart import Fault, apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from vexrepo.cli.drifting import Limits
    from vexrepo.cli.remotes import Remote
    from vexrepo.cli.surroundings import Edge
    from vexrepo.cli.tracking import Standing
    from vexrepo.remotes.hosts.base import Access, Token
    from vexrepo.repository import Repository
    from vexrepo.storage.apart import Apart, Teller

SAME, MOVED, EMPTIED, UNASKED, UNSEEN = "same", "moved", "emptied", "unasked", "unseen"
_STATES = {"host-unreachable": "unreachable", "host-refused": "refused", "host-missing": "missing"}


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A remote at a host: how the branch stands to what was last seen there, and whether that is still there.

    ``has_token``: all was sent that lets one in, so that a refusal is worth a word.
    """

    remote: str
    branch: str | None
    place: str
    standing: Standing | None
    tip: str = UNASKED
    has_token: bool = False
    error: VexError | None = None

    @property
    def state(self) -> str:
        """The state in one word, as ``--json`` has it."""
        return self.tip if self.error is None else _STATES.get(self.error.code, "failed")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        standing = self.standing
        return {
            "remote": self.remote,
            "branch": self.branch,
            "state": self.state,
            "commit": standing.commit.hex() if standing else None,
            "ahead": standing.ahead if standing else None,
            "behind": standing.behind if standing else None,
            "error": {"code": self.error.code, "message": str(self.error)} if self.error is not None else None,
        }

    def words(self) -> str:
        """Return a line for people, "" where there is nothing to say."""
        name = plain(self.remote)
        start = self.standing.words() if self.standing is not None else ""
        kept = f"{start} as last seen; " if self.standing is not None and not self.standing.is_same else f"{name}: "
        if self.state == MOVED:
            return f"{f'{start}; ' if start else f'{name}: '}moved since it was last seen (vex fetch {name})"
        if self.state == EMPTIED:
            return f"{kept}{removed('emptied: nothing is there any more')} (vex fetch {name} says more)"
        if self.state == "unreachable":
            return f"{kept}{removed('not reachable')} ({plain(self.place)})"
        if self.error is not None and (self.has_token or self.state not in ("refused", "missing")):
            return f"{kept}{removed('cannot be looked at: ')}{plain(str(self.error))}  [{self.error.code}]"
        if self.standing is None or self.state == SAME:
            return start
        is_hushed = self.state in (UNASKED, UNSEEN) and self.standing.is_same
        return start if is_hushed else start + quiet("  as last seen")


class AskedHost:
    """A remote at a host, asked beside everything else unless it is not to be."""

    def __init__(self, looked: LookedAt, work: Apart | None = None, until: float = 0.0, whole_s: float = 0.0) -> None:
        self._looked = looked
        self._work = work
        self._until = until
        self._whole_s = whole_s

    def result(self) -> LookedAt:
        """Wait, no longer than the limits say, and return what was found."""
        if self._work is None:
            return self._looked
        found = self._looked
        try:
            while (piece := self._work.hear(self._until)) is not None:
                found = replace(found, **dict([piece]))
        except TimeoutError:
            why = f"{found.place} did not answer within {self._whole_s:g} s (status.timeout_s)"
            return replace(found, error=HostError(why, code="host-unreachable"))
        except VexError as error:
            return replace(found, error=error)
        except Fault as fault:
            return replace(found, error=fault_of(fault))
        finally:
            self._work.end()
        return found

    def end(self) -> None:
        """Ask no more."""
        if self._work is not None:
            self._work.end()


def ask_host(
    edge: Edge, repository: Repository, branch: str | None, standing: Standing | None, remote: Remote, limits: Limits,
    mode: str,
) -> AskedHost:  # fmt: skip
    """Begin to look at a remote at a host, where it was seen from here before; ``edge`` is silent."""
    from vexrepo.remotes.hosts.address import scheme_of
    from vexrepo.remotes.hosts.tips import tip_path

    scheme = scheme_of(remote.url)
    looked = LookedAt(remote.name, branch, _place(remote.url), standing, has_token=scheme not in ("http", "https"))
    path = tip_path(repository.folder, remote.url)
    is_wanted = mode == "all" or (mode == "reachable" and scheme != "ssh") or (mode == "files" and scheme == "file")
    if not is_wanted or not path.exists():
        return AskedHost(looked if path.exists() else replace(looked, tip=UNSEEN))

    def look(teller: Teller) -> None:
        from vexrepo.remotes.hosts.registry import open_host
        from vexrepo.remotes.hosts.tips import decode_tip

        before = decode_tip(path.read_bytes())
        access = _access(edge, repository, remote, limits, lambda: teller.tell("has_token", True))
        with open_host(remote.url, access) as host:
            now = host.peek()
        if before is not None:
            teller.tell("tip", EMPTIED if now is None else SAME if now == before.version else MOVED)

    until = time.monotonic() + limits.whole_s
    return AskedHost(looked, apart(look, limits.whole_s), until, limits.whole_s)


def _place(url: str) -> str:
    from vexrepo.cli.remotes import host_words

    words = host_words(url)
    return words.partition("/")[0] if "://" in url and not url.startswith("file:") else words


def _access(edge: Edge, repository: Repository, remote: Remote, limits: Limits, gave: Callable[[], None]) -> Access:
    """Return a way to a host that asks nobody and changes nothing: a token that is refused stays where it is."""
    from vexrepo.cli.hosting import access_to, secrets_of

    secrets = secrets_of(edge, remote, repository.root)

    def token(url: str) -> Token | None:
        found = secrets.token_at_hand(url)
        if found is not None:
            gave()
        return found

    access = access_to(remote.url, repository.config, secrets, edge.environ, edge.progress)
    return replace(
        access,
        token=token,
        refused=lambda url: None,
        notice=lambda text: None,
        ssh_command=_without_asking(access.ssh_command),
        timeout_s=limits.whole_s,
        connect_s=limits.connect_s,
    )


def _without_asking(command: str | None) -> str:
    """Return a command for ssh that asks for no passphrase, where it is OpenSSH's."""
    command = command or "ssh"
    first, _, rest = command.partition(" ")
    is_known = first.replace("\\", "/").rpartition("/")[2].lower() in ("ssh", "ssh.exe")
    return f"{first} -o BatchMode=yes {rest}".rstrip() if is_known else command
