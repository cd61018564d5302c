"""The list of remotes: names, addresses without secrets, settings."""

import os
from pathlib import Path

import pytest

from vexrepo.cli.remotes import check_no_secret, hidden, host_words, parse_url
from vexrepo.cli.surroundings import Edge
from vexrepo.errors import UsageError

URL = "https://codeberg.org/alice/memory.git"
SECRETS = [
    "https://alice:hunter2@codeberg.org/alice/memory.git",
    "https://ghp_hunter2hunter2hunter2@github.com/alice/memory.git",
    "https://github_pat_hunter2@github.com/alice/memory.git",
    "https://glpat-hunter2@gitlab.com/alice/memory.git",
    "https://0123456789abcdef0123456789abcdef01234567@codeberg.org/alice/memory.git",
    "https://codeberg.org/alice/memory.git?access_token=hunter2",
    "https://codeberg.org/alice/memory.git#hunter2",
    "ssh://alice:hunter2@nas.local/memory.git",
]


@pytest.mark.parametrize("url", SECRETS)
def test_an_address_with_a_secret_is_refused_and_not_shown(vex, repo, url):
    for args in (["remote", "add", "backup", url], ["config", "set", "remote.backup.url", url]):
        ran = vex(*args)
        assert ran.code == 2 and "bad-address" in ran.err and "VEX_TOKEN" in ran.err
        for secret in ("hunter2", "0123456789abcdef"):
            assert secret not in ran.out + ran.err
    assert "remote" not in Path(".vex/config.toml").read_text()


@pytest.mark.parametrize("url", SECRETS)
def test_one_written_into_the_file_by_hand_is_not_shown_nor_used(vex, repo, url):
    with open(".vex/config.toml", "a") as file:
        file.write(f"[remote.backup]\nurl = '{url}'\n")
    for args in (
        ["remote", "list"],
        ["config", "list"],
        ["config", "list", "--json"],
        ["config", "get", "remote.backup.url"],
    ):
        ran = vex(*args)
        assert "hunter2" not in ran.out + ran.err and "0123456789abcdef" not in ran.out + ran.err
    ran = vex("remote", "list")
    assert ran.code == 2 and "config.toml: remote backup" in ran.err
    assert vex("remote", "set-url", "backup", URL).code == 0
    assert vex("remote", "list").out.split() == ["backup", URL]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "codeberg.org/alice/memory"),
        ("https://alice@codeberg.org/alice/memory", "codeberg.org/alice/memory"),
        ("ssh://git@nas.local:2222/srv/memory.git", "nas.local:2222/srv/memory"),
        ("git@github.com:alice/memory.git", "github.com:alice/memory"),
        ("http://127.0.0.1:8080/memory.git/", "127.0.0.1:8080/memory"),
        ("file:///srv/memory.git", "file:///srv/memory"),
        ("/srv/memory.git", "/srv/memory"),
    ],
)
def test_addresses_are_taken_and_shown_briefly(url, shown):
    assert parse_url(url, home=Path("/home/alice")) == url
    check_no_secret(url)
    assert hidden(url) == url and host_words(url) == shown


def test_a_path_does_not_depend_on_the_current_folder(folder):
    here = os.getcwd()
    assert parse_url("../memory.git", home=Path("/home/alice")) == os.path.join(os.path.dirname(here), "memory.git")
    assert parse_url("~/memory.git", home=Path("/home/alice")) == "/home/alice/memory.git"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "the address is empty"),
        ("https://", "names no repository"),
        ("ftp://host/memory.git", "ftp:// is no way to a host"),
        ("vektor:agent.db", "the address of a store"),
        ("https://a/b\nc", "control characters"),
        ("git@-oProxyCommand=x:y", "begins with a dash"),
        ("https://[::1/memory.git", "is no address"),
    ],
)
def test_what_is_no_address_is_refused(url, why):
    with pytest.raises(UsageError) as caught:
        parse_url(url, home=Path("/home/alice"))
    assert why in str(caught.value) and caught.value.code == "bad-address"


