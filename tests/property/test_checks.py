"""Checks never fail on a record, never show a secret, and take time in proportion to a text."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.strategies import records
from tests.sample.fakes import DISGUISES, SECRETS, Fakes
from vexrepo.hooks.check import Change, Finding, Severity
from vexrepo.hooks.checks import encoded, hidden
from vexrepo.hooks.checks.injection import is_quiet, judge
from vexrepo.hooks.checks.secrets import find_secrets, may_hold
from vexrepo.hooks.folding import fold, is_usual
from vexrepo.hooks.registry import BUILT_IN, make_check
from vexrepo.hooks.texts import field_name, strings_of, texts_of
from vexrepo.objects import record

HOSTILE = (
    *("\u200b", "\u202e", "\u2066", "\ufe01", "\U000e0041", "\U000e0100", "\u3164", "\u00ad", "а", "é", "忽略", "指示"),
    *(
        "ignore ",
        "previous ",
        "instructions ",
        "not ",
        "send ",
        "password: ",
        "ghp_",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
    ),
    *("<!--", "-->", "<|im_start|>", "[INST]", "![a](http://", "://a:b@", '"', "%41", "\\u0041", "&#65;", "=", "+1 "),
)
hostile_texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), max_size=30).map("".join)


def run(name: str, *changes: Change) -> list[Finding]:
    check = make_check(name, {})
    return [*check.look(changes), *check.finish(None)]


@pytest.mark.parametrize("name", BUILT_IN)
@settings(max_examples=40)
@given(before=st.none() | records, after=records)
def test_no_record_makes_a_check_fail(name, before, after):
    for change in (Change(after.key, before, after), Change(after.key, after, None)):
        for finding in run(name, change):
            assert finding.check == name
            assert 0 <= finding.score <= 1
            assert finding.message and isinstance(finding.severity, Severity)
            (finding.message + finding.field).encode()  # has a UTF-8 form: it will be printed


@given(text=hostile_texts)
def test_no_text_makes_a_check_fail_and_the_quick_looks_agree_with_the_long_ones(text):
    assert may_hold(text) or not find_secrets(text)
    verdict = judge(text)
    assert 0 <= verdict.score <= 1
    if verdict.score >= 0.4:
        assert not is_quiet(text, 0.4)
    fold(text)
    hidden.find_hidden(text)
    list(encoded.iter_decoded(text, -1))


@given(text=st.text(max_size=60))
def test_folding_is_stable_and_usual_texts_become_ascii(text):
    folded = fold(text)
    assert not is_usual(text) or folded.isascii()
    assert fold(folded).split() == folded.split() or not folded.isascii()


@given(records)
def test_the_quick_walk_yields_the_same_texts(item):
    assert sorted(strings_of(item)) == sorted(text.text for text in texts_of(item))
    for text in texts_of(item):
        assert len(field_name(text)) < 60 * len(text.path) + 20


secrets_of_some_kind = st.tuples(st.sampled_from(sorted(set(SECRETS) - {"twilio_sid"})), st.integers(0, 10**6))


@settings(max_examples=60)
@example(secret=("hex32", 0), around=("", ""), place="name")
@example(secret=("random40", 131), around=("", ""), place="name")
@example(secret=("password", 11), around=("", ""), place="name")
@given(
    secret=secrets_of_some_kind,
    around=st.tuples(st.text(max_size=20), st.text(max_size=20)),
    place=st.sampled_from(["text", "tag", "name", "deep"]),
)
def test_no_message_or_field_shows_a_secret(secret, around, place):
    kind, seed = secret
    made = SECRETS[kind](Fakes(f"{kind}{seed}"))
    text = f"{around[0]} token: {made} {around[1]}"
    value: dict[str, Any] = {"id": "m", "text": text if place == "text" else "t"}
    if place == "tag":
        value["metadata"] = {"tags": [text]}
    elif place == "name":
        value["metadata"] = {made: {"password": made}}
    elif place == "deep":
        value["metadata"] = {"a": [{"b": {"token": made}}]}
    item = record.from_json(value)
    for name in BUILT_IN:
        for finding in run(name, Change(item.key, None, item)):
            shown = finding.message + finding.field
            # Its beginning may be a public prefix, and a URL or PEM block has words in it.
            for start in range(len(made) // 3, 2 * len(made) // 3):
                assert made[start : start + 6] not in shown, finding


MEGABYTE = 1_000_000
WHOLE = ("rules", "tokens", "announced")  # the rest in a smaller size: CI has two cores
REPEATED = {
    "letters": "a",
    "words": "a ",
    "verbs": "ignore ",
    "rules": "ignore not follow previous your tell user send password ",
    "comments": "<!--",
    "images": "![a](http://aaaaaaaaaaaaaaaaaaaaaaaaaaa?",
    "styles": 'style="color:white',
    "quotes": '"a b',
    "tokens": "eyJaaaaaaaaaaaa.",
    "pem": "-----BEGIN RSA PRIVATE KEY-----",
    "urls": "a://b:c",
    "announced": "password is a b ",
    "base64": "QUJD",
    "hex": "de ",
    "escapes": "\\u0041",
    "zero width": "a\u200b",
    "tags": "\U000e0041",
    "signs": "\u202e",
    "look-alikes": "\u0440\u0430\u0443\u0440\u0430l ",
    "chinese": "\u5ffd\u7565\u4e4b\u524d\u7684",
    "ligatures": "\ufdfa",
    "ibans": "de12aaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    "digits": "1 ",
    "addresses": "a@a.",
    "ips": "1:",
    "plus": "+1()",
    "seed": "seed phrase abcd abcd ",
    "blanks": "\n \n",
    "action": "action: a\n",
}


@pytest.mark.parametrize("kind", REPEATED)
def test_a_megabyte_of_anything_is_read_in_seconds(kind):
    """Fifteen seconds a megabyte on a busy machine: no pattern runs away."""
    size = MEGABYTE if kind in WHOLE else MEGABYTE // 8
    text = REPEATED[kind]
    item = record.from_json({"id": "m", "text": text * (size // len(text.encode()))})
    for name in ("secrets", "injection", "pii"):
        start = time.process_time()
        findings = run(name, Change(item.key, None, item))
        assert time.process_time() - start < 15 * size / MEGABYTE, name
        assert len(findings) <= 8


# Hiding is a finding by itself; an encoded text is one only by what it says.
@pytest.mark.parametrize("disguise", sorted(set(DISGUISES) - {"tags", "vs", "zwbits", "zwsplit", "homoglyph"}))
def test_what_is_ordinary_stays_so_in_most_disguises(disguise):
    for words in ("the ferry leaves at nine", "Priya likes green tea", "bread is baked on Fridays"):
        assert judge(f"note: {DISGUISES[disguise](words)}").score < 0.4
