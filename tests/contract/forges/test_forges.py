"""Every forge keeps the contract of ``vexrepo.remotes.hosts.forges``, in its own tongue.

GitHub is tested behind a proxy that holds GitHub's own OpenAPI against every request and every answer of the fake;
Forgejo and Gitea with what clients generated from their documents say; GitLab, of which no package carries a document,
with a fake written from its documentation and source, which python-gitlab must get along with (test_gitlab_fake.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.contract.forges.conftest import Checked
from tests.contract.forges.documents import Document
from tests.contract.forges.fake import Asked, FakeForge, FakeToken, Gone, Reply
from tests.contract.forges.gitea import FakeGitea
from tests.contract.forges.gitlab import FakeGitLab
from vexrepo.errors import CODES, HostError
from vexrepo.remotes.hosts.base import Access, Token
from vexrepo.remotes.hosts.forges.base import Allowance, Forbidden, Forge, Place, Site, Visibility
from vexrepo.remotes.hosts.forges.ensure import Ensured, Standing, ensure_at
from vexrepo.remotes.hosts.forges.forgejo import Forgejo, Gitea
from vexrepo.remotes.hosts.forges.github import GitHub
from vexrepo.remotes.hosts.forges.gitlab import GitLab
from vexrepo.remotes.http import Patience

SECRET = "s3cr3t-0f-alice"
MEMORY = Place("alice", "memory")


@dataclass
class World:
    """A fake, and alice's way to it."""

    fake: FakeForge
    kind: type[Forge]
    api: str  # where the interface is checked
    waits: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)
    made: list[Forge] = field(default_factory=list)
    has_token: bool = True

    def forge(self, *, direct: bool = False) -> Forge:
        """Return the forge; ``direct``: past what checks requests and answers, for answers that no document allows."""

        def token(url: str) -> Token | None:
            self.asked_for.append(url)
            return Token("alice", SECRET, "VEX_TOKEN_BACKUP") if self.has_token else None

        access = Access(token=token, refused=self.refused.append, timeout_s=5)
        site = Site(self.fake.url, self.fake.url + self.fake.api if direct else self.api)
        patience = Patience(sleep=self.waits.append, chance=lambda: 0.5)
        self.made.append(self.kind(site, access, f"{self.fake.url}/alice/memory.git", patience))
        return self.made[-1]

    def ensure(self, place: Place = MEMORY, *, create: bool = True, direct: bool = False, ssh: bool = False) -> Ensured:
        """Ensure a repository, and check that what is said is fit to be said."""
        found = ensure_at(self.forge(direct=direct), place, create=create, over_ssh=ssh)
        for text in (found.words, repr(found), *found.warnings):
            assert SECRET not in text
        assert found.https_url == f"{self.fake.url}/{found.place.owner}/{found.place.name}.git"
        return found

    def posts(self) -> list[Asked]:
        """Return the requests that change something."""
        return [asked for asked in self.fake.asked if asked.method != "GET"]


def failing(code: str, act: Callable[[], object]) -> str:
    """Return the message of the HostError that ``act`` must raise."""
    with pytest.raises(HostError) as caught:
        act()
    assert caught.value.code == code
    assert code in CODES
    assert SECRET not in str(caught.value) + repr(caught.value)
    return str(caught.value)


def once(reply: Reply) -> Callable[[Asked, Callable[[], Reply]], Reply]:
    """A fault: this reply in place of the right one."""
    return lambda asked, right: reply


def right(asked: Asked, answer: Callable[[], Reply]) -> Reply:
    """No fault."""
    return answer()


def lost(asked: Asked, answer: Callable[[], Reply]) -> Reply:
    """A fault: it is done, and the reply does not arrive."""
    answer()
    raise Gone


