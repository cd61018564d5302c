"""The file of known keys: both versions are read, the newest is written, and nothing doubtful is read in part."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vexrepo.errors import InvalidData, StateError, UsageError, VexError
from vexrepo.objects.signature import public_key
from vexrepo.objects.trust import KnownKey
from vexrepo.storage.files import Files
from vexrepo.storage.trust import TrustStore

ALICE, BOB, CAROL = (public_key(bytes([number]) * 32) for number in range(3))
DAY = 86_400_000_000
NOW = 1_790_000_000_000_000

GOLDEN = Path(__file__).parents[2] / "objects/vectors/v1/identity"  # frozen
VERSION_1, VERSION_2 = ((GOLDEN / f"trust-{version}.json").read_text("utf-8") for version in (1, 2))
FROZEN = [
    KnownKey(
        "alice",
        ALICE,
        "2026-01-31T12:00:00Z",
        1_767_225_600_000_000,
        1_798_761_600_000_000,
        1_780_302_600_250_000,
        "laptop stolen",
        frozenset({"", "work"}),
        frozenset({"semantic"}),
        "met at the fair",
    ),
    KnownKey("bob", BOB, "2026-02-01T12:00:00Z"),
]


def store(folder: Path, content: str | None = None, **rest) -> TrustStore:
    path = folder / "trust.json"
    if content is not None:
        path.write_text(content, "utf-8")
        path.chmod(0o600)
    return TrustStore(path, Files(), **rest)


def refused(action) -> VexError:
    with pytest.raises(VexError) as caught:
        action()
    return caught.value


def test_a_file_of_version_1_is_read_and_becomes_version_2_at_the_next_change(tmp_path):
    trust = store(tmp_path, VERSION_1)
    assert trust.read() == [KnownKey("alice", ALICE, "2026-01-31T12:00:00Z")]
    assert trust.path.read_text() == VERSION_1
    trust.add(KnownKey("bob", BOB, "2026-02-01T12:00:00Z"))
    assert json.loads(trust.path.read_text())["version"] == 2
    assert [each.name for each in trust.read()] == ["alice", "bob"]


def test_a_file_of_version_2_is_read_and_written_as_it_is_frozen(tmp_path):
    trust = store(tmp_path, VERSION_2)
    assert trust.read() == FROZEN
    trust.path.unlink()
    for each in reversed(FROZEN):
        assert trust.add(each)
    assert trust.path.read_text() == VERSION_2
    if os.name == "posix":
        assert trust.path.stat().st_mode & 0o777 == 0o600


def changed(path: str, value: object) -> str:
    """Return the frozen file with one member of alice (or of the file) set."""
    content = json.loads(VERSION_2)
    at = content if path.startswith("/") else content["keys"][0]
    if value is None:
        del at[path.strip("/")]
    else:
        at[path.strip("/")] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "JSON"),
        ("[]", "version"),
        (changed("/version", None), "version"),
        (changed("/version", "2"), "version"),
        (changed("/version", True), "version"),
        (changed("/version", 3), "version 3"),
        (changed("/version", 0), "version 0"),
        (changed("/policy", "integrity"), "exactly"),
        (changed("/keys", {}), "exactly"),
        (changed("until", "2030-01-01"), "'until'"),
        (changed("key", "00" * 32), "small order"),
        (changed("key", "3b6a"), "not a public key"),
        (changed("key", None), "lacks"),
        (changed("name", 5), "lacks"),
        (changed("valid_until", None).replace("2026-01-01T00", "2026-13-01T00"), "a time"),
        (changed("valid_until", 1_798_761_600), "a time"),
        (changed("valid_from", ""), "a time"),
        (changed("revoked", False), "revoked"),
        (changed("revoked", {}), "revoked"),
        (changed("revoked", {"from": "2026-06-01T08:30:00Z", "reason": "", "void": True}), "revoked"),
        (changed("namespaces", []), "namespaces"),
        (changed("namespaces", "work"), "namespaces"),
        (changed("components", [1]), "components"),
        (changed("note", 5), "note"),
        (VERSION_1.replace('"added_at"', '"valid_until": "2030-01-01", "added_at"'), "'valid_until'"),
        (VERSION_2.replace('"name": "alice",', '"name": "alice", "name": "alice",'), "name"),
        (VERSION_2.replace('"bob"', '"alice"'), "twice"),
        (VERSION_2.replace(BOB.hex(), ALICE.hex()), "twice"),
    ],
)
def test_whatever_is_not_exactly_such_a_file_stops_everything_and_is_left_as_it_is(content, why, tmp_path):
    trust = store(tmp_path, content)
    for action in (
        trust.read,
        lambda: trust.add(KnownKey("carol", CAROL, "2026")),
        lambda: trust.remove("bob"),
        lambda: trust.change("bob", lambda each: each),
    ):
        error = refused(action)
        assert isinstance(error, InvalidData) and error.code == "trust-unreadable"
        assert why in str(error) and str(trust.path) in str(error)
    assert trust.path.read_text() == content


def test_a_file_that_others_can_write_is_warned_of(tmp_path):
    if os.name != "posix":
        return
    heard: list[str] = []
    trust = store(tmp_path, VERSION_2, warn=heard.append)
    trust.read()
    assert not heard
    trust.path.chmod(0o620)
    assert trust.read() == FROZEN
    assert len(heard) == 1 and "chmod 600" in heard[0]


def test_a_key_is_taken_once_and_with_other_limits_not_silently(tmp_path):
    trust = store(tmp_path)
    alice = KnownKey("alice", ALICE, "2026")
    assert trust.add(alice)
    assert not trust.add(replace(alice, added_at="2027"))
    for other in (replace(alice, valid_until_us=NOW), replace(alice, name="alicia"), KnownKey("alice", BOB, "2026")):
        assert refused(lambda other=other: trust.add(other)).code == "trust-exists"
    assert trust.read() == [alice]


@pytest.mark.parametrize(
    "name",
    [
        "Alice",
        "a1ice",
        "al\u0456ce",
        "\u0430lice",
        "\u0430\u04cf\u0456\u0441\u0435",
        "alic\u00e9",
        "\uff41lice",
        "aIice",
    ],
)
def test_two_keys_cannot_have_names_that_look_alike(name, tmp_path):
    trust = store(tmp_path)
    trust.add(KnownKey("alice", ALICE, "2026"))
    assert refused(lambda: trust.add(KnownKey(name, BOB, "2026"))).code == "trust-exists"
    trust.add(KnownKey("bob", BOB, "2026"))
    assert refused(lambda: trust.change("bob", lambda each: replace(each, name=name))).code == "trust-exists"


def test_the_names_of_ones_own_keys_are_taken(tmp_path):
    trust = store(tmp_path, own={ALICE: "default"})
    for name in ("default", "Default", "defau1t"):
        assert refused(lambda name=name: trust.add(KnownKey(name, BOB, "2026"))).code == "trust-exists"
    assert trust.add(KnownKey("default", ALICE, "2026", valid_until_us=NOW))
    assert trust.read()[0].is_own


@pytest.mark.parametrize(
    "name", ["", " ", " alice", "a\nb", "\x1b[31m", "a\u202eb", "a\u200bb", "x" * 101, "00" * 32, "ed25519:AAAA"]
)
def test_names_that_could_deceive_are_refused(name, tmp_path):
    trust = store(tmp_path)
    error = refused(lambda: trust.add(KnownKey(name, ALICE, "2026")))
    assert isinstance(error, UsageError) and error.code == "bad-option"
    assert not trust.path.exists()


def test_a_period_must_end_after_it_begins(tmp_path):
    error = refused(lambda: store(tmp_path).add(KnownKey("a", ALICE, "", NOW, NOW)))
    assert error.code == "bad-option" and "covers nothing" in str(error)


def test_a_revoked_key_is_not_forgotten_without_force(tmp_path):
    trust = store(tmp_path, VERSION_2)
    error = refused(lambda: trust.remove("alice"))
    assert isinstance(error, StateError) and error.code == "trust-narrows" and "--force" in str(error)
    assert trust.remove("bob").key == BOB
    assert trust.remove(ALICE.hex(), force=True).name == "alice"
    assert trust.read() == []
    assert refused(lambda: trust.remove("alice")).code == "trust-unknown"


def test_a_limit_of_ones_own_key_is_not_forgotten_without_force(tmp_path):
    trust = store(tmp_path, own={BOB: "mine"})
    trust.add(KnownKey("mine", BOB, "2026", valid_until_us=NOW))
    assert refused(lambda: trust.remove("mine")).code == "trust-narrows"


def test_following_gives_the_new_key_the_name_and_limits_and_ends_the_old_one(tmp_path):
    trust = store(tmp_path)
    limits = {"namespaces": frozenset({"work"}), "note": "from the fair", "valid_until_us": NOW + 10 * DAY}
    trust.add(KnownKey("alice", ALICE, "2026", **limits))
    trust.follow(ALICE, KnownKey("", BOB, "2027"), NOW)
    assert trust.read() == [
        KnownKey("alice", BOB, "2027", **limits),
        KnownKey("alice (until 2026-09-21)", ALICE, "2026", **{**limits, "valid_until_us": NOW}),
    ]
    trust.follow(BOB, KnownKey("", CAROL, "2028"), NOW)
    assert [each.name for each in trust.read()] == [
        "alice",
        "alice (until 2026-09-21)",
        "alice (until 2026-09-21, 2)",
    ]


def test_a_key_that_is_known_under_another_name_is_not_followed_to(tmp_path):
    trust = store(tmp_path)
    trust.add(KnownKey("alice", ALICE, "2026"))
    trust.add(KnownKey("bob", BOB, "2026"))
    assert refused(lambda: trust.follow(ALICE, KnownKey("", BOB, "2027"), NOW)).code == "trust-exists"
    assert [each.name for each in trust.read()] == ["alice", "bob"]


moments = st.none() | st.integers(-(10**12), 10**12).map(lambda number: number * 1000)
words = st.frozensets(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=3)
texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)


@given(moments, moments, moments, texts, words, words, texts)
@settings(max_examples=40)
def test_what_is_written_is_read_back(
    tmp_path_factory, start, end, revoked, reason, namespaces, components, note
) -> None:
    known = KnownKey(
        "alice",
        ALICE,
        "2026",
        start,
        end if end is None or start is None or end > start else start + 1000,
        revoked,
        reason if revoked is not None else "",
        namespaces,
        components,
        note,
    )
    trust = store(tmp_path_factory.mktemp("trust"))
    trust.add(known)
    assert trust.read() == [known]