def test_remotes_are_added_and_listed(vex, repo):
    assert "add one with vex remote add" in vex("remote", "list").out
    ran = vex("remote", "add", "backup", URL, "--provider", "codeberg", "--passphrase-file", "../secret")
    assert ran.code == 0 and "vex push backup" in ran.out
    assert vex("remote", "add", "disk", "../memory.git").code == 0
    assert vex("remote", "list", "--json").json() == [
        {"name": "backup", "url": URL, "provider": "codeberg"},
        {"name": "disk", "url": os.path.abspath("../memory.git"), "provider": None},
    ]
    assert vex("config", "get", "remote.backup.passphrase_file").out == os.path.abspath("../secret") + "\n"
    assert "the same address" in vex("remote", "add", "again", URL).out


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["add", "backup", URL], 1, "there is a remote backup already"),
        (["add", "a b", URL], 2, "cannot be the name"),
        (["set-url", "bakcup", URL], 2, "did you mean backup?"),
        (["add", "x", URL, "--passphrase", "hunter2"], 2, "VEX_PASSPHRASE"),
        (["add", "x", URL, "--password=hunter2"], 2, "VEX_PASSPHRASE"),
        (["add", "x", URL, "--token", "hunter2"], 2, "VEX_TOKEN"),
        (["add", "x", URL, "--provider", "sourceforge"], 2, "is not one of"),
        (["ad", "x"], 2, "did you mean add?"),
    ],
)
def test_what_cannot_be_done_says_why(vex, repo, args, code, why):
    assert vex("remote", "add", "backup", URL).code == 0
    ran = vex("remote", *args)
    assert ran.code == code and why in ran.err and "hunter2" not in ran.err
    assert [each["name"] for each in vex("remote", "list", "--json").json()] == ["backup"]


def test_a_dry_run_adds_and_makes_nothing(vex, repo, tmp_path):
    ran = vex("remote", "add", "disk", str(tmp_path / "new.git"), "--create", "--dry-run")
    assert ran.code == 0 and "would add disk" in ran.out and not (tmp_path / "new.git").exists()
    assert vex("remote", "add", "disk", URL, "-n", "--json").json()["dry_run"]
    assert vex("remote", "list", "--json").json() == []


def test_the_environment_changes_what_a_file_has_set(vex, repo):
    assert vex("remote", "add", "my-nas", URL).code == 0
    env = {"VEX_REMOTE_MY_NAS_PROVIDER": "gitea", "VEX_REMOTE_OTHER_URL": URL}
    assert vex("remote", "list", "--json", env=env).json() == [{"name": "my-nas", "url": URL, "provider": "gitea"}]


def test_a_proxy_with_a_password_belongs_into_the_environment(vex, repo):
    ran = vex("config", "set", "http.proxy", "http://me:hunter2@proxy:3128")
    assert ran.code == 2 and "hunter2" not in ran.err


def seen(remote: str, **branches: str) -> None:
    """Note where a remote's branches are, as a fetch does."""
    repository = Edge().repository()
    at = {name: repository.resolve(revision) for name, revision in branches.items()}
    with repository.lock():
        repository.record(repository.view().with_tracking(remote, at), "fetch", remote)


def test_what_is_known_of_a_remote_is_shown(vex, two):
    vex("remote", "add", "backup", URL, "--passphrase-command", "pass show memory")
    shown = vex("remote", "show").out
    assert "no branch seen yet" in shown and "pass …  (passphrase_command)" in shown
    seen("backup", main="HEAD~1", other="HEAD")
    lines = vex("remote", "show", "backup").out.splitlines()
    assert lines[3].split()[0] == "main" and lines[3].endswith("1 to push")
    assert lines[4].split()[0] == "other" and lines[4].endswith("not here")
    found = vex("remote", "show", "--json").json()
    assert [(each["name"], each["ahead"], each["behind"]) for each in found["branches"]] == [
        ("main", 1, 0),
        ("other", None, None),
    ]
    assert "VEX_PASSPHRASE" in vex("remote", "show", env={"VEX_PASSPHRASE": "hunter2"}).out
    assert "VEX_TOKEN_BACKUP" in vex("remote", "show", env={"VEX_TOKEN_BACKUP": "hunter2"}).out


