"""Make sure that a repository is there, is ours to push to, and is not for everybody to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.base import Access
from vexrepo.remotes.hosts.forges.base import Forbidden, Forge, Hosted, NameTaken, Place, Visibility
from vexrepo.remotes.hosts.forges.registry import find_forge
from vexrepo.remotes.http import Patience


class Standing(StrEnum):
    """How it is with a repository.  The first three may be pushed to."""

    EXISTS = "exists"
    CREATED = "created"
    PUBLIC = "public"  # it may be pushed to, and others can see it
    ARCHIVED = "archived"
    NO_RIGHTS = "no-rights"
    MISSING = "missing"  # and it was not to be made


@dataclass(frozen=True, slots=True)
class Ensured:
    """What was found or done.  ``words`` say it, with the way out where there is something to do.

    ``hosted`` is None where the forge does not say: a token that may push need not be allowed to ask.
    """

    standing: Standing
    place: Place
    provider: str
    https_url: str
    ssh_url: str
    words: str
    hosted: Hosted | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def is_usable(self) -> bool:
        """Whether it may be pushed to."""
        return self.standing in (Standing.EXISTS, Standing.CREATED, Standing.PUBLIC)

    def check(self) -> None:
        """Raise HostError (host-refused, host-missing) unless it may be pushed to."""
        if not self.is_usable:
            code = "host-missing" if self.standing is Standing.MISSING else "host-refused"
            raise HostError(self.words, code=code)


def ensure_repository(
    where: str,
    access: Access,
    *,
    provider: str | None = None,
    web: str | None = None,
    create: bool = True,
    patience: Patience | None = None,
) -> Ensured | None:
    """Return how it is with a repository, made private if it was missing and ``create``; None for plain Git hosts.

    Arguments as for ``find_forge``.  Nothing is changed about a repository that is there.
    Raises: UsageError (bad-address, bad-option), HostError (host-refused for a token that is not known, host-missing
    for an owner that is not there, host-unreachable, host-busy, host-answer, host-limit).
    """
    found = find_forge(where, access, provider=provider, web=web, patience=patience)
    if found is None:
        return None
    with found.forge as forge:
        return ensure_at(forge, found.place, create=create, over_ssh=found.over_ssh)


def ensure_at(forge: Forge, place: Place, *, create: bool, over_ssh: bool) -> Ensured:
    """As ``ensure_repository``, at a forge; ``over_ssh``: what the token may push does not matter."""
    try:
        hosted = forge.find_repository(place)
    except Forbidden as error:
        return _unasked(forge, place, error)
    if hosted is None:
        return _make(forge, place, create=create, over_ssh=over_ssh)
    return _judge(forge, hosted, over_ssh=over_ssh)


def _say(forge: Forge, place: Place, standing: Standing, words: str, hosted: Hosted | None = None) -> Ensured:
    warnings = []
    if hosted is not None and hosted.visibility is not Visibility.PRIVATE:
        who = "everybody" if hosted.visibility is Visibility.PUBLIC else forge.insiders
        warnings.append(
            f"{place} at {forge.site.host} is {hosted.visibility}: {who} can see when you push, and how much, and keep "
            "copies of what is sealed; make it private in its settings"
        )
    ssh_url = (hosted and _ssh_url(forge, hosted)) or forge.ssh_url(place)
    return Ensured(standing, place, forge.provider, forge.https_url(place), ssh_url, words, hosted, tuple(warnings))


def _ssh_url(forge: Forge, hosted: Hosted) -> str | None:
    """Return the ssh address that the forge gives, if it is one of the same host (its port may be another)."""
    told = hosted.ssh_url
    name = forge.ssh_url(hosted.place).partition("@")[2].partition(":")[0]
    is_same = told is not None and told.partition("@")[2].startswith((f"{name}:", f"{name}/"))
    return told if is_same else None


def _unasked(forge: Forge, place: Place, error: Forbidden) -> Ensured:
    """The token may not ask about repositories: Git's own answer counts."""
    if forge.is_there(place) and forge.may_push(place):
        words = f"{place} at {forge.site.host} is there; the token may push to it, but not ask who can see it"
        return _say(forge, place, Standing.EXISTS, words)
    return _say(forge, place, Standing.NO_RIGHTS, str(error))


def _make(forge: Forge, place: Place, *, create: bool, over_ssh: bool) -> Ensured:
    host = forge.site.host
    if not create:
        words = f"no repository {place} at {host}, or none that {forge.source} may see"
        return _say(forge, place, Standing.MISSING, words)
    if forge.token() is None:
        words = f"no repository {place} at {host} that can be seen without a token, and there is none"
        return _say(forge, place, Standing.NO_RIGHTS, f"{words}: {forge.where_to_make(forge.to_create)}")
    try:
        hosted = forge.create_private(place)
    except NameTaken as error:
        now = forge.find_repository(place)  # somebody was quicker
        if now is not None:
            return _judge(forge, now, over_ssh=over_ssh)
        words = f"{error}, which {forge.source} may not see: give it access, or choose another name"
        return _say(forge, place, Standing.NO_RIGHTS, f"{words}; {forge.where_to_make(forge.to_push)}")
    except Forbidden as error:
        return _say(forge, place, Standing.NO_RIGHTS, str(error))
    except HostError as error:
        if error.code not in ("host-unreachable", "host-answer"):
            raise
        now = forge.find_repository(place)  # the reply was lost, or was nonsense: was it made all the same?
        if now is None:
            raise
        hosted = now
    if hosted.visibility is not Visibility.PRIVATE:
        words = f"{host} made {place}, but as {hosted.visibility}, not as asked"
        return _say(forge, place, Standing.PUBLIC, words, hosted)
    return _say(forge, place, Standing.CREATED, f"made the private repository {place} at {host}", hosted)


def _judge(forge: Forge, hosted: Hosted, *, over_ssh: bool) -> Ensured:
    place, host = hosted.place, forge.site.host
    if hosted.is_archived:
        words = f"{place} at {host} is archived, and takes no pushes: unarchive it in its settings, or use another"
        return _say(forge, place, Standing.ARCHIVED, words, hosted)
    may_push = hosted.may_push
    if may_push is not False and forge.token() is not None and not over_ssh:
        may_push = forge.may_push(place)  # what the token may, not only the account
    if may_push is False:
        words = (
            f"{place} at {host} is there, but {forge.source} may not push to it: ask its owner for the right to write, "
            f"or, if the account has it, {forge.where_to_make(forge.to_push)}"
        )
        return _say(forge, place, Standing.NO_RIGHTS, words, hosted)
    if hosted.visibility is Visibility.PRIVATE:
        return _say(forge, place, Standing.EXISTS, f"{place} at {host} is there and private", hosted)
    return _say(forge, place, Standing.PUBLIC, f"{place} at {host} is there, and {hosted.visibility}", hosted)