class ForgeContract:
    """What holds for every forge.  ``world`` has a token of alice's that may do all that vexrepo needs."""

    internal = True  # it has repositories for everybody with an account
    full: FakeToken
    push_only: FakeToken  # Git, but not the interface, or not all of it
    read_only: FakeToken
    box_to_create: str
    box_to_push: str
    page: str
    untold = False  # a token that may not make repositories may not ask about them, either

    # who

    def test_the_account_is_known_by_its_token(self, world):
        assert world.forge().whoami() == "alice"

    def test_the_token_is_asked_for_with_the_repositorys_address_and_once(self, world):
        forge = world.forge()
        forge.whoami()
        forge.find_repository(MEMORY)
        assert world.asked_for == [f"{world.fake.url}/alice/memory.git"]

    def test_a_token_that_is_not_known_is_refused_with_the_way_out(self, world):
        world.fake.tokens.clear()
        said = failing("host-refused", world.ensure)
        assert "does not know the token from VEX_TOKEN_BACKUP" in said
        assert "mistyped, expired or revoked" in said
        assert f"make one at {world.fake.url}{self.page} with " in said
        assert self.box_to_create in said
        assert world.refused == [f"{world.fake.url}/alice/memory.git"]
        assert world.waits == []

    def test_without_a_token_the_way_to_one_is_shown(self, world):
        world.has_token = False
        world.fake.add("alice", "memory")
        found = world.ensure()
        assert found.standing is Standing.NO_RIGHTS
        assert "there is none: make one at" in found.words
        assert self.box_to_create in found.words
        assert world.posts() == []
        failing("host-refused", found.check)

    def test_no_token_is_sent_over_http_to_another_machine(self, world):
        forge = world.kind(Site("http://git.example.org", world.api), Access(token=lambda url: 1 / 0))
        assert forge.token() is None
        said = failing("host-refused", forge.whoami)
        assert "use https" in said
        forge.close()

    # making

    def test_a_missing_repository_is_made_private_and_says_nothing(self, world):
        found = world.ensure()
        assert found.standing is Standing.CREATED
        assert found.is_usable
        assert found.warnings == ()
        assert (found.hosted.visibility, found.hosted.place) == (Visibility.PRIVATE, MEMORY)
        made = world.fake.find("alice", "memory")
        assert (made.visibility, made.empty) == ("private", True)
        said = {key: value for key, value in made.body.items() if isinstance(value, str) and value}
        assert set(said.values()) <= {"memory", "private", "main"}
        found.check()

    def test_made_once_it_is_found(self, world):
        world.ensure()
        again = world.ensure()
        assert again.standing is Standing.EXISTS
        assert len(world.posts()) == 1

    def test_what_is_not_to_be_made_is_not_made(self, world):
        found = world.ensure(create=False)
        assert found.standing is Standing.MISSING
        assert world.posts() == []
        assert world.fake.repositories == {}
        assert "no repository alice/memory" in failing("host-missing", found.check)

    def test_a_repository_is_made_in_an_organisation(self, world):
        world.fake.orgs["harbour"] = {"alice"}
        found = world.ensure(Place("harbour", "memory"))
        assert found.standing is Standing.CREATED
        assert world.fake.find("harbour", "memory").visibility == "private"

    def test_the_accounts_own_name_may_be_written_with_other_capitals(self, world):
        assert world.ensure(Place("Alice", "memory")).standing is Standing.CREATED

    def test_an_organisation_that_is_not_there_is_named(self, world):
        said = failing("host-missing", lambda: world.ensure(Place("nowhere", "memory")))
        assert "nowhere" in said
        assert "check the name" in said

    def test_an_organisation_without_rights_is_refused_with_the_way_out(self, world):
        world.fake.orgs["harbour"] = {"bob"}
        found = world.ensure(Place("harbour", "memory"))
        assert found.standing is Standing.NO_RIGHTS
        assert "ask an owner" in found.words or "it needs the role Maintainer in harbour" in found.words
        assert world.fake.repositories == {}

    def test_a_name_that_a_host_does_not_take_is_refused_with_its_words(self, world):
        found = world.ensure(Place("alice", "memory~"))
        assert found.standing is Standing.NO_RIGHTS
        assert "does not make alice/memory~ (" in found.words

    def test_a_name_taken_by_what_the_token_may_not_see_is_told(self, world):
        world.fake.add("alice", "memory")
        world.fake.faults = [self.hidden]
        found = world.ensure(direct=True)
        assert found.standing is Standing.EXISTS  # it can be seen after all
        world.fake.faults = [self.hidden, right, right, self.hidden]
        found = world.ensure(direct=True)
        assert found.standing is Standing.NO_RIGHTS
        assert "may not see: give it access, or choose another name" in found.words
        assert self.box_to_push in found.words

    @staticmethod
    def hidden(asked: Asked, answer: Callable[[], Reply]) -> Reply:
        """A fault: the repository is not seen."""
        return Reply(404, {"message": "404 Not Found"})

    def test_a_token_that_may_not_make_repositories_is_told_the_box_to_tick(self, world):
        world.fake.tokens[SECRET] = self.push_only
        found = world.ensure()
        assert found.standing is Standing.NO_RIGHTS
        assert self.box_to_create in found.words
        assert world.fake.repositories == {}

    # finding

    def test_a_private_repository_is_found_as_it_is(self, world):
        world.fake.add("alice", "memory")
        found = world.ensure()
        assert found.standing is Standing.EXISTS
        hosted = found.hosted
        assert (hosted.place, hosted.visibility, hosted.is_archived) == (MEMORY, Visibility.PRIVATE, False)
        assert hosted.default_branch == "main"
        assert hosted.size_bytes > 1000
        assert hosted.may_push
        assert world.posts() == []

    def test_a_public_repository_is_warned_of(self, world):
        world.fake.add("alice", "memory", visibility="public")
        found = world.ensure()
        assert found.standing is Standing.PUBLIC
        assert found.is_usable
        assert "is public: everybody can see when you push" in found.warnings[0]
        assert world.posts() == []

    def test_a_repository_for_everybody_with_an_account_is_warned_of(self, world):
        world.fake.add("alice", "memory", visibility="internal")
        found = world.ensure()
        assert found.standing is Standing.PUBLIC
        assert "is internal: everybody " in found.warnings[0]

    def test_one_that_was_made_public_against_our_wish_is_warned_of(self, world):
        def public(asked: Asked, answer: Callable[[], Reply]) -> Reply:
            asked.body |= {"private": False, "visibility": "public"}
            return answer()

        world.fake.check = lambda asked, reply: []
        world.fake.faults = [right, right, public]
        found = world.ensure(direct=True)
        assert found.standing is Standing.PUBLIC
        assert "not as asked" in found.words
        assert found.warnings

    def test_an_archived_repository_is_refused_with_the_way_out(self, world):
        world.fake.add("alice", "memory", archived=True)
        found = world.ensure()
        assert found.standing is Standing.ARCHIVED
        assert "unarchive it" in failing("host-refused", found.check)

    def test_a_repository_that_the_account_may_only_read_is_refused(self, world):
        world.fake.add("bob", "memory", readers={"alice"})
        found = world.ensure(Place("bob", "memory"))
        assert found.standing is Standing.NO_RIGHTS
        assert "ask its owner for the right to write" in failing("host-refused", found.check)

    def test_a_repository_shared_for_writing_is_usable(self, world):
        world.fake.add("bob", "memory", writers={"alice"})
        assert world.ensure(Place("bob", "memory")).standing is Standing.EXISTS

    def test_a_token_that_may_only_push_does_for_a_repository_that_is_there(self, world):
        world.fake.tokens[SECRET] = self.push_only
        world.fake.add("alice", "memory")
        found = world.ensure()
        assert found.standing is Standing.EXISTS
        assert world.posts() == []

    def test_a_token_that_may_only_read_is_refused_whatever_the_account_may(self, world):
        world.fake.tokens[SECRET] = self.read_only
        world.fake.add("alice", "memory")
        found = world.ensure()
        assert found.standing is Standing.NO_RIGHTS
        assert "VEX_TOKEN_BACKUP" in found.words
        assert self.box_to_push in found.words or self.box_to_create in found.words

    def test_over_ssh_the_tokens_right_to_push_is_not_asked_for(self, world):
        world.fake.tokens[SECRET] = self.read_only
        world.fake.add("alice", "memory")
        found = world.ensure(ssh=True)
        if not self.untold:
            assert found.standing is Standing.EXISTS
            assert not any("/info/refs" in asked.path for asked in world.fake.asked)

    # tokens

    def test_a_token_with_all_it_needs_misses_nothing(self, world):
        report = world.forge().check_token()
        assert (report.account, report.missing, report.advice) == ("alice", (), "")

    def test_a_token_that_misses_something_is_told_what_and_where(self, world):
        world.fake.tokens[SECRET] = self.read_only
        world.fake.add("alice", "memory")
        report = world.forge().check_token(MEMORY)
        assert report.missing
        assert f"{world.fake.url}{self.page}" in report.advice
        assert SECRET not in repr(report)

    def test_a_token_is_checked_with_a_repository_that_is_not_there_yet(self, world):
        assert world.forge().check_token(MEMORY).missing == ()
        assert world.fake.repositories == {}

    # trouble

    def test_a_busy_host_is_waited_for(self, world):
        world.fake.faults = [once(Reply(429, {"message": "Too many"}, {"Retry-After": "2"}))]
        assert world.ensure(direct=True).standing is Standing.CREATED
        assert world.waits == [pytest.approx(2.1)]

    def test_a_host_that_wants_a_long_wait_says_how_long(self, world):
        world.fake.faults = [once(Reply(429, b"Retry later\n", {"Retry-After": "1800", "Content-Type": "text/plain"}))]
        said = failing("host-busy", lambda: world.ensure(direct=True))
        assert "429: Retry later" in said
        assert said.endswith("try again in 30 min")

    def test_a_fault_that_passes_is_got_over(self, world):
        world.fake.faults = [once(Reply(502, b"<html>Bad gateway", {"Content-Type": "text/html"}))]
        assert world.ensure(direct=True).standing is Standing.CREATED

    def test_a_host_that_is_out_of_order_is_said(self, world):
        world.fake.faults = [once(Reply(500, {"message": "Internal Server Error"}))] * 4
        assert "out of order (500" in failing("host-unreachable", lambda: world.ensure(direct=True))

    def test_a_lost_reply_to_the_making_is_known_for_success(self, world):
        world.fake.faults = [right, right, lost]
        found = world.ensure(direct=True)
        assert found.standing is Standing.CREATED
        assert len(world.posts()) == 1

    def test_a_fault_at_the_making_that_made_nothing_is_told(self, world):
        world.fake.faults = [right, right, once(Reply(503, {"message": "unicorn"}, {"Retry-After": "3"}))]
        assert "unicorn" in failing("host-busy", lambda: world.ensure(direct=True))
        world.fake.faults = [right, right, once(Reply(500, {"message": "unicorn"}))]
        assert "unicorn" in failing("host-unreachable", lambda: world.ensure(direct=True))
        assert len(world.posts()) == 2

    def test_a_web_page_in_place_of_the_interface_is_said(self, world):
        page = Reply(200, b"<html><title>Welcome to nginx!</title></html>", {"Content-Type": "text/html"})
        world.fake.faults = [once(page)]
        said = failing("host-answer", lambda: world.ensure(direct=True))
        assert "a web page where JSON was expected (Welcome to nginx!)" in said

    @pytest.mark.parametrize("value", [[], {}, {"name": 5, "path_with_namespace": 5}, "text", None])
    def test_an_answer_of_another_shape_is_refused(self, world, value):
        world.fake.faults = [once(Reply(200, value))]
        failing("host-answer", lambda: world.ensure(direct=True))

    def test_a_web_page_in_place_of_git_is_said(self, world):
        world.fake.add("alice", "memory")
        page = Reply(200, b"<html>", {"Content-Type": "text/html"})
        world.fake.faults = [once(page)]
        said = failing("host-answer", lambda: world.forge(direct=True).may_push(MEMORY))
        assert "did not answer as a Git host does" in said

    def test_a_host_that_is_down_is_said(self, world):
        world.fake.faults = [lost] * 9
        failing("host-unreachable", lambda: world.ensure(direct=True))

    def test_a_renamed_repository_is_found_under_its_new_name(self, world):
        world.fake.add("alice", "remembered")
        new = {"Location": "/moved"}

        def moved(asked: Asked, answer: Callable[[], Reply]) -> Reply:
            asked.path = self.path_of(MEMORY).replace("memory", "remembered")
            return answer()

        world.fake.faults = [once(Reply(301, {"message": "Moved Permanently"}, new)), moved]
        found = world.ensure(direct=True)
        assert found.place == Place("alice", "remembered")

    def path_of(self, place: Place) -> str:
        """Return where the interface has a repository."""
        return f"/repos/{place}"


