"""Search: scores are those of the formula, the filter over bytes loses nothing, cosines are those of numpy."""

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vexrepo.errors import UsageError
from vexrepo.history import terms
from vexrepo.history.nearest import cosines, nearest_rows, unit_vector
from vexrepo.history.search import K1, B, TextScan, searched_fields, total_length
from vexrepo.history.terms import Query, Term, fold, parse_query, possible_rows, split_words
from vexrepo.objects import canonical

# Where folding is not one letter for one: ligatures, sharp s, dotted I, Kelvin, full width, superscripts, marks before
# and after composition, invisible characters, scripts without spaces, JSON escapes.
LETTERS = (
    'abkisfABKISF1 _\n\t"\\,-*ßſKİıﬁﬀｆｉＫ²½™ªéÉΣςσпП東京カｶがｶﾞกำ한각ᄀ\u1161\u11a8हिन्दी'
    "\u0301\u0307\u030c\u3099\u00ad\u200d\ufe0f𝐤𝟏Ⅸ"
)
texts = st.text(st.sampled_from(LETTERS), max_size=14) | st.text(max_size=6)
words = st.sampled_from(["fi", "k", "ss", "is", "1", "é", "東京", "京", "カ", "п", "ab", "हिन्दी"])
prose = st.lists(words | texts, max_size=8).map(" ".join)


@st.composite
def values(draw: st.DrawFn):
    value = {"id": "m", "zz": {"text": draw(words)}}
    if draw(st.booleans()):
        value["vex_version"] = "1.0.0"
        del value["zz"]
    if draw(st.integers(0, 5)):
        value["text"] = draw(prose | st.none())
    metadata = {"source": draw(words)}
    if draw(st.booleans()):
        metadata["tags"] = draw(st.lists(words, max_size=3) | st.lists(words, max_size=3).map(",".join))
    if draw(st.booleans()):
        metadata["potential"] = draw(st.lists(prose, max_size=2) | prose)
    if draw(st.booleans()):
        metadata["text"] = draw(words)
    value["metadata"] = metadata
    return value


def body_of(value):
    return canonical.encode(value)


bodies = st.lists(values().map(body_of), max_size=8)


@st.composite
def queries(draw: st.DrawFn):
    chunks = []
    for _ in range(draw(st.integers(1, 3))):
        chunk = draw(words | texts)
        kind = draw(st.integers(0, 3))
        chunks.append(f'"{chunk} {draw(words)}"' if kind == 0 else f"{chunk}*" if kind == 1 else chunk)
    if draw(st.booleans()):
        chunks.append("-" + draw(words))
    return " ".join(chunks)


def parsed(text: str) -> Query | None:
    try:
        return parse_query(text)
    except UsageError:
        return None


def count(term: Term, text: str) -> int:
    """The straightforward way: split into words and compare."""
    total = 0
    for part in fold(text).split("\0"):
        if len(term.words) == 1 and len(split_words(term.words[0])) > 1:  # a pair of characters
            total += sum(part.startswith(term.words[0], place) for place in range(len(part)))
            continue
        found, size = split_words(part), len(term.words)
        for place in range(len(found) - size + 1):
            here = found[place : place + size]
            last = here[-1].startswith(term.words[-1]) if term.is_prefix else here[-1] == term.words[-1]
            total += here[:-1] == list(term.words[:-1]) and last
    return total


def slow_scores(query: Query, bodies):
    rows = [searched_fields(body) for body in bodies]
    mean = sum(len(row.text) for row in rows) / max(len(rows), 1)
    scores = {}
    counts = [[[count(term, field) for field in row] for term in query.terms] for row in rows]
    for number, row in enumerate(rows):
        if not any(map(any, counts[number])) or any(count(term, field) for term in query.excluded for field in row):
            continue
        scale = 1 - B + B * len(row.text) / mean if mean else 1.0
        scores[number] = 0.0
        for place in range(len(query.terms)):
            have = sum(any(each[place]) for each in counts)
            idf = math.log(1 + (len(rows) - have + 0.5) / (have + 0.5))
            text, tags, potential = counts[number][place]
            weight = text / scale + 2 * tags + 0.5 * potential
            scores[number] += idf * weight * (K1 + 1) / (weight + K1)
    return scores


@given(queries(), bodies, st.integers(1, 4))
def test_scores_are_those_of_the_formula_however_bodies_are_batched(text, bodies, size):
    query = parsed(text)
    if query is None:
        return
    scan = TextScan(query)
    matching = []
    for start in range(0, len(bodies), size):
        matching += [start + row for row in scan.feed(bodies[start : start + size])]
    wanted = slow_scores(query, bodies)
    numbers, scores = scan.ranked()
    assert matching == sorted(wanted)
    assert dict(zip(numbers.tolist(), scores.tolist(), strict=True)) == pytest.approx(wanted)
    assert list(scores) == sorted(scores, reverse=True)


