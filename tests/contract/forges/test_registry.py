"""Which forge an address means, and a repository made and checked from the address alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.forges.fake import FakeForge, FakeToken, Reply
from tests.contract.forges.gitea import FakeGitea
from tests.contract.forges.gitlab import FakeGitLab
from vexrepo.errors import UsageError
from vexrepo.remotes.hosts.base import Access, Token
from vexrepo.remotes.hosts.forges.base import Place, Site
from vexrepo.remotes.hosts.forges.ensure import Standing, ensure_repository
from vexrepo.remotes.hosts.forges.registry import PROVIDERS, detect_provider, find_forge, site_of

SECRET = "s3cr3t-0f-alice"


def no_token(url: str) -> Token | None:
    raise AssertionError("nobody was to be asked for a token")


@pytest.mark.parametrize(
    ("where", "provider", "web", "place"),
    [
        ("https://github.com/alice/memory.git", "github", "https://github.com", Place("alice", "memory")),
        ("https://github.com/alice/memory", "github", "https://github.com", Place("alice", "memory")),
        ("https://GitHub.com/alice/memory/", "github", "https://github.com", Place("alice", "memory")),
        ("git@github.com:alice/memory.git", "github", "https://github.com", Place("alice", "memory")),
        ("ssh://git@ssh.github.com:443/alice/memory.git", "github", "https://github.com", Place("alice", "memory")),
        ("https://codeberg.org/alice/memory.git", "forgejo", "https://codeberg.org", Place("alice", "memory")),
        ("ssh://git@codeberg.org/alice/memory.git", "forgejo", "https://codeberg.org", Place("alice", "memory")),
        ("https://gitea.com/alice/memory", "gitea", "https://gitea.com", Place("alice", "memory")),
        ("https://gitlab.com/a/b/c/memory.git", "gitlab", "https://gitlab.com", Place("a/b/c", "memory")),
        ("git@altssh.gitlab.com:a/memory.git", "gitlab", "https://gitlab.com", Place("a", "memory")),
        ("github:alice/memory", "github", "https://github.com", Place("alice", "memory")),
        ("codeberg:alice/memory", "forgejo", "https://codeberg.org", Place("alice", "memory")),
        ("gitlab:a/b/memory", "gitlab", "https://gitlab.com", Place("a/b", "memory")),
    ],
)
def test_an_address_names_its_forge_and_repository(where, provider, web, place):
    found = find_forge(where, Access(token=no_token))
    assert (found.forge.provider, found.forge.site.web, found.place) == (provider, web, place)
    assert found.over_ssh == ("@" in where)


@pytest.mark.parametrize(
    ("provider", "web", "api"),
    [
        ("github", "https://github.com", "https://api.github.com"),
        ("github", "https://harbour.ghe.com", "https://api.harbour.ghe.com"),
        ("github", "https://git.harbour.example", "https://git.harbour.example/api/v3"),
        ("codeberg", "https://codeberg.org/", "https://codeberg.org/api/v1"),
        ("gitea", "https://example.org/git", "https://example.org/git/api/v1"),
        ("gitlab", "https://gitlab.com", "https://gitlab.com/api/v4"),
    ],
)
def test_every_providers_interface_is_where_it_is_said_to_be(provider, web, api):
    assert site_of(provider, web) == Site(web.rstrip("/"), api)


def test_a_provider_can_be_named_for_a_host_of_ones_own():
    access = Access(token=no_token)
    forge, place, _ = find_forge("https://git.example.org:8443/alice/memory.git", access, provider="gitea")
    assert (forge.provider, forge.site.web, place) == (
        "gitea",
        "https://git.example.org:8443",
        Place("alice", "memory"),
    )
    forge, place, _ = find_forge(
        "https://x.org/git/alice/memory.git", access, provider="gitea", web="https://x.org/git"
    )
    assert (forge.site.api, place) == ("https://x.org/git/api/v1", Place("alice", "memory"))
    forge, place, _ = find_forge("ssh://git@nas.lan:2222/alice/memory.git", access, provider="forgejo")
    assert (forge.site.web, place) == ("https://nas.lan", Place("alice", "memory"))
    forge, place, _ = find_forge("alice/memory", access, provider="gitea", web="https://git.example.org")
    assert (forge.site.web, place) == ("https://git.example.org", Place("alice", "memory"))
    assert forge.https_url(place) == "https://git.example.org/alice/memory.git"
    assert forge.ssh_url(place) == "git@git.example.org:alice/memory.git"


@pytest.mark.parametrize("where", ["/srv/memory.git", "folder/memory.git", "file:///srv/memory.git", "git://x.org/a/b"])
def test_what_has_no_interface_is_none(where):
    assert find_forge(where, Access(token=no_token)) is None
    assert ensure_repository(where, Access(token=no_token)) is None


@pytest.mark.parametrize(
    ("where", "provider", "code"),
    [
        ("https://github.com/alice", None, "bad-address"),
        ("https://github.com/a/b/c", None, "bad-address"),
        ("https://github.com/alice/..", None, "bad-address"),
        ("https://gitlab.com/memory.git", None, "bad-address"),
        ("https://gitlab.com/a//memory.git", None, "bad-address"),
        ("https://alice:pw9@github.com/alice/memory.git", None, "bad-address"),
        ("gitea:alice/memory", None, "bad-address"),
        ("https://github.com/alice/memory.git", "sourcehut", "bad-option"),
        ("alice/memory", "sourcehut", "bad-option"),
    ],
)
def test_what_cannot_be_understood_is_refused(where, provider, code):
    with pytest.raises(UsageError) as caught:
        find_forge(where, Access(token=no_token), provider=provider)
    assert caught.value.code == code
    assert "pw9" not in str(caught.value)


@pytest.mark.parametrize("where", ["myhost:alice/memory", "git@nas.lan:alice/memory.git", "ssh://nas.lan/alice/memory"])
def test_over_ssh_a_host_that_is_not_known_is_not_asked(where):
    assert find_forge(where, Access(token=no_token, proxy="http://[", timeout_s=0.1)) is None  # a proxy to fail with


@pytest.fixture(params=["forgejo", "gitea", "gitlab"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    """A forge on an address that says nothing about what it is."""
    made = FakeGitLab() if request.param == "gitlab" else FakeGitea()
    made.style = request.param
    made.tokens[SECRET] = FakeToken("alice", {"all", "api"})
    yield made
    made.close()


def test_a_host_is_asked_what_it_is_without_a_token(fake):
    assert detect_provider(fake.url, Access(token=no_token)) == fake.style
    assert all("authorization" not in asked.headers for asked in fake.asked)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>hello</html>", {"Content-Type": "text/html"}),
        Reply(200, {"version": ""}),
        Reply(200, ["x"]),
        Reply(401, {"message": "who are you"}),
        Reply(302, b"", {"Location": "https://elsewhere.example/login"}),
        Reply(500, {}),
    ],
)
def test_a_host_that_is_no_forge_is_none(fake, reply):
    fake.faults = [lambda asked, right: reply] * 3
    assert detect_provider(fake.url, Access(token=no_token)) is None


def test_from_an_address_alone_a_repository_is_made_and_found_again(fake):
    access = Access(token=lambda url: Token("alice", SECRET, "VEX_TOKEN"), timeout_s=5)
    made = ensure_repository(f"{fake.url}/alice/memory.git", access)
    assert (made.standing, made.provider) == (Standing.CREATED, fake.style)
    again = ensure_repository(f"{fake.url}/alice/memory.git", access)
    assert again.standing is Standing.EXISTS
    named = ensure_repository("alice/memory", access, provider=fake.style, web=fake.url)
    assert named.standing is Standing.EXISTS


def test_the_guide_names_the_boxes_as_the_messages_do():
    page = (Path(__file__).parents[3] / "docs" / "guides" / "tokens.md").read_text()
    for kind in PROVIDERS.values():
        assert kind.token_page.removesuffix("/tokens") in page
        for boxes in re.findall(r"'([^']+)'", f"{kind.to_push} {kind.to_create}"):
            for word in boxes.split(": "):
                assert word in page, boxes