class TestGitHub(ForgeContract):
    full = FakeToken("alice", {"repo"})
    push_only = FakeToken("alice", {"metadata=read", "contents=write"}, fine=True)
    read_only = FakeToken("alice", {"metadata=read", "contents=read"}, fine=True)
    box_to_create = "'Administration: Read and write'"
    box_to_push = "'Contents: Read and write'"
    page = "/settings/tokens"

    @pytest.fixture
    def world(self, checked_github: Checked) -> Iterator[World]:
        checked_github.fake.reset()
        checked_github.fake.tokens[SECRET] = self.full
        world = World(checked_github.fake, GitHub, checked_github.url)
        yield world
        for forge in world.made:
            forge.close()
        assert checked_github.violations() == []

    def test_a_classic_tokens_scopes_are_told(self, world):
        world.fake.tokens[SECRET] = FakeToken("alice", {"public_repo", "gist"}, expires="2027-01-31 12:00:00 UTC")
        report = world.forge().check_token()
        assert (report.scopes, report.missing) == (("gist", "public_repo"), ("repo",))
        assert report.expires == "2027-01-31 12:00:00 UTC"
        assert "the scope 'repo' (classic)" in report.advice

    @pytest.mark.parametrize("scopes", [set(), {"gist"}, {"public_repo"}])
    def test_a_classic_token_without_the_scope_is_told_so(self, world, scopes):
        world.fake.tokens[SECRET] = FakeToken("alice", scopes)
        found = world.ensure(direct=True)
        assert found.standing is Standing.NO_RIGHTS
        assert "the scope 'repo' (classic)" in found.words

    def test_a_fine_grained_token_is_judged_by_what_git_says(self, world):
        world.fake.add("alice", "memory")
        world.fake.tokens[SECRET] = self.push_only
        assert world.forge().check_token(MEMORY).missing == ()
        world.fake.tokens[SECRET] = self.read_only
        report = world.forge().check_token(MEMORY)
        assert (report.scopes, report.missing) == (None, ("contents=write",))

    def test_what_a_fine_grained_token_lacks_is_named_as_the_form_names_it(self, world):
        world.fake.tokens[SECRET] = self.push_only
        with pytest.raises(Forbidden) as caught:
            world.forge().create_private(MEMORY)
        assert caught.value.lacks == ("administration=write",)
        assert "the repository permission 'Administration: Read and write'" in str(caught.value)

    def test_single_sign_on_that_wants_the_token_authorised_is_told(self, world):
        world.fake.orgs["harbour"] = {"alice"}
        world.fake.tokens[SECRET] = FakeToken("alice", {"repo"}, sso=True)
        found = world.ensure(Place("harbour", "memory"))
        assert found.standing is Standing.NO_RIGHTS
        assert found.words.endswith("authorised for its single sign-on, at https://github.com/orgs/harbour/sso")

    def test_the_secondary_limit_has_no_header_and_is_known(self, world):
        said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        world.fake.faults = [once(Reply(403, {"message": said}))] * 4
        assert said in failing("host-busy", lambda: world.ensure(direct=True))

    def test_what_is_left_of_the_limit_is_told(self, world):
        allowance = world.forge().limits()
        assert (allowance.requests_left, allowance.requests_limit) == (4987, 5000)
        assert allowance.requests_reset_s > 0

    def test_an_enterprise_without_limits_tells_none(self, world):
        world.fake.faults = [once(Reply(404, {"message": "Rate limiting is not enabled."}))]
        assert world.forge(direct=True).limits() == Allowance()

    def test_who_is_inside_is_said_in_its_words(self, world):
        world.fake.add("alice", "memory", visibility="internal")
        assert "everybody in its enterprise" in world.ensure().warnings[0]


