"""Addresses of Git hosts: URLs, and the form ``user@host:path`` that ssh has.  They never hold a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from vexrepo.errors import UsageError

SCHEMES: Final = ("https", "http", "ssh", "git", "file")
_SCP: Final = re.compile(
    r"(?:(?P<user>[^@/:]+)@)?(?P<host>\[[0-9a-fA-F:.]+\]|[^@/:\[\]]{2,}):(?P<path>(?!//).+)", re.DOTALL
)
_HELPER: Final = re.compile(r"([A-Za-z0-9+.-]+)::")  # git's way to programs of one's own
_ALIASES: Final = {"git+ssh": "ssh", "ssh+git": "ssh", "git+https": "https", "git+http": "http"}


@dataclass(frozen=True, slots=True)
class GitAddress:
    """Where a Git repository is.  ``url``: for messages; ``scheme``: one of SCHEMES; ``path``: as the host sees it."""

    url: str
    scheme: str
    path: str
    host: str = ""
    port: int | None = None
    user: str | None = None


def scheme_of(text: str) -> str:
    """Return the scheme of an address, "file" for a path."""
    if helper := _HELPER.match(text):
        return helper[1]
    scheme, colon, _ = text.partition("://")
    if colon:
        return _ALIASES.get(scheme.lower(), scheme.lower())
    return "ssh" if _SCP.fullmatch(text) else "file"


def parse_git_address(text: str) -> GitAddress:
    """Parse an address.  Raises: UsageError (bad-address), for one with a secret in it, too (without showing it)."""
    scheme = scheme_of(text)
    if not text or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise UsageError("the address is empty, or has control characters in it", code="bad-address")
    if scheme not in SCHEMES:
        raise UsageError(f"no way to hosts of kind {scheme!r}; known: {', '.join(SCHEMES)}", code="bad-address")
    if "://" not in text:
        match = _SCP.fullmatch(text)
        if match is None:
            return GitAddress(text, "file", text)
        return _checked(GitAddress(text, "ssh", match["path"], match["host"].strip("[]"), None, match["user"]))
    if scheme == "file":
        return GitAddress(text, "file", _file_path(text))
    return _parse_url(text, scheme)


def _file_path(text: str) -> str:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{text} names a file on another machine; use ssh", code="bad-address")
    path = unquote(text.split("://", 1)[1].removeprefix("localhost"))
    return path[1:] if re.match(r"/[A-Za-z]:[/\\]", path) else path  # file:///C:/… on Windows


def _parse_url(text: str, scheme: str) -> GitAddress:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError("the address is not a URL: its host or port cannot be read", code="bad-address") from None
    host = parts.hostname
    netloc = parts.netloc.rpartition("@")[2]
    plain = f"{scheme}://{netloc}{parts.path}"
    if not host or not parts.path.strip("/"):
        raise UsageError(f"{plain} names no repository; expected {scheme}://HOST/PATH", code="bad-address")
    if parts.query or parts.fragment:
        raise UsageError(
            f"the address of {plain} goes on with '?' or '#', which Git hosts do not have (and secrets do not belong "
            "into addresses)",
            code="bad-address",
        )
    if parts.password is not None:
        raise UsageError(
            f"the address of {plain} holds a password: addresses are shown and kept in files; give the "
            "address without it, and the secret as VEX_TOKEN, in the keyring or by git's credential helper",
            code="bad-address",
        )
    user = unquote(parts.username) if parts.username else None
    url = f"{scheme}://{parts.username + '@' if parts.username else ''}{netloc}{parts.path}"
    return _checked(GitAddress(url, scheme, unquote(parts.path), host, port, user))


def _checked(address: GitAddress) -> GitAddress:
    """Refuse what ssh would take for an option of its own."""
    for part in (address.host, address.user or "", address.path):
        if part.startswith("-"):
            raise UsageError(f"{address.url}: {part!r} begins with a dash", code="bad-address")
    return address