def test_status_branch_and_log_say_what_remotes_were_seen_to_hold(vex, two):
    vex("remote", "add", "backup", URL)
    assert "backup" not in vex("status").out
    seen("backup", main="HEAD")
    assert "  backup: the same" in vex("status").out
    vex("branch", "try", "HEAD~1")
    seen("backup", main="HEAD~1", **{"try": "HEAD"})
    assert "  backup: 1 to push  as last seen" in vex("status").out
    assert vex("status", "--json").json()["remotes"] == [
        {
            "remote": "backup",
            "branch": "main",
            "state": "unseen",
            "commit": vex("rev-parse", "HEAD~1").out.strip(),
            "ahead": 1,
            "behind": 0,
            "error": None,
        }
    ]
    lines = vex("branch", "-v").out.splitlines()
    assert lines[0].startswith("* main") and lines[0].endswith("[backup: 1 to push]")
    assert lines[1].startswith("  try") and lines[1].endswith("[backup: 1 to pull]")
    assert [line.split()[0] for line in vex("branch", "-r").out.splitlines()] == ["backup/main", "backup/try"]
    assert vex("branch", "--json").json()[1]["remotes"][0]["behind"] == 1
    assert "(try, backup/main)" in vex("log", "--oneline").out
    assert vex("rev-parse", "backup/main").out == vex("rev-parse", "HEAD~1").out


def test_a_renamed_remote_keeps_what_is_known_of_it(vex, two):
    vex("remote", "add", "backup", URL, "--provider", "codeberg")
    vex("config", "set", "push.remote", "backup")
    seen("backup", main="HEAD")
    assert vex("remote", "rename", "backup", "berg").code == 0
    assert vex("remote", "list", "--json").json() == [{"name": "berg", "url": URL, "provider": "codeberg"}]
    assert vex("config", "get", "push.remote").out == "berg\n"
    assert "  berg: the same" in vex("status").out
    assert vex("remote", "rename", "nope", "x").code == 2
    vex("remote", "add", "other", URL)
    assert vex("remote", "rename", "other", "berg").code == 1


def test_a_removed_remote_is_forgotten(vex, two):
    vex("remote", "add", "backup", URL)
    vex("config", "set", "push.remote", "backup")
    seen("backup", main="HEAD")
    ran = vex("remote", "remove", "backup")
    assert ran.code == 0 and "1 branch" in ran.out and "the host was not told" in ran.out
    assert vex("remote", "list", "--json").json() == [] and "remote" not in Path(".vex/config.toml").read_text()
    assert "backup" not in vex("status").out and vex("config", "get", "push.remote").out == "\n"
    assert vex("remote", "remove", "backup").code == 2


def test_one_of_the_users_own_configuration_is_left_there(vex, repo):
    assert vex("config", "set", "--user", "remote.all.url", URL).code == 0
    assert vex("remote", "list").out.split() == ["all", URL]
    for args in (["remove", "all"], ["rename", "all", "other"]):
        ran = vex("remote", *args)
        assert ran.code == 2 and "in your own" in ran.err
    assert vex("remote", "list").out.split() == ["all", URL]


def test_names_of_remotes_and_branches_complete(vex, two):
    from vexrepo.cli.options import BRANCH, REMOTE

    vex("remote", "add", "backup", URL)
    seen("backup", far="HEAD")
    assert [(each.value, each.help) for each in REMOTE.shell_complete(None, None, "ba")] == [("backup", URL)]
    assert [each.value for each in BRANCH.shell_complete(None, None, "")] == ["far", "main"]


@pytest.mark.parametrize(
    ("short", "url"),
    [
        ("codeberg:alice/memory", "https://codeberg.org/alice/memory.git"),
        ("github:alice/memory.git", "https://github.com/alice/memory.git"),
        ("gitlab:team/sub/memory", "https://gitlab.com/team/sub/memory.git"),
        ("elsewhere:alice/memory", "elsewhere:alice/memory"),
    ],
)
def test_well_known_hosts_have_short_addresses(short, url):
    assert parse_url(short, home=Path("/home/alice")) == url


def test_a_remote_of_another_host_can_take_the_place_of_one_that_was_removed(vex, two, tmp_path):
    from tests.cli.desks import PASSPHRASE
    from tests.hosting.http_backend import make_bare

    urls = [str(make_bare(tmp_path / f"{name}.git")) for name in ("one", "two")]
    env = {"VEX_PASSPHRASE": PASSPHRASE}
    for url in urls:
        assert vex("remote", "add", "backup", url).code == 0
        assert vex("push", "backup", env=env).code == 0
        assert vex("remote", "rename", "backup", "disk").code == 0
        assert "nothing new" in vex("fetch", "disk").out
        assert vex("remote", "remove", "disk").code == 0
    vex("remote", "add", "backup", urls[0])
    vex("fetch", "backup", env=env)
    vex("remote", "set-url", "backup", urls[1])
    ran = vex("fetch", "backup", env=env)
    assert ran.code == 1 and "host-replaced" in ran.err and "vex remote remove backup" in ran.err
