"""Word differences, and words for numbers and times."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from vexrepo.cli.progress import describe
from vexrepo.cli.text import ago, moment, plain, plain_json, shorten, size_words
from vexrepo.cli.words import elided, word_pieces

TEXTS = st.text(alphabet=st.sampled_from("ab c\n.,日本é"), max_size=60)


def shown(old: str, new: str) -> str:
    return "".join(
        piece.old
        if piece.same
        else (f"[-{piece.old}-]" if piece.old else "") + (f"{{+{piece.new}+}}" if piece.new else "")
        for piece in word_pieces(old, new)
    )


def test_differences_are_whole_words_joined_over_spaces():
    assert shown("prefers async communication", "prefers short calls before noon") == (
        "prefers [-async communication-]{+short calls before noon+}"
    )
    assert shown("Pepe #5.", "Pepe #7.") == "Pepe #[-5-]{+7+}."
    assert shown("", "new") == "{+new+}" and shown("old", "") == "[-old-]" and shown("x", "x") == "x"
    assert shown("私は猫が好き", "私は犬が好き") == "私は[-猫-]{+犬+}が好き"


@given(TEXTS, TEXTS)
def test_both_texts_can_be_put_together_again(old, new):
    pieces = word_pieces(old, new)
    assert "".join(piece.old for piece in pieces) == old
    assert "".join(piece.new for piece in pieces) == new


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_ends_that_are_the_same_are_found_as_word_by_word(start, old, new, end):
    a, b = (re.findall(r"[日本]|[^\W日本]+|\s+|[^\w\s]", start + text + end) for text in (old, new))
    head = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest = [tokens[head:][::-1] for tokens in (a, b)]
    tail = next((n for n, (x, y) in enumerate(zip(*rest, strict=False)) if x != y), min(map(len, rest)))
    pieces = word_pieces(start + old + end, start + new + end)
    assert not head or (pieces[0].old.startswith("".join(a[:head])) and pieces[0].same)
    assert not tail or pieces[-1].old.endswith("".join(a[len(a) - tail :]))


def test_very_long_texts_are_compared_in_time():
    old = " ".join(f"a{n}" for n in range(30_000))
    new = " ".join(f"b{n}" for n in range(30_000))
    assert len(word_pieces(f"same {old} end", f"same {new} end")) == 3


def test_long_unchanged_runs_are_left_out():
    text = "word " * 100
    assert len(elided(text, first=False, last=False)) < 100
    assert elided(text, first=True, last=False).startswith("… ")
    assert elided(text, first=False, last=True).endswith(" …")
    assert elided("short", first=False, last=False) == "short"


@given(st.text())
def test_json_made_harmless_is_the_same_value(text):
    safe = plain_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(safe) == text
    assert plain(safe) == safe


def test_numbers_sizes_and_times():
    assert [size_words(size) for size in (0, 999, 1000, 1_234_567, 99_600_000, 5e12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "1.2 MB", "100 MB", "5000 GB",
    ]  # fmt: skip
    assert shorten("abcdef", 4) == "abc…"
    second = 1_000_000
    assert [ago(0, passed * second) for passed in (0, 1, 59, 60, 7200, 86400 * 3, 86400 * 30, 86400 * 365 * 3)] == [
        "just now", "just now", "59 seconds ago", "1 minute ago", "2 hours ago", "3 days ago", "4 weeks ago",
        "2 years ago",
    ]  # fmt: skip
    assert ago(second, 0) == "in the future"
    assert moment(10**30).year == 9999 and moment(-(10**30)).year == 1
    assert describe("reading bytes", 120_000_000, 480_000_000, 2) == (
        "reading 120 MB of 480 MB (25 %) · 60.0 MB/s · 6 s left"
    )
    assert describe("writing", 5_000, 1_000_000, 2, first=1_000).endswith("2,000/s · 8 min left")
    assert describe("writing", 500, 50_000_000, 1).endswith("500/s · 27 h 47 min left")
    assert describe("writing", 1_000, 1_000, 2) == "writing 1,000 of 1,000 (100 %) · 500/s"
    assert describe("writing", 1500, 3000, 3) == "writing 1,500 of 3,000 (50 %) · 500/s · 3 s left"
