"""Settings, families of tables, and files that keep what people wrote in them."""

import pytest

from vexrepo.config import FAMILIES, SETTINGS, Config, check_key, check_name, parse_value, write_value, write_values
from vexrepo.errors import InvalidData, UsageError
from vexrepo.storage.files import Files


def read(path):
    config = Config()
    config.add_file(path)
    return config


def test_a_remote_has_a_table_of_its_own(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("# mine\n[user]\nname = 'x'  # me\n")
    write_values(Files(), path, {"remote.backup.url": "https://a/b", "remote.nas.url": "ssh://c/d"})
    write_value(Files(), path, "remote.backup.provider", "gitea")
    assert "[remote.backup]" in path.read_text() and "# me" in path.read_text()
    config = read(path)
    assert config.names("remote") == ["backup", "nas"]
    assert config["remote.backup.url"] == "https://a/b" and config["remote.backup.provider"] == "gitea"
    assert config["remote.nas.provider"] == "" and config.origin("remote.nas.provider") == "default"
    assert config.origin("remote.nas.url") == str(path)
    assert ("remote.nas.url", "ssh://c/d") in [(key, value.value) for key, value in config.items()]


def test_a_table_goes_with_its_last_value(tmp_path):
    path = tmp_path / "config.toml"
    write_values(Files(), path, {"remote.a.url": "x", "remote.b.url": "y"})
    write_value(Files(), path, "remote.a.url", None)
    assert read(path).names("remote") == ["b"] and "remote.a" not in path.read_text()
    write_values(Files(), path, {"remote.b.url": None, "remote.never.url": None, "user.name": None})
    assert path.read_text().strip() == ""


@pytest.mark.parametrize("text", ["remote.a.url = 'x'\n", "remote = {a = {url = 'x'}}\n", "[remote]\na.url = 'x'\n"])
def test_the_other_spellings_of_a_table_are_read_and_written(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert read(path)["remote.a.url"] == "x"
    write_values(Files(), path, {"remote.a.user": "alice", "remote.b.url": "y"})
    assert read(path)["remote.a.user"] == "alice" and read(path).names("remote") == ["a", "b"]
    write_values(Files(), path, {"remote.a.user": None, "remote.a.url": None})
    assert read(path).names("remote") == ["b"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("remote = 3\n", "'remote' must be a table, e.g. [remote.backup]"),
        ("[remote]\nbackup = 'https://a/b'\n", "'remote.backup' must be a table"),
        ("[remote.backup]\nurl = 3\n", "remote.backup.url must be text"),
        ("[remote.backup]\npassphrase = 'x'\n", "did you mean remote.backup.passphrase"),
        ("[remote.'a b']\nurl = 'x'\n", "cannot be the name of a remote"),
        ("[remote.'../x']\nurl = 'x'\n", "cannot be the name of a remote"),
        ("workspace = 3\n", "'workspace' must be a table, e.g. [workspace]"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path, text, why):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(InvalidData) as caught:
        read(path)
    assert why in str(caught.value) and caught.value.code == "bad-config"


@pytest.mark.parametrize("name", ["", "a b", "a.b", "-a", "ä", "a/b", "x" * 65, "..", "a\n"])
def test_names_that_a_remote_cannot_have(name):
    with pytest.raises(UsageError):
        check_name("remote", name)


def test_keys_are_known_or_refused_with_the_nearest():
    assert check_key("remote.backup.url") is FAMILIES["remote"]["url"]
    assert parse_value("remote.backup.url", "x") == "x"
    for key, near in [
        ("remote.backup.urll", "did you mean remote.backup.url?"),
        ("remote.backup.passphrase", "did you mean remote.backup.passphrase"),
        ("remot.backup.url", "did you mean remote."),
        ("user.nam", "did you mean user.name?"),
    ]:
        with pytest.raises(UsageError) as caught:
            check_key(key)
        assert near in str(caught.value)


def test_no_setting_holds_a_secret():
    names = [*SETTINGS, *(f"{family}.{last}" for family, keys in FAMILIES.items() for last in keys)]
    for name in names:
        last = name.rpartition(".")[2]
        assert last not in ("passphrase", "password", "token", "secret", "key"), name
