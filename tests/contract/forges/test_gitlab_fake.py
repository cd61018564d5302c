"""The fake GitLab is one that python-gitlab, a client written by others against the real one, gets along with."""

from collections.abc import Iterator

import gitlab
import pytest
from gitlab.v4.objects import ProjectManager

from tests.contract.forges.fake import FakeToken
from tests.contract.forges.gitlab import FakeGitLab
from vexrepo.remotes.hosts.base import Access, Token
from vexrepo.remotes.hosts.forges.base import Place, Site
from vexrepo.remotes.hosts.forges.gitlab import GitLab


@pytest.fixture
def fake() -> Iterator[FakeGitLab]:
    """A fake with a group, and a token that may do everything."""
    made = FakeGitLab()
    made.tokens["t"] = FakeToken("alice", {"api"}, expires="2027-01-31")
    made.orgs["harbour/night"] = {"alice"}
    yield made
    made.close()


@pytest.fixture
def client(fake: FakeGitLab) -> gitlab.Gitlab:
    """A client by others."""
    return gitlab.Gitlab(fake.url, oauth_token="t", retry_transient_errors=False)


def test_another_client_makes_and_reads_what_ours_does(fake, client):
    client.auth()
    assert client.user.username == "alice"
    namespace = client.namespaces.get("harbour/night")
    made = client.projects.create({"name": "memory", "visibility": "private", "namespace_id": namespace.id})
    read = client.projects.get("harbour/night/memory", statistics=True)
    assert (read.id, read.path_with_namespace, read.visibility) == (made.id, "harbour/night/memory", "private")
    assert read.empty_repo and not read.archived
    assert read.permissions["group_access"]["access_level"] >= gitlab.const.AccessLevel.DEVELOPER
    token = client.personal_access_tokens.get("self")
    assert (token.scopes, token.expires_at) == (["api"], "2027-01-31")


def test_another_client_understands_its_refusals(fake, client):
    client.projects.create({"name": "memory"})
    with pytest.raises(gitlab.exceptions.GitlabCreateError) as caught:
        client.projects.create({"name": "memory"})
    assert caught.value.response_code == 400
    with pytest.raises(gitlab.exceptions.GitlabGetError) as caught:
        client.projects.get("alice/nothing")
    assert caught.value.response_code == 404
    fake.tokens["t"].scopes = {"write_repository"}
    with pytest.raises(gitlab.exceptions.GitlabError) as caught:
        client.projects.get("alice/memory")
    assert caught.value.response_code == 403
    fake.tokens.clear()
    with pytest.raises(gitlab.exceptions.GitlabAuthenticationError):
        client.auth()


def test_we_send_only_what_projects_are_made_of(fake):
    access = Access(token=lambda url: Token("alice", "t", "VEX_TOKEN"))
    with GitLab(Site(fake.url, f"{fake.url}/api/v4"), access) as forge:
        forge.create_private(Place("harbour/night", "memory"))
    sent = fake.asked[-1].body
    known = {*ProjectManager._create_attrs.optional, *ProjectManager._create_attrs.exclusive}
    assert set(sent) <= known | set(ProjectManager._create_attrs.required)
