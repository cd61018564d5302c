"""GitHub (and GitHub Enterprise): REST interface, version 2022-11-28.

Facts: docs.github.com/en/rest (repos, users, rate-limit, "Troubleshooting the REST API"), and GitHub's own OpenAPI,
which the tests check every request and every answer of the fake against.

- A classic token's scopes come in the header ``X-OAuth-Scopes`` of every answer.  A fine-grained token has none: what
  it lacks is in ``X-Accepted-GitHub-Permissions`` of the 403.
- The day a token expires is in ``GitHub-Authentication-Token-Expiration``.
- A private repository that a token may not see is a 404.
- An organisation with single sign-on that a token is not authorised for says so in ``X-GitHub-SSO``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import ClassVar, Final

from vexrepo.errors import HostError
from vexrepo.remotes.answer import Answer, Fields
from vexrepo.remotes.hosts.forges.base import (
    Allowance,
    Forbidden,
    Hosted,
    NameTaken,
    Place,
    TokenReport,
    Visibility,
)
from vexrepo.remotes.hosts.forges.repos import ReposForge

_PERMISSION: Final = re.compile(r"([a-z_]+)=(read|write|admin)")
_SSO_PAGE: Final = re.compile(r"url=(https://[^\s;,]+)")


class GitHub(ReposForge):
    """GitHub, or a GitHub Enterprise."""

    provider: ClassVar = "github"
    headers: ClassVar = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    token_page: ClassVar = "/settings/tokens"
    push_scope: ClassVar = "contents=write"
    to_push: ClassVar = (
        "the scope 'repo' (classic), or the repository permission 'Contents: Read and write' (fine-grained)"
    )
    to_create: ClassVar = (
        "the scope 'repo' (classic), or the repository permissions 'Contents: Read and write' and "
        "'Administration: Read and write' (fine-grained)"
    )

    @property
    def insiders(self) -> str:
        return "everybody in its enterprise"

    def create_private(self, place: Place) -> Hosted:
        body = {
            "name": place.name,
            "description": "",
            "private": True,
            "auto_init": False,
            "has_issues": False,
            "has_projects": False,
            "has_wiki": False,
        }
        answer = self.ask("POST", self._where_to_create(place.owner), body=body, also=(404, 422))
        if answer.status in (404, 422) and self.lacking(answer):  # a classic token gets 404 for what it may not
            raise self.forbidden(answer)
        if answer.status == 404:
            raise HostError(
                f"{self.site.host} has no organisation {place.owner} in which {self.source} may make a repository "
                f"({answer.words()}): check the name, or make the repository by hand at {self.site.web}/new",
                code="host-missing",
            )
        if answer.status == 422:
            said = answer.words()
            if "already exists" in said:
                raise NameTaken(f"{self.site.host} has a repository {place} already ({said})")
            raise Forbidden(
                f"{self.site.host} does not make {place} ({said}): make a private repository of that name by hand at "
                f"{self.site.web}/new"
            )
        return self._hosted(answer.fields())

    def token_report(self) -> TokenReport:
        answer = self.ask("GET", "/user")
        account = answer.fields().need_text("login")
        expires = answer.headers.get("github-authentication-token-expiration")
        told = answer.headers.get("x-oauth-scopes")
        if told is None:
            return TokenReport(account, None, (), expires)
        scopes = tuple(name for part in told.split(",") if (name := part.strip()))
        if "repo" in scopes:
            return TokenReport(account, scopes, (), expires)
        return TokenReport(account, scopes, ("repo",), expires, self.where_to_make(self.to_create))

    def limits(self) -> Allowance:
        answer = self.ask("GET", "/rate_limit", also=(404,))  # 404: an Enterprise without limits
        if answer.status == 404:
            return Allowance()
        core = answer.fields().part("rate")
        if core is None:
            return Allowance()
        return Allowance(core.number("remaining"), core.number("limit"), answer.seconds_until(core.number("reset")))

    def lacking(self, answer: Answer) -> tuple[str, ...]:
        told = answer.headers.get("x-accepted-github-permissions")
        if told is not None and "x-oauth-scopes" not in answer.headers:  # fine-grained; one of the groups is enough
            return tuple("=".join(found) for found in _PERMISSION.findall(told.split(";")[0]))
        held = {part.strip() for part in answer.headers.get("x-oauth-scopes", "repo").split(",")}
        return () if "repo" in held else ("repo",)

    def boxes(self, lacks: Collection[str]) -> str:
        if all("=" not in name for name in lacks):
            return self.to_create
        wide = {"read": "Read-only", "write": "Read and write", "admin": "Admin"}
        pairs = (name.split("=") for name in lacks)
        named = " and ".join(f"'{name.replace('_', ' ').capitalize()}: {wide[level]}'" for name, level in pairs)
        return f"the repository permission {named}, for this repository or all of its owner's (fine-grained)"

    def forbidden(self, answer: Answer) -> Forbidden:
        page = _SSO_PAGE.search(answer.headers.get("x-github-sso", ""))
        if page is not None:
            return Forbidden(
                f"{self.site.host} gives no right to this to {self.source}: the organisation wants "
                f"it authorised for its single sign-on, at {page[1].partition('?')[0]}"
            )
        return super().forbidden(answer)

    @staticmethod
    def _visibility(fields: Fields) -> Visibility:
        told = fields.text("visibility")
        if told in set(Visibility):
            return Visibility(told)
        return Visibility.PRIVATE if fields.flag("private") else Visibility.PUBLIC  # an Enterprise of long ago
