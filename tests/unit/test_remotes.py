"""Push, fetch, pull, clone: several machines over one host in memory."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hosting.team import CHEAP, PASSPHRASE, REMOTE, Machine, Team, reach_to, refusal
from vexrepo.errors import HostError, StateError
from vexrepo.objects.digest import CommitId
from vexrepo.objects.trust import KnownKey, Trust
from vexrepo.remotes.hosts.base import Access, Tip
from vexrepo.remotes.hosts.header import Unlock
from vexrepo.remotes.hosts.members import Recipient
from vexrepo.remotes.hosts.memory import MemoryHost
from vexrepo.remotes.hosts.publishing import Means
from vexrepo.remotes.hosts.vault import Vault
from vexrepo.repository import Repository
from vexrepo.repository.collect import collect
from vexrepo.repository.hostcare import check_host, compact_host, open_host, rekey_host
from vexrepo.repository.remotes import Remote, with_vouches
from vexrepo.storage.oplog import BRANCHES, TAGS
from vexrepo.storage.pack import PackReader


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def is_whole(machine: Machine) -> bool:
    """Whether the host holds all that its refs need, by itself."""
    report = check_host(machine.repository, REMOTE, machine.reach, read_data=True)
    return report.problems == []


# -- there and back ----------------------------------------------------------------------------------------------------


def test_what_one_machine_pushes_another_clones_with_the_address_and_the_passphrase_alone(team: Team) -> None:
    one = team.machine().init()
    one.commit(**{f"k{number}": f"text {number}" for number in range(40)})
    one.commit("k3", k1="changed")
    pushed = one.push()
    assert pushed.created and not pushed.is_empty and pushed.noted
    (move,) = pushed.moves
    assert (move.name, move.old, move.new, move.kind) == ("heads/main", None, one.head, "new")
    assert pushed.packs == 1 and pushed.objects > 8 and 0 < pushed.pack_bytes < pushed.sealed_bytes
    assert one.tracking() == {"main": one.head}

    two = team.machine()
    found = two.clone()
    assert (found.branch, found.commit, found.branches, found.tags) == ("main", one.head, ("main",), ())
    assert two.texts() == one.texts() and two.tracking() == one.tracking() == {"main": one.head}
    assert two.is_sound() and is_whole(two)
    assert [op.command for _, op in two.repository.log.walk()] == ["clone"]
    assert [each.verdict for each in two.repository.signatures(two.head)] == [
        each.verdict for each in one.repository.signatures(one.head)
    ]
    assert refusal(two.repository.undo) == "nothing-to-undo"


def test_nothing_to_push_is_said_and_publishes_nothing(team: Team) -> None:
    one = team.begun()
    commits, operation = team.place.commits, one.repository.log.current_id()
    done = one.push()
    assert done.is_empty and [move.kind for move in done.moves] == ["same"] and done.generation == 1
    assert team.place.commits == commits and one.repository.log.current_id() == operation


def test_a_push_sends_what_changed_and_no_more(team: Team) -> None:
    one = team.begun()
    packs = len(list((one.repository.folder / "packs").iterdir()))
    one.commit(k2="changed, too")
    done = one.push()
    (pack,) = sorted((one.repository.folder / "packs").iterdir())[packs:]
    assert done.objects == PackReader(pack).count and done.pack_bytes <= pack.stat().st_size
    assert [move.kind for move in done.moves] == ["forward"]
    assert team.cloned().texts() == one.texts()


def test_work_goes_back_and_forth(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    two.commit(k5="by two")
    two.push()
    found = one.fetch()
    assert [(move.name, move.new, move.kind) for move in found.moves] == [("heads/main", two.head, "forward")]
    assert found.packs == 1 and found.commits == 1 and one.tracking() == {"main": two.head}
    assert one.texts()["k5"] == "text 5"
    pulled = one.pull()
    assert pulled.result.kind == "fast-forward" and one.head == two.head and one.texts()["k5"] == "by two"
    one.commit(k6="by one")
    two.commit(k7="by two")
    one.push()
    with pytest.raises(StateError, match="vex pull backup") as caught:
        two.push()
    assert caught.value.code == "not-fast-forward"
    assert two.pull().result.kind == "merged"
    assert (two.texts()["k6"], two.texts()["k7"]) == ("by one", "by two")
    assert [move.kind for move in two.push().moves] == ["forward"]
    assert one.pull().result.kind == "fast-forward" and one.texts() == two.texts()
    assert one.is_sound() and two.is_sound() and is_whole(one)


def test_a_pull_with_conflicts_waits_for_them_to_be_settled(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    one.commit(k5="by one")
    one.push()
    two.commit(k5="by two")
    pulled = two.pull()
    assert pulled.result.kind == "conflicts" and pulled.name == "backup/main" and pulled.theirs == one.head
    assert two.repository.merge_under_way() == {"action": "merge", "name": "backup/main"}
    assert refusal(two.pull) == "merge-under-way"


def test_an_empty_repository_pulls_its_first_commit(team: Team) -> None:
    one = team.begun()
    two = team.machine().init()
    assert two.pull().result.kind == "fast-forward" and two.head == one.head and two.texts() == one.texts()
    assert refusal(lambda: two.pull("nowhere")) == "unknown-revision"


def test_histories_that_began_apart_are_not_joined_unasked(team: Team) -> None:
    team.begun()
    two = team.machine().init()
    two.commit(other="memory")
    assert refusal(two.push) == "not-fast-forward"
    assert refusal(two.pull) == "unrelated-histories"
    assert two.pull(allow_unrelated=True).result.kind == "merged"
    two.push()
    assert two.texts()["other"] == "memory" and two.texts()["k1"] == "changed"


# -- refs --------------------------------------------------------------------------------------------------------------


def test_branches_and_tags_are_pushed_by_name_all_at_once_and_as_others(team: Team) -> None:
    one = team.begun()
    one.repository.create_tag("v1", "HEAD~1")
    one.branch("trial")
    one.commit(k9="trial")
    assert {move.name for move in one.push("trial", "v1", "main:shown").moves} == {
        "heads/trial",
        "tags/v1",
        "heads/shown",
    }
    two = team.machine()
    found = two.clone()
    assert found.branches == ("main", "shown", "trial") and found.tags == ("v1",)
    assert two.tracking() == one.tracking() and two.repository.resolve("v1") == one.repository.resolve("v1")
    one.branch("more")
    one.repository.create_tag("v2", "HEAD")
    assert {move.name: move.kind for move in one.push(all_branches=True, tags=True).moves} == {
        "heads/main": "same",
        "heads/trial": "same",
        "heads/more": "new",
        "tags/v1": "same",
        "tags/v2": "new",
    }
    assert {move.name for move in one.push("HEAD:heads/x", "HEAD:tags/y").moves} == {"heads/x", "tags/y"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nobody", "unknown-revision"),
        ("main:", "bad-option"),
        (":", "bad-option"),
        ("+", "bad-option"),
        ("main:a b", "ref-name"),
        ("main~1", "ref-name"),
        (":heads/..", "ref-name"),
    ],
)
def test_a_refspec_that_means_nothing_is_refused(team: Team, text: str, code: str) -> None:
    one = team.begun()
    assert refusal(lambda: one.push(text)) in (code, "ref-name" if text == ":" else code)


def test_a_branch_is_deleted_at_the_remote_and_pruned_elsewhere(team: Team) -> None:
    one = team.begun()
    one.push("main:old")
    two = team.cloned()
    assert set(two.tracking()) == {"main", "old"}
    assert [move.kind for move in one.push(":old").moves] == ["deleted"]
    assert set(one.tracking()) == {"main"}
    assert one.push(":old").is_empty
    assert [(move.name, move.kind) for move in two.fetch().moves if move.kind != "same"] == [("heads/old", "deleted")]
    assert set(two.tracking()) == {"main"}


def test_a_branch_that_moved_is_not_deleted_unseen(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    two.commit(k1="by two")
    two.push()
    assert refusal(lambda: one.push(":main")) == "host-moved"
    one.fetch()
    assert [move.kind for move in one.push(":main").moves] == ["deleted"]


def test_force_leaves_behind_only_what_was_seen(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    two.commit(k1="by two")
    two.push()
    one.commit(k1="by one")
    assert refusal(lambda: one.push("+main")) == "host-moved"
    assert refusal(lambda: one.push(force=True)) == "host-moved"
    one.fetch()
    assert refusal(one.push) == "not-fast-forward"
    assert [move.kind for move in one.push("+main").moves] == ["forced"]
    found = two.fetch()
    assert [move.kind for move in found.moves] == ["forced"]
    assert is_whole(one) and two.is_sound()


def test_a_push_may_say_where_it_expects_refs(team: Team) -> None:
    one = team.begun()
    first = one.head
    one.commit(k1="more")
    assert refusal(lambda: one.push(expect={"heads/main": None})) == "host-moved"
    assert refusal(lambda: one.push(expect={"heads/main": one.head})) == "host-moved"
    assert [move.kind for move in one.push(expect={"heads/main": first}).moves] == ["forward"]
    assert refusal(lambda: one.push("main:other", expect={"heads/other": first})) == "host-moved"
    assert [move.kind for move in one.push("main:other", expect={"heads/other": None}).moves] == ["new"]


def test_a_tag_that_differs_stays_as_it_is_here_and_is_told_of(team: Team) -> None:
    one = team.begun()
    one.repository.create_tag("v1", "HEAD")
    one.push("v1")
    two = team.machine().init()
    two.commit(own="memory")
    two.repository.create_tag("v1", "HEAD")
    found = two.fetch()
    (kept,) = found.tags_kept
    assert (kept.name, kept.ours, kept.theirs) == ("v1", two.head, one.head)
    assert two.repository.view().refs[TAGS + "v1"] == two.head and not found.tags
    assert refusal(lambda: two.push("v1")) == "not-fast-forward"
    assert [move.kind for move in two.push("+v1").moves] == ["forced"]


# -- what is asked and not done ----------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_anywhere(team: Team) -> None:
    one = team.machine().init()
    one.commit(a="b")
    asked: list[str] = []
    one.reach = reach_to(team.connect)
    object.__setattr__(one.reach, "new_passphrase", lambda: asked.append("!") or PASSPHRASE)
    would = one.push(dry_run=True)
    assert would.created and would.objects and not asked and team.place.tip is None and not one.tracking()
    one.push()
    two = team.cloned()
    one.commit(a="c")
    operation = one.repository.log.current_id()
    would = one.push(dry_run=True)
    assert [move.kind for move in would.moves] == ["forward"] and would.objects
    assert team.place.commits == 1 and one.repository.log.current_id() == operation
    one.push()
    operation = two.repository.log.current_id()
    would_get = two.fetch(dry_run=True)
    assert [(move.new, move.kind) for move in would_get.moves] == [(one.head, "forward")]
    assert two.repository.log.current_id() == operation and one.head not in two.repository.objects


def test_nothing_is_there_to_fetch_or_clone_from_an_empty_host(team: Team) -> None:
    one = team.machine().init()
    assert refusal(one.fetch) == "host-empty"
    two = team.machine()
    assert refusal(two.clone) == "host-empty" and not two.folder.exists()


def test_a_wrong_passphrase_leaves_no_trace(team: Team) -> None:
    team.begun()
    two = team.machine()
    two.reach = reach_to(team.connect, "close sesame")
    assert refusal(two.clone) == "wrong-passphrase" and not two.folder.exists()


def test_a_clone_goes_into_a_new_or_empty_folder_only(team: Team) -> None:
    one = team.begun()
    assert refusal(one.clone) == "repository-exists"
    two = team.machine()
    two.folder.mkdir()
    (two.folder / "mine.txt").write_text("x")
    assert refusal(two.clone) == "folder-not-empty"
    (two.folder / "mine.txt").unlink()
    two.clone(branch="main")
    assert two.texts() == one.texts()
    three = team.machine()
    assert refusal(lambda: three.clone(branch="nowhere")) == "unknown-revision" and not three.folder.exists()


def test_an_interrupted_clone_goes_on_where_it_was(team: Team) -> None:
    one = team.begun()
    for number in range(4):
        one.commit(k1=f"version {number}")
        one.push()
    given: list[str] = []

    class Breaking(MemoryHost):
        left = 3

        def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
            for path, content in super().fetch(tip, paths):
                if path.startswith("packs/"):
                    if not Breaking.left:
                        raise HostError("the line is cut", code="host-unreachable")
                    Breaking.left -= 1
                    given.append(path)
                yield path, content

    team._host = lambda: Breaking(REMOTE.url, team.place)
    two = team.machine()
    assert refusal(two.clone) == "host-unreachable"
    assert not (two.folder / ".vex" / "format").exists() and len(given) == 3
    assert refusal(two.reopen) == "no-repository"
    Breaking.left = 99
    found = two.clone()
    assert len(given) == len(set(given)) == 5 and found.kept_bytes and found.packs == 5
    assert two.texts() == one.texts() and two.is_sound() and not list((two.folder / ".vex" / "tmp").glob("*/*"))
    # What was kept is looked at as if it had come now.
    Breaking.left = 3
    three = team.machine()
    assert refusal(three.clone) == "host-unreachable"
    for path in (three.folder / ".vex" / "tmp" / "clone").iterdir():
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    Breaking.left = 99
    assert three.clone().kept_bytes == 0 and three.is_sound()


def test_two_clones_into_one_folder_do_not_meet(team: Team) -> None:
    from vexrepo.storage.lock import writer_lock

    team.begun()
    two = team.machine()
    (two.folder / ".vex").mkdir(parents=True)
    with writer_lock(two.folder / ".vex" / "lock", 0):
        assert refusal(two.clone) == "repository-locked"
    two.clone()


def test_head_of_a_clone_is_main_or_the_only_branch(team: Team) -> None:
    one = team.machine().init()
    one.commit(a="b")
    one.push("main:other")
    assert team.machine().clone().branch == "other"
    one.push("main:else")
    assert team.machine().clone().branch == "else"
    one.push()
    two = team.machine()
    assert two.clone().branch == "main" and two.repository.view().own_refs == {BRANCHES + "main": one.head}


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_undo_takes_back_what_was_done_here_and_not_what_was_seen_there(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    two.commit(k1="by two")
    two.push()
    before = one.head
    one.pull()
    one.repository.undo()
    assert one.head == before and one.tracking() == {"main": two.head}


def test_another_repository_in_place_of_a_remote_is_noticed(team: Team) -> None:
    one = team.begun()
    kept, team.place = team.place, type(team.place)()
    assert refusal(one.fetch) == refusal(one.push) == "host-rolled-back"  # it is empty now
    other = team.begun()
    assert refusal(one.fetch) == refusal(one.push) == "host-replaced"
    assert one.tracking() and other.tracking()
    from vexrepo.repository import tracked

    assert tracked.forget(one.repository, REMOTE.name) == 1
    assert refusal(one.fetch) == "" and one.tracking() == other.tracking()
    team.place = kept


def test_nothing_is_sent_to_a_host_that_was_made_for_our_public_key(team: Team, tmp_path: Path) -> None:
    """An identity opens it, but its public key was all that took: whoever made it could read what we push."""
    one = team.machine().init()
    one.commit(k1="a secret")
    identity = one.around.identity
    assert identity is not None
    means = Means(lambda: 1, tmp_path / "evil", cost=CHEAP)
    Vault.create(team.connect(REMOTE.url, Access()), means, recipients=[Recipient("you", identity.key)]).publish({})
    unlock = Unlock([identity], one.reach.unlock.passphrases)
    one.reach = replace(one.reach, unlock=unlock)
    before = dict(team.place.files)
    assert refusal(one.push) == refusal(one.fetch) == refusal(lambda: one.push(force=True)) == "host-unproven"
    assert team.place.files == before
    one.reach = replace(one.reach, unlock=replace(unlock, vouches=lambda key: True))  # somebody was asked
    assert refusal(one.push) == ""


def test_a_host_whose_head_a_revoked_or_ended_key_signed_is_not_vouched_for(team: Team) -> None:
    one = team.begun()
    identity = one.around.identity
    assert identity is not None
    now_us = one.around.now_us()
    for limits, wanted in (
        ({}, True),
        ({"valid_until_us": now_us + 10**12}, True),
        ({"valid_until_us": now_us - 10**12}, False),
        ({"revoked_us": now_us + 10**12}, False),
    ):
        trust = Trust({identity.key: KnownKey("me", identity.key, **limits)})
        unlock = with_vouches(Unlock(), replace(one.around, trust=trust))
        assert unlock.vouches is not None
        assert unlock.vouches(identity.key) is wanted, limits
        assert not unlock.vouches(None) and not unlock.vouches(bytes(32))


def test_a_remote_keeps_what_was_seen_under_another_name(team: Team) -> None:
    from vexrepo.repository import tracked

    one = team.begun()
    tracked.rename(one.repository, "backup", "spare")
    assert one.repository.view().tracking("spare") == {"main": one.head} and not one.tracking()
    team.place = type(team.place)()
    team.begun()
    spare = Remote("spare", REMOTE.url)
    assert refusal(lambda: one.repository.fetch(spare, one.reach)) == "host-replaced"


def test_caches_may_go_at_any_time(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    for number in range(3):
        for machine, other in ((one, two), (two, one)):
            shutil.rmtree(machine.repository.folder / "cache", ignore_errors=True)
            machine.pull()
            machine.commit(**{f"k{number}": f"by {machine.folder.name}"})
            done = machine.push()
            assert done.objects <= 8
            shutil.rmtree(other.repository.folder / "cache", ignore_errors=True)
    one.pull()
    assert one.texts() == two.texts() and is_whole(one) and one.is_sound()


def test_a_damaged_cache_is_as_good_as_none(team: Team) -> None:
    one = team.begun()
    for path in (one.repository.folder / "cache" / "hosts").rglob("*"):
        if path.is_file():
            raw = bytearray(path.read_bytes())
            raw[-1] ^= 1
            path.write_bytes(raw)
    one.commit(k3="changed")
    assert one.push().objects <= 8
    assert is_whole(one) and team.cloned().texts() == one.texts()


# -- care of the host --------------------------------------------------------------------------------------------------


def test_compaction_leaves_one_pack_and_everybody_goes_on(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    for number in range(6):
        one.commit(k2=f"version {number}")
        one.push()
    one.push("main:gone")
    one.push(":gone")
    would = compact_host(one.repository, REMOTE, one.reach, dry_run=True)
    assert would.packs_before == 7 and would.packs_after == 1 and team.place.tip is not None
    done = compact_host(one.repository, REMOTE, one.reach)
    assert (done.packs_before, done.packs_after) == (7, 1) and done.sealed_after < done.sealed_before
    assert is_whole(one)
    assert [move.kind for move in two.fetch().moves] == ["forward"]
    two.pull()
    two.commit(k3="by two")
    assert two.push().objects <= 8
    one.pull()
    assert one.texts() == two.texts() == team.cloned().texts()


def test_after_a_compaction_nothing_that_is_here_is_fetched_again(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    compact_host(one.repository, REMOTE, one.reach)
    assert two.fetch().packs == 0
    one.commit(k3="new")
    one.push()
    found = two.fetch()
    assert found.packs == 1 and two.is_sound()
    two.pull()
    assert two.texts() == one.texts()


def test_compaction_fetches_what_it_has_not_first(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    two.branch("theirs")
    two.commit(k4="theirs")
    two.push()
    compact_host(one.repository, REMOTE, one.reach)
    three = team.machine()
    assert set(three.clone().branches) == {"main", "theirs"} and is_whole(three)


def test_another_master_key_shuts_out_who_had_the_old_one(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    done = rekey_host(one.repository, REMOTE, one.reach, passphrases={"new": "other words"}, recipients=())
    assert done.packs_after == 1
    assert refusal(two.fetch) == "wrong-passphrase"
    two.reach = reach_to(team.connect, "other words")
    one.reach = reach_to(team.connect, "other words")
    assert refusal(two.fetch) == "" and is_whole(one)
    with open_host(one.repository, REMOTE, one.reach) as vault:
        assert vault.head.keys == {} and [slot.name for slot in vault.slots] == ["new"]


def test_rekeying_without_compaction_keeps_what_is_there(team: Team) -> None:
    one = team.begun()
    rekey_host(one.repository, REMOTE, one.reach, passphrases={"new": "x y z"}, recipients=(), compact=False)
    one.reach = reach_to(team.connect, "x y z")
    one.commit(k1="later")
    one.push()
    two = team.machine()
    two.reach = one.reach
    two.clone()
    assert two.texts() == one.texts() and is_whole(two)


def test_key_slots_are_changed_through_the_repository(team: Team) -> None:
    one = team.begun()
    with open_host(one.repository, REMOTE, one.reach) as vault:
        vault.add_passphrase("second words", "laptop")
    two = team.machine()
    two.reach = reach_to(team.connect, "second words")
    two.clone()
    with open_host(two.repository, REMOTE, two.reach) as vault:
        assert {slot.name for slot in vault.slots} == {"passphrase", "laptop"} and vault.head.generation == 2


def test_a_check_counts_what_is_there(team: Team) -> None:
    one = team.begun()
    report = check_host(one.repository, REMOTE, one.reach)
    assert (report.problems, report.refs, report.packs, report.objects) == ([], 1, 1, 0)
    report = check_host(one.repository, REMOTE, one.reach, read_data=True)
    assert report.commits == 2 and report.records >= 40 and report.objects > 8


# -- together with gc --------------------------------------------------------------------------------------------------


def test_what_gc_removed_here_is_fetched_again(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    two.branch("side")
    two.commit(k4="side")
    side = two.head
    two.push()
    one.fetch()
    with one.repository.lock():
        one.repository.record(one.repository.view().with_tracking(REMOTE.name, {"main": one.head}), "test", "")
    collect(one.repository, keep_days=-1, full=True)
    assert side not in one.repository.objects
    found = one.fetch()
    assert found.packs == 1 and one.tracking()["side"] == side and one.is_sound()


def test_a_repository_that_is_collected_pushes_and_pulls_on(team: Team) -> None:
    one = team.begun()
    two = team.cloned()
    for number in range(4):
        one.commit(k1=f"one {number}")
        one.push()
        collect(one.repository, keep_days=-1, full=True)
        two.pull()
        two.commit(k2=f"two {number}")
        two.push()
        collect(two.repository, keep_days=-1, full=True)
        one.pull()
    assert one.texts() == two.texts() and one.is_sound() and two.is_sound() and is_whole(one)


def test_a_push_of_a_commit_by_its_id_works(team: Team) -> None:
    one = team.begun()
    one.push(f"{one.head.hex()[:12]}:by-id")
    assert one.tracking()["by-id"] == one.head


def test_a_commit_that_is_only_here_is_what_ahead_counts(team: Team) -> None:
    one = team.begun()
    one.commit(k1="a")
    one.commit(k1="b")
    assert one.repository.ahead_behind(one.head, one.tracking()["main"]) == (2, 0)
    changed = list(one.repository.diff(one.tracking()["main"], one.head))
    assert [each.kind for each in changed] == ["changed"]
    assert isinstance(one.head, CommitId) and isinstance(one.repository, Repository)