@given(st.lists(prose, min_size=1, max_size=5), st.data())
@example(["ﬁ"], None)
@example(["a\u00adb cafe\u0301"], None)
def test_the_filter_over_bytes_never_loses_a_hit(prose, data):
    bodies = [body_of({"id": "x", "text": text}) for text in prose]
    for row, text in enumerate(prose):
        for word in set(split_words(fold(text))):
            cut = data.draw(st.integers(1, len(word))) if data else len(word)
            for term in (Term.of((word,)), Term.of(split_words(word[:cut])[:1] or [word], True)):
                if term.pattern.search(fold(text)):
                    assert row in possible_rows(Query((term,)), bodies)


def test_the_characters_that_fold_to_ascii_are_known_and_common_ones_are_not_among_them():
    every = terms._folding_table(tuple(mark.encode() for mark in "abcdefghijklmnopqrstuvwxyz0123456789_"))
    for point in range(0x80, 0x110000):
        if 0xD800 <= point < 0xE000:
            continue
        steps = [unicodedata.normalize("NFKC", chr(point))]
        steps += [steps[0].casefold(), fold(chr(point))]
        if any(mark.isascii() and (mark.isalnum() or mark == "_") for mark in "".join(steps)) or not steps[-1]:
            assert every[point], hex(point)
    assert not any(every[ord(mark)] for mark in "äéñ°–—’“”…€→✓пж東カ한")
    some = terms._folding_table((b"deploy", b"find"))
    assert [mark for mark in "№ﬁ½Ｐ\u00adⅮßﬀ" if some[ord(mark)]] == ["ﬁ", "Ｐ", "\u00ad", "Ⅾ", "ﬀ"]


@given(texts)
def test_folding_twice_is_folding_once_and_spellings_unicode_holds_equal_fold_alike(text):
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)


@given(st.lists(values(), max_size=3))
def test_the_length_of_texts_is_read_off_the_bytes(found):
    assert total_length(list(map(body_of, found))) == sum(len(each.get("text") or "") for each in found)


@given(queries(), prose)
def test_marked_places_are_in_order_and_apart_and_inside_the_text(query, text):
    found = parsed(query)
    places = found.spans(text) if found else []
    flat = [place for span in places for place in span]
    assert flat == sorted(set(flat)) and all(0 <= place <= len(text) for place in flat)


@given(prose)
def test_every_word_of_a_text_is_marked_when_asked_for(text):
    plain = "".join(mark for mark in text if mark.isascii())
    for word in split_words(fold(plain)):
        assert any(fold(plain[a:b]) == word for a, b in Query((Term.of((word,)),)).spans(plain))


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(0, 5), st.just(3)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    ),
    st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3).filter(any),
)
def test_cosines_are_those_of_numpy(matrix, query):
    found = cosines(matrix, unit_vector(query))
    exact = [[np.longdouble(item) for item in row] for row in matrix.tolist()]
    wanted = np.array(query, np.longdouble)
    wanted /= np.abs(wanted).max()
    for row, cosine in zip(exact, found, strict=True):
        row = np.array(row, np.longdouble)
        if not row.any():
            assert np.isnan(cosine)
            continue
        row /= np.abs(row).max()
        assert cosine == pytest.approx(float(row @ wanted / np.sqrt((row @ row) * (wanted @ wanted))), abs=1e-9)


vectors = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(0, 12), st.just(2)),
    elements=st.sampled_from([0.0, 1.0, -1.0, 1.0000001, 3.0, 1e-30, 1e30, 0.1]).map(
        lambda each: float(np.float32(each))
    ),
)


@given(vectors, st.lists(st.sampled_from([0.0, 1.0, 0.5, -3.0]), min_size=2, max_size=2).filter(any), st.integers(1, 4))
def test_the_nearest_are_those_of_all_cosines_in_order(matrix, query, limit):
    unit = unit_vector(query)
    exact = cosines(matrix, unit)
    assert all(
        cosines(matrix[row : row + 1], unit)[0] == exact[row] or np.isnan(exact[row]) for row in range(len(exact))
    )
    wanted = sorted((-exact[row], row) for row in range(len(matrix)) if not np.isnan(exact[row]) and row % 3)
    found = nearest_rows(matrix, unit, limit, lambda row: row % 3 != 0)
    assert [row for row, _ in found] == [row for _, row in wanted[:limit]]
    assert [-score for _, score in found] == [score for score, _ in wanted[:limit]]
