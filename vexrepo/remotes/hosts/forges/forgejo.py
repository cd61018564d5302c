"""Forgejo and Gitea (Codeberg is a Forgejo): REST interface, version 1, which the two share.

Facts: the OpenAPI document of either (/swagger.v1.json of every instance), forgejo.org/docs "Access token scope",
docs.gitea.com "API usage".  Tried against neither: the tests' fake is checked with what clients generated from
both documents say.

- ``POST /user/repos`` wants the scopes write:repository and write:user, ``POST /orgs/ORG/repos`` write:organization.
  The 403 names what is missing: "token does not have at least one of required scope(s): [write:user]".
- ``GET /token`` (Gitea from 1.27 on) tells the scopes; Forgejo has nothing like it.
- ``GET /user/quota`` (Forgejo from 9 on, where quotas are in use); making a repository above it is a 413.
- A token limited to public repositories gets a 403 for private ones.
"""

from __future__ import annotations

import re
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

_REQUIRED: Final = re.compile(r"required scope\(s\):? \[([a-z: ,]+)\]")
_NEEDED: Final = ("write:repository", "write:user")
_STORED: Final = ("size:all", "size:repos:all", "size:repos:private")  # quota subjects that a push falls under


class Forgejo(ReposForge):
    """A Forgejo or Gitea."""

    provider: ClassVar = "forgejo"
    scheme: ClassVar = "token"
    token_page: ClassVar = "/user/settings/applications"
    push_scope: ClassVar = "write:repository"
    to_push: ClassVar = "access to all repositories and 'repository: Read and write' (write:repository)"
    to_create: ClassVar = (
        "access to all repositories, 'repository: Read and write' and 'user: Read and write' (for an organisation "
        "also 'organization: Read and write')"
    )

    def create_private(self, place: Place) -> Hosted:
        body = {
            "name": place.name,
            "description": "",
            "private": True,
            "auto_init": False,
            "default_branch": "main",
        }
        answer = self.ask("POST", self._where_to_create(place.owner), body=body, also=(404, 409, 413, 422))
        said = answer.words()
        host = self.site.host
        if answer.status == 409:
            raise NameTaken(f"{host} has a repository {place} already ({said})")
        if answer.status == 404:
            raise HostError(
                f"{host} has no organisation {place.owner} that the token may see ({said}): check the name, or make "
                f"it at {self.site.web}/org/create",
                code="host-missing",
            )
        if answer.status == 413:
            raise HostError(
                f"{host} has no room left for this account ({said}): remove something there", code="host-limit"
            )
        if answer.status == 422:
            raise Forbidden(f"{host} does not make {place} ({said}): choose another name")
        return self._hosted(answer.fields())

    def token_report(self) -> TokenReport:
        account = self.whoami_if_allowed()
        answer = self.ask("GET", "/token", also=(403, 404))
        scopes = answer.fields().texts("scopes") if answer.status == 200 else None
        missing: tuple[str, ...] = () if account is not None else ("write:user",)
        if scopes is not None:
            missing = tuple(name for name in _NEEDED if not {name, "all"} & set(scopes))
            if "public-only" in scopes:
                missing = (*missing, "private repositories")
        advice = self.where_to_make(self.to_create) if missing else ""
        return TokenReport(account, None if scopes is None else tuple(scopes), missing, None, advice)

    def whoami_if_allowed(self) -> str | None:
        """Return the account's name; None for a token that may push, but not ask that (it lacks read:user)."""
        try:
            return self.whoami()
        except Forbidden:
            return None

    def limits(self) -> Allowance:
        answer = self.ask("GET", "/user/quota", also=(403, 404))  # 404: no quotas here; 403: a token without read:user
        if answer.status != 200:
            return Allowance()
        fields = answer.fields()
        rules = [rule for group in fields.parts("groups") for rule in group.parts("rules")]
        limits = [rule.number("limit") for rule in rules if set(rule.texts("subjects") or ()) & set(_STORED)]
        used = _part(fields, "used", "size", "repos")
        stored = None if used is None else (used.number("private") or 0) + (used.number("public") or 0)
        known = [limit for limit in limits if limit is not None and limit >= 0]  # -1: no limit
        return Allowance(stored_bytes=stored, storage_bytes=min(known, default=None))

    def lacking(self, answer: Answer) -> tuple[str, ...]:
        found = _REQUIRED.search(answer.words())
        return tuple(found[1].replace(",", " ").split()) if found else ()

    @staticmethod
    def _visibility(fields: Fields) -> Visibility:
        if fields.flag("private"):
            return Visibility.PRIVATE
        # "internal": of an organisation that only those with an account see
        return Visibility.INTERNAL if fields.flag("internal") else Visibility.PUBLIC


class Gitea(Forgejo):
    """A Gitea: the same, under its own name."""

    provider: ClassVar = "gitea"


def _part(fields: Fields | None, *names: str) -> Fields | None:
    for name in names:
        fields = fields.part(name) if fields else None
    return fields
