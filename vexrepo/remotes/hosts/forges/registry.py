"""Which forge an address belongs to: by the host's name, by the provider that is named, or by asking the host."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from vexrepo.errors import UsageError, VexError
from vexrepo.remotes.hosts.address import parse_git_address
from vexrepo.remotes.hosts.base import Access
from vexrepo.remotes.hosts.forges.base import Forge, Place, Site
from vexrepo.remotes.hosts.forges.forgejo import Forgejo, Gitea
from vexrepo.remotes.hosts.forges.github import GitHub
from vexrepo.remotes.hosts.forges.gitlab import GitLab
from vexrepo.remotes.http import HttpClient, Network, Patience

PROVIDERS: Final[dict[str, type[Forge]]] = {
    "codeberg": Forgejo,
    "forgejo": Forgejo,
    "gitea": Gitea,
    "github": GitHub,
    "gitlab": GitLab,
}
_HOSTS: Final = {"codeberg.org": "codeberg", "gitea.com": "gitea", "github.com": "github", "gitlab.com": "gitlab"}
_HOMES: Final = {
    "codeberg": "https://codeberg.org",
    "github": "https://github.com",
    "gitlab": "https://gitlab.com",
}
_SSH_NAMES: Final = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}  # ssh on port 443
_SHORT: Final = re.compile(r"(?:(?P<provider>[a-z]+):)?(?P<path>[^:@\s]+/[^:@\s]+)")
_ODD: Final = re.compile(r"[\x00-\x20\x7f]")


class Found(NamedTuple):
    """The forge and the repository of an address, and whether the address is one of ssh, which needs no token."""

    forge: Forge
    place: Place
    over_ssh: bool


def site_of(provider: str, web: str) -> Site:
    """Return where the interface of a provider's forge at a web address is."""
    web = web.rstrip("/")
    parts = urlsplit(web)
    kind = PROVIDERS[provider]
    if issubclass(kind, GitHub):
        if parts.hostname == "github.com" or (parts.hostname or "").endswith(".ghe.com"):
            return Site(web, f"{parts.scheme}://api.{parts.netloc}")
        return Site(web, f"{web}/api/v3")
    return Site(web, f"{web}/api/v4" if issubclass(kind, GitLab) else f"{web}/api/v1")


def find_forge(
    where: str,
    access: Access,
    *,
    provider: str | None = None,
    web: str | None = None,
    patience: Patience | None = None,
) -> Found | None:
    """Return what an address means; None where there is no interface that we know.

    ``where`` is a Git address (https, ssh), or OWNER/NAME or PROVIDER:OWNER/NAME.  ``provider`` names one of PROVIDERS
    for hosts that are not known by name, ``web`` where people open it if that is not https://HOST.  A host that is
    neither known nor named is asked over http, without a token, what it is; over ssh it is not.
    Raises: UsageError (bad-address, bad-option).
    """
    short = _SHORT.fullmatch(where)
    named = (short["provider"] or provider) if short else None
    if short and (named == provider or named in PROVIDERS) and named is not None:
        provider = _checked(named)
        home = web or _HOMES.get(provider)
        if home is None:
            raise UsageError(
                f"{where} does not say which {provider} is meant: give its address, https://HOST", code="bad-address"
            )
        site, path, over_ssh = site_of(provider, home), short["path"], False
    else:
        address = parse_git_address(where)
        if address.scheme not in ("https", "http", "ssh"):
            return None
        host = _SSH_NAMES.get(address.host, address.host)
        if web is None:
            own_port = f":{address.port}" if address.port and address.scheme != "ssh" else ""
            name = f"[{host}]" if ":" in host else host
            web = f"{'http' if address.scheme == 'http' else 'https'}://{name}{own_port}"
        found = _checked(provider) if provider else _HOSTS.get(host.lower())
        if found is None and address.scheme != "ssh":
            found = detect_provider(web, access)
        if found is None:
            return None
        site, path, over_ssh = site_of(found, web), address.path, address.scheme == "ssh"
        if not over_ssh:  # a forge below a path of its host
            path = path.removeprefix(urlsplit(web).path)
        provider = found
    place = _place(path, provider, where)
    return Found(PROVIDERS[provider](site, access, f"{site.web}/{place}.git", patience), place, over_ssh)


def _checked(provider: str) -> str:
    if provider not in PROVIDERS:
        raise UsageError(
            f"no provider is called {provider!r}; known: {', '.join(sorted(PROVIDERS))}", code="bad-option"
        )
    return provider


def _place(path: str, provider: str, where: str) -> Place:
    *owners, name = path.strip("/").removesuffix(".git").split("/")
    deep = issubclass(PROVIDERS[provider], GitLab)
    fits = len(owners) >= 1 if deep else len(owners) == 1
    if not fits or any(part in ("", ".", "..") or _ODD.search(part) for part in (*owners, name)):
        form = "GROUP/…/NAME" if deep else "OWNER/NAME"
        raise UsageError(f"{where} is no repository of a {provider}: expected {form} at its end", code="bad-address")
    return Place("/".join(owners), name)


def detect_provider(web: str, access: Access) -> str | None:
    """Return what forge a host says it is, without showing it a token; None if it says nothing that we know."""
    network = Network(access.proxy, access.ca_file, min(10.0, access.timeout_s), whole_s=10.0)
    try:
        with HttpClient(web, network=network, patience=Patience(tries=1), most_bytes=1 << 16) as http:
            answer = http.ask("GET", "/api/v1/version", also=(401, 403, 404))
            if answer.status == 200 and not answer.is_page:
                version = answer.fields().text("version") or ""
                return "forgejo" if "+gitea" in version else "gitea" if version else None
            answer = http.ask("GET", "/api/v4/version", also=(401, 404))  # GitLab: to no one without a token
            if answer.status == 401 and not answer.is_page and "401 Unauthorized" in answer.words():
                return "gitlab"
    except VexError:  # down, or something else: whoever pushes will be told
        return None
    return None