class GiteaContract(ForgeContract):
    """What holds for Forgejo and Gitea."""

    style: str
    kind: type[Forge]
    full = FakeToken("alice", {"write:repository", "write:user", "write:organization"})
    push_only = FakeToken("alice", {"write:repository"})
    read_only = FakeToken("alice", {"read:repository"})
    box_to_create = "user"
    box_to_push = "(write:repository)"
    page = "/user/settings/applications"

    @pytest.fixture
    def world(self, documents: dict[str, Document]) -> Iterator[World]:
        fake = FakeGitea()
        fake.style = self.style
        fake.check = lambda asked, reply: documents[self.style].check("/api/v1", asked, reply)
        fake.tokens[SECRET] = self.full
        world = World(fake, self.kind, f"{fake.url}/api/v1")
        yield world
        for forge in world.made:
            forge.close()
        fake.close()
        assert fake.violations == []

    def path_of(self, place: Place) -> str:
        return f"/api/v1/repos/{place}"

    def test_what_a_token_lacks_is_taken_from_the_refusal(self, world):
        world.fake.tokens[SECRET] = self.push_only
        with pytest.raises(Forbidden) as caught:
            world.forge().whoami()
        assert caught.value.lacks == ("read:user",)
        assert "with the scope 'read:user'" in str(caught.value)

    def test_a_token_for_public_repositories_is_refused_for_a_private_one(self, world):
        world.fake.add("alice", "memory")
        world.fake.tokens[SECRET] = FakeToken("alice", {"public-only", "read:repository"})
        found = world.ensure()
        assert found.standing is Standing.NO_RIGHTS
        assert "token scope is limited to public repos" in found.words
        assert "access to all repositories" in found.words

    def test_the_ssh_address_keeps_its_port_and_the_https_one_is_ours(self, world):
        found = world.ensure()
        assert found.ssh_url == "ssh://git@127.0.0.1:2222/alice/memory.git"
        assert "localhost" not in found.https_url

    def test_an_organisation_wants_a_scope_of_its_own(self, world):
        world.fake.orgs["harbour"] = {"alice"}
        world.fake.tokens[SECRET] = FakeToken("alice", {"write:repository", "write:user"})
        found = world.ensure(Place("harbour", "memory"))
        assert found.standing is Standing.NO_RIGHTS
        assert "with the scope 'write:organization'" in found.words


