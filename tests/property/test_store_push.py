"""A push to a store takes away nothing that only the store has, and completes whatever lies between two commits."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import attempt
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.storepush import Moved, push_store
from vexrepo.repository.storerefs import StoreRemote, ref_of
from vexrepo.testing.stores import plan_between

Texts = dict[str, str]
TEXT = st.sampled_from(["a", "b", "c", None])
ROWS = st.lists(st.tuples(TEXT, TEXT, st.sampled_from(["a", "b", "c", "d", None])), min_size=1, max_size=7)


def _put(address: Address, texts: Texts) -> None:
    with JsonlStore.open(address, create=True) as store:
        store.write(plan_between([], [from_json({"id": key, "text": text}) for key, text in texts.items()]))


def _held(address: Address) -> Texts:
    with JsonlStore.open(address) as store:
        records = [item.record.to_json() for batch in store.scan() for item in batch]
    return {each["id"]: each["text"] for each in records}


def _moved(rows: list[tuple[str | None, str | None, str | None]]) -> Moved:
    """Return what a store changed, by the rule: at each key it has to hold what one of the two commits does."""
    learned = changed = forgotten = 0
    for old, new, here in rows:
        if here in (old, new):
            continue
        learned += old is None
        changed += old is not None and here is not None
        forgotten += old is not None and here is None
    return Moved(learned, changed, forgotten)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_a_store_that_changed_is_refused_and_any_other_is_completed(
    rows: list[tuple[str | None, str | None, str | None]],
) -> None:
    rows = [*rows, ("always", "always", "always")]  # an empty file is no memory
    old, new, here = (
        {f"k{place}": row[side] for place, row in enumerate(rows) if row[side] is not None} for side in range(3)
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        repository = Repository.init(folder, Surroundings(now_us=iter(range(10**15, 2 * 10**15)).__next__))
        own, store = (Address("jsonl", str(folder / f"{each}.vmig.jsonl")) for each in ("own", "store"))
        remote = StoreRemote("agent", store, "agent")

        def keep(texts: Texts) -> CommitId:
            _put(own, texts)
            made = repository.commit("kept", store=own, allow_empty=True)
            assert made.id is not None
            return made.id

        first = keep(old)  # type: ignore[arg-type]
        push_store(repository, remote, first)
        second = keep(new)  # type: ignore[arg-type]
        _put(store, here)  # type: ignore[arg-type]
        expected = _moved(rows)
        if expected:
            assert push_store(repository, remote, second, dry_run=True).moved == expected
            assert attempt(lambda: push_store(repository, remote, second)) == (None, "store-moved")
            assert _held(store) == here and repository.view().refs[ref_of("agent")] == first
            done = push_store(repository, remote, second, force=True)
            assert (done.kind, done.moved) == ("forced", expected)
        else:
            assert push_store(repository, remote, second).kind == "forward"
        assert _held(store) == new and repository.view().refs[ref_of("agent")] == second
