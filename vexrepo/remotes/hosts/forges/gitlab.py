"""GitLab: REST interface, version 4.

Facts: docs.gitlab.com/api (projects, namespaces, personal_access_tokens) and GitLab's source.  No package carries an
OpenAPI document of it: the tests' fake is written from these, and python-gitlab, a client by others, must get along
with it.

- ``GET /personal_access_tokens/self`` answers to a personal token of any scope, with its scopes and its last day.
- Asking needs the scope read_api, making a project api; write_repository is for Git alone.  The 403 names what is
  missing as ``scope``.
- A project's role is a number: 30 (Developer) may push, to a protected branch 40 (Maintainer).  The default branch is
  protected by default, also against being replaced, which ``vex remote compact`` does.
- A name that is taken is a 400, {"message": {"name": ["has already been taken"], …}}; a group without the right to
  make projects in it is a 400 about the namespace, or a 403.
"""

from __future__ import annotations

from typing import ClassVar, Final

import orjson

from vexrepo.errors import HostError
from vexrepo.remotes.answer import Answer, Fields
from vexrepo.remotes.hosts.forges.base import (
    Allowance,
    Forbidden,
    Forge,
    Hosted,
    NameTaken,
    Place,
    TokenReport,
    Visibility,
)
from vexrepo.remotes.http import segment

_DEVELOPER: Final = 30
_NEEDED: Final = "api"


class GitLab(Forge):
    """GitLab.com or a GitLab of one's own."""

    provider: ClassVar = "gitlab"
    token_page: ClassVar = "/-/user_settings/personal_access_tokens"
    push_scope: ClassVar = "write_repository"
    to_push: ClassVar = "the scope 'write_repository' (or 'api')"
    to_create: ClassVar = "the scope 'api'"

    def whoami(self) -> str:
        return self.ask("GET", "/user").fields().need_text("username")

    def find_repository(self, place: Place) -> Hosted | None:
        answer = self.ask("GET", f"/projects/{segment(str(place))}", also=(404,), statistics="true")
        return None if answer.status == 404 else _hosted(answer.fields())

    def create_private(self, place: Place) -> Hosted:
        body: dict[str, object] = {
            "name": place.name,
            "path": place.name,
            "visibility": "private",
            "initialize_with_readme": False,
            "auto_devops_enabled": False,  # or a pipeline is tried, and fails, at every push
        }
        if place.owner.lower() != self.whoami().lower():
            body["namespace_id"] = self._namespace(place.owner)
        answer = self.ask("POST", "/projects", body=body, also=(400,))
        if answer.status == 400:
            said = answer.words()
            if "already been taken" in said:
                raise NameTaken(f"{self.site.host} has a project {place} already ({said})")
            raise Forbidden(
                f"{self.site.host} does not make {place} ({said}): it needs the role Maintainer in {place.owner}, or "
                "what the group's settings ask for; or choose another name"
            )
        return _hosted(answer.fields())

    def _namespace(self, path: str) -> int:
        answer = self.ask("GET", f"/namespaces/{segment(path)}", also=(404,))
        number = answer.fields().number("id") if answer.status == 200 else None
        if number is None:
            raise HostError(
                f"{self.site.host} has no group {path} that the token may see: check the name, or make it at "
                f"{self.site.web}/groups/new",
                code="host-missing",
            )
        return number

    def token_report(self) -> TokenReport:
        answer = self.ask("GET", "/personal_access_tokens/self", also=(400, 403, 404))
        if answer.status != 200:  # a token of a project or group, or of OAuth
            return TokenReport(self.whoami(), None)
        fields = answer.fields()
        scopes = tuple(fields.texts("scopes") or ())
        missing = () if _NEEDED in scopes else (_NEEDED,)
        account = self.whoami() if {"api", "read_api", "read_user"} & set(scopes) else None
        advice = ""
        if missing:
            advice = self.where_to_make(self.to_create)
            if "write_repository" in scopes:
                advice = f"it may push to a project that is there; to make one, {advice}"
        return TokenReport(account, scopes, missing, fields.text("expires_at"), advice)

    def limits(self) -> Allowance:
        answer = self.ask("GET", "/user")
        told = {name: answer.header_number(f"ratelimit-{name}") for name in ("remaining", "limit", "reset")}
        return Allowance(told["remaining"], told["limit"], answer.seconds_until(told["reset"]))

    def lacking(self, answer: Answer) -> tuple[str, ...]:
        try:
            told = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return ()
        scope = told.get("scope") if isinstance(told, dict) else None
        # It lists every scope that would do; the narrowest that also makes projects is the one to ask for.
        return ("api",) if isinstance(scope, str) and "api" in scope.split() else ()


def _hosted(fields: Fields) -> Hosted:
    place = fields.need_text("path_with_namespace").rpartition("/")
    told = fields.text("visibility")
    levels = []
    rights = fields.part("permissions")
    for name in ("project_access", "group_access") if rights else ():
        part = rights.part(name) if rights else None
        levels.append(part.number("access_level") or 0 if part else 0)
    statistics = fields.part("statistics")
    return Hosted(
        place=Place(place[0], place[2]),
        visibility=Visibility(told) if told in set(Visibility) else Visibility.PUBLIC,
        size_bytes=statistics.number("repository_size") if statistics else None,
        default_branch=fields.text("default_branch"),
        is_archived=bool(fields.flag("archived")),
        is_empty=fields.flag("empty_repo"),
        may_push=max(levels) >= _DEVELOPER if any(levels) else None,
        ssh_url=fields.text("ssh_url_to_repo"),
    )