class TestForgejo(GiteaContract):
    style = "forgejo"
    kind = Forgejo

    def test_a_quota_is_told(self, world):
        world.fake.quota = 750_000_000
        allowance = world.forge().limits()
        assert (allowance.stored_bytes, allowance.storage_bytes) == (5_000_000, 750_000_000)
        assert world.fake.violations == []

    def test_without_quotas_none_is_told(self, world):
        world.fake.faults = [once(Reply(404, {"message": "not found"}))]
        assert world.forge().limits() == Allowance()

    def test_a_quota_that_is_used_up_is_said(self, world):
        world.fake.quota = 1_000_000
        said = failing("host-limit", world.ensure)
        assert "no room left for this account (quota exceeded)" in said

    def test_scopes_are_not_told(self, world):
        assert world.forge().check_token().scopes is None


class TestGitea(GiteaContract):
    style = "gitea"
    kind = Gitea

    def test_scopes_are_told(self, world):
        world.fake.tokens[SECRET] = FakeToken("alice", {"write:repository", "read:user", "public-only"})
        report = world.forge().check_token()
        assert report.scopes == ("public-only", "read:user", "write:repository")
        assert report.missing == ("write:user", "private repositories")


class TestGitLab(ForgeContract):
    full = FakeToken("alice", {"api"})
    push_only = FakeToken("alice", {"write_repository"})
    read_only = FakeToken("alice", {"read_api"})
    box_to_create = "the scope 'api'"
    box_to_push = "the scope 'write_repository' (or 'api')"
    page = "/-/user_settings/personal_access_tokens"

    @pytest.fixture
    def world(self) -> Iterator[World]:
        fake = FakeGitLab()
        fake.tokens[SECRET] = self.full
        world = World(fake, GitLab, f"{fake.url}/api/v4")
        yield world
        for forge in world.made:
            forge.close()
        fake.close()

    def path_of(self, place: Place) -> str:
        return f"/api/v4/projects/{place.owner}%2F{place.name}"

    def test_a_group_within_a_group_is_an_owner(self, world):
        world.fake.orgs |= {"harbour": {"alice"}, "harbour/night/watch": {"alice"}}
        place = Place("harbour/night/watch", "memory")
        found = world.ensure(place)
        assert found.standing is Standing.CREATED
        assert found.hosted.place == place
        assert world.ensure(place).standing is Standing.EXISTS

    def test_no_pipeline_is_tried_at_every_push(self, world):
        world.ensure()
        assert world.fake.find("alice", "memory").body["auto_devops_enabled"] is False

    def test_scopes_and_the_last_day_are_told_to_any_token(self, world):
        world.fake.tokens[SECRET] = FakeToken("alice", {"write_repository"}, expires="2027-01-31")
        report = world.forge().check_token()
        assert (report.account, report.scopes, report.missing) == (None, ("write_repository",), ("api",))
        assert report.expires == "2027-01-31"
        assert report.advice.startswith("it may push to a project that is there; to make one, make one at")

    def test_a_token_of_a_project_has_no_report_of_its_own(self, world):
        world.fake.tokens[SECRET] = FakeToken("project_7_bot", {"api"}, fine=True)
        report = world.forge().check_token()
        assert (report.account, report.scopes, report.missing) == ("project_7_bot", None, ())

    def test_what_is_left_of_the_limit_is_told(self, world):
        allowance = world.forge().limits()
        assert (allowance.requests_left, allowance.requests_limit) == (1999, 2000)

    def test_a_missing_project_is_never_begun_to_be_pushed_to(self, world):
        """GitLab would make it."""
        world.fake.tokens[SECRET] = self.push_only
        world.ensure()
        world.ensure(create=False)
        services = [asked.query["service"] for asked in world.fake.asked if "/info/refs" in asked.path]
        assert services
        assert set(services) == {"git-upload-pack"}
