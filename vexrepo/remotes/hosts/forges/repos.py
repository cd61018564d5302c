"""What GitHub's interface and that of Forgejo and Gitea, which was made like it, have in common."""

from __future__ import annotations

from abc import abstractmethod

from vexrepo.remotes.answer import Fields
from vexrepo.remotes.hosts.forges.base import Forge, Hosted, Place, Visibility
from vexrepo.remotes.http import segment


class ReposForge(Forge):
    """A forge with ``/user`` and ``/repos/OWNER/NAME``."""

    def whoami(self) -> str:
        return self.ask("GET", "/user").fields().need_text("login")

    def find_repository(self, place: Place) -> Hosted | None:
        answer = self.ask("GET", f"/repos/{segment(place.owner)}/{segment(place.name)}", also=(404,))
        return None if answer.status == 404 else self._hosted(answer.fields())

    def _where_to_create(self, owner: str) -> str:
        """Return the path to post a new repository to: the account's own, or an organisation's."""
        is_own = owner.lower() == self.whoami().lower()
        return "/user/repos" if is_own else f"/orgs/{segment(owner)}/repos"

    def _hosted(self, fields: Fields) -> Hosted:
        owner = fields.part("owner")
        rights = fields.part("permissions")
        size_kib = fields.number("size")
        return Hosted(
            place=Place(owner.need_text("login") if owner else "", fields.need_text("name")),
            visibility=self._visibility(fields),
            size_bytes=None if size_kib is None else size_kib * 1024,
            default_branch=fields.text("default_branch"),
            is_archived=bool(fields.flag("archived")),
            is_empty=fields.flag("empty"),  # GitHub does not say
            may_push=rights.flag("push") if rights else None,
            ssh_url=fields.text("ssh_url"),
        )

    @staticmethod
    @abstractmethod
    def _visibility(fields: Fields) -> Visibility:
        """Return who can see a repository."""
