"""Which ids records get in a store, however many there are."""

from typing import Any

import pytest

from vexrepo.objects.record import make_key
from vexrepo.remotes.stores import point_names
from vexrepo.remotes.stores.capabilities import Capabilities, mapped_id, native_id, native_ids
from vexrepo.remotes.stores.point_names import Hashes, Names

ANY = Capabilities(lambda value: True)


def key(identifier: str, namespace: str = "") -> bytes:
    return make_key(namespace, identifier)


def test_what_was_added_is_held_whenever_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_names, "_FRESH", 7)  # so that they join the sorted ones many times
    held, hashes = set(), Hashes()
    for number in range(200):
        name = f"m{number * 7919 % 1009}"
        assert (name in hashes) == (name in held)
        (hashes.add if number % 3 == 0 else hashes.note)(name)
        held.add(name)
        if number % 20 == 0:
            assert all(each in hashes for each in held)
    assert all(each in hashes for each in held) and "other" not in hashes


def test_many_ids_take_few_bytes_each(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(ANY)
    for number in range(3 * point_names._FRESH):
        assert names.give(key(str(number)), {}) == (str(number), True)
    assert len(names._natives._fresh) < point_names._FRESH and not names._odd


@pytest.mark.parametrize("odd", ["", " a", "a\u2003", "a\0b", "ä" * 9, "7", "00000000-0000-0000-0000-000000000007"])
@pytest.mark.parametrize("form", ["text", "uuid", "uuid only", "number"])
def test_the_ids_of_many_records_are_those_of_each(odd: str, form: Any) -> None:
    can = Capabilities(lambda value: True, id_form=form, id_bytes=17, holds_id=lambda each: "\0" not in each)
    plain = [key("a"), key("b c", "x\x01y"), key("ü")]
    for keys in ([], plain, [key(odd)], [*plain, key(odd, "x"), key("d")]):
        assert native_ids(keys, can) == [native_id(each, can) for each in keys]


def test_a_record_keeps_the_id_it_has() -> None:
    names = Names(ANY)
    names.add(key("a"), "a")
    names.add(key("b", "x"), mapped_id(key("b", "x"), ANY))
    names.add(key("c"), "something else")
    assert names.give(key("a"), {}) == ("a", False)
    assert names.give(key("b", "x"), {}) == (mapped_id(key("b", "x"), ANY), False)
    assert names.give(key("c"), {}) == ("something else", False)


def test_a_second_record_of_an_id_gets_one_of_its_own() -> None:
    names = Names(ANY)
    names.add(key("a"), "a")
    assert names.give(key("a", "x"), {}) == (mapped_id(key("a", "x"), ANY), True)
    assert names.give(key("b"), {}) == ("b", True)
    assert names.give(key("b", "x"), {})[0] != "b"


def test_a_record_takes_the_id_of_one_that_goes() -> None:
    names = Names(ANY)
    names.add(key("a"), "a")
    leaving = names.leaving([key("a"), key("not there")])
    assert leaving == {"a": key("a")}
    assert names.give(key("a", "x"), leaving) == ("a", False) and leaving == {}
    assert names.give(key("a", "y"), leaving)[0] != "a"


def test_a_memory_whose_id_is_what_another_would_get_is_not_written_over() -> None:
    made = mapped_id(key("a", "x"), ANY)
    names = Names(ANY)
    names.add(key("a"), "a")
    names.add(key(made), made)
    given, is_new = names.give(key("a", "x"), {})
    assert is_new and given not in ("a", made)


def test_the_id_of_a_point_that_cannot_be_read_is_given_to_nobody() -> None:
    names = Names(ANY)
    names.take("a")
    assert names.of(key("a")) is None
    assert names.give(key("a"), {}) == (mapped_id(key("a"), ANY), True)
