"""Addresses of Git hosts: what is meant, and that no secret in one is ever shown."""

from pathlib import Path

import pytest

from vexrepo.errors import UsageError
from vexrepo.remotes.hosts.address import GitAddress, parse_git_address, scheme_of
from vexrepo.remotes.hosts.base import Access
from vexrepo.remotes.hosts.git import GitHost
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.remotes.hosts.registry import connector, open_host, schemes

GOOD = {
    "https://codeberg.org/alice/memory.git": ("https", "/alice/memory.git", "codeberg.org", None, None),
    "https://git.example.org:8443/m": ("https", "/m", "git.example.org", 8443, None),
    "HTTPS://Example.ORG/M": ("https", "/M", "example.org", None, None),
    "https://alice@example.org/m": ("https", "/m", "example.org", None, "alice"),
    "http://[::1]:3000/m.git": ("http", "/m.git", "::1", 3000, None),
    "ssh://git@github.com/a/b.git": ("ssh", "/a/b.git", "github.com", None, "git"),
    "ssh://nas:2222/~/memory%20of%20mine.git": ("ssh", "/~/memory of mine.git", "nas", 2222, None),
    "git+ssh://nas/m": ("ssh", "/m", "nas", None, None),
    "git@github.com:alice/memory.git": ("ssh", "alice/memory.git", "github.com", None, "git"),
    "nas:memory.git": ("ssh", "memory.git", "nas", None, None),
    "alice@[fe80::1]:/srv/m.git": ("ssh", "/srv/m.git", "fe80::1", None, "alice"),
    "git://example.org/m": ("git", "/m", "example.org", None, None),
    "file:///srv/memory%20of%20mine.git": ("file", "/srv/memory of mine.git", "", None, None),
    "file:///C:/memory.git": ("file", "C:/memory.git", "", None, None),
    "/srv/memory.git": ("file", "/srv/memory.git", "", None, None),
    "memory.git": ("file", "memory.git", "", None, None),
    "../a:b/memory.git": ("file", "../a:b/memory.git", "", None, None),
    r"C:\memory.git": ("file", r"C:\memory.git", "", None, None),
    "D:/memory.git": ("file", "D:/memory.git", "", None, None),
}


@pytest.mark.parametrize("text", GOOD)
def test_an_address_means_one_place(text: str) -> None:
    scheme, path, host, port, user = GOOD[text]
    found = parse_git_address(text)
    assert found == GitAddress(found.url, scheme, path, host, port, user)
    assert scheme_of(text) == scheme
    assert parse_git_address(found.url) == found
    assert type(open_host(text, Access())) is (DirectoryHost if scheme == "file" else GitHost)


BAD = [
    "",
    "https://example.org",
    "https://example.org/",
    "https://alice:s3cr3t@example.org/m",
    "https://:s3cr3t@example.org/m",
    "ssh://alice:s3cr3t@example.org/m",
    "https://example.org/m?token=s3cr3t",
    "https://example.org/m#s3cr3t",
    "https://example.org:port/m",
    "https://[::1/m",
    "https://example.org/a\nb",
    "ftp://example.org/m",
    "qdrant://localhost:6333/m",
    "ext::sh -c s3cr3t",
    "file://other/m",
    "ssh://-oProxyCommand=x/m",
    "-oProxyCommand=x:m",
    "alice@-oProxyCommand=x:m",
    "nas:-x",
    "ssh://-u@nas/m",
]


@pytest.mark.parametrize("text", BAD)
def test_an_address_that_cannot_be_meant_is_refused_without_showing_a_secret(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_host(text, Access()).read_tip()
    assert caught.value.code == "bad-address" and "s3cr3t" not in str(caught.value)


def test_every_scheme_has_its_class_and_others_are_refused_with_the_nearest() -> None:
    assert {"https", "http", "ssh", "git", "file"} <= set(schemes())
    with pytest.raises(UsageError) as caught:
        connector("htps")
    assert caught.value.code == "bad-address" and "did you mean" in str(caught.value)


def test_a_host_of_others_is_found_by_the_scheme_of_its_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shelf_host.py").write_text(
        "from vexrepo.remotes.hosts.memory import MemoryHost\n"
        "class ShelfHost(MemoryHost):\n"
        "    @classmethod\n"
        "    def open(cls, url, access):\n"
        "        return cls(url)\n"
    )
    about = tmp_path / "shelf_host-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-host\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[vexrepo.hosts]\nshelf = shelf_host:ShelfHost\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "shelf" in schemes()
    with open_host("shelf://upper/left", Access()) as host:
        host.publish(None, {"head": b"1"})
        assert host.read_tip() is not None and host.url == "shelf://upper/left"
