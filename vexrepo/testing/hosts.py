"""The contract every host passes.

Subclass ``HostContract`` in a test module, say how to open an empty host, and let pytest collect it::

    class TestMyHost(HostContract):
        def open_host(self, tmp_path):
            return MyHost.open(f"myhost://{self.place}", Access())

What is proved is the ground that law 7 stands on: opaque files come back as they were published, and of two writers
that saw the same tip exactly one publishes.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from vexrepo.errors import HostError, VexError
from vexrepo.remotes.hosts.base import Host, HostFile, HostMoved, Tip
from vexrepo.remotes.hosts.tips import decode_tip, encode_tip

LARGE_BYTES = 1 << 24  # a part's content, before it is sealed
PART = "packs/0f/0f" + "5a" * 15


def noise(size: int, seed: str = "") -> bytes:
    """Return bytes that do not compress, the same at every call."""
    return hashlib.shake_128(seed.encode()).digest(size)


def read_all(host: Host) -> dict[str, bytes]:
    """Return the contents of all files at a host, each fetched once."""
    tip = host.read_tip()
    assert tip is not None
    pairs = list(host.fetch(tip, tip.files))
    assert len(pairs) == len(tip.files)
    return dict(pairs)


class HostContract(ABC):
    """Tests that every host passes.

    ``open_host`` opens the same, at first empty, host at every call of a test, from several threads as well.
    """

    writers = 4  # at once, in the test of races

    @abstractmethod
    def open_host(self, tmp_path: Path) -> Host:
        """Return the host under test, open; nothing has been published before a test's first call."""

    def _publish(self, tmp_path: Path, files: dict[str, bytes | Path]) -> Tip:
        with self.open_host(tmp_path) as host:
            return host.publish(host.read_tip(), files)

    def test_an_empty_host_has_no_tip(self, tmp_path: Path) -> None:
        with self.open_host(tmp_path) as host:
            assert host.read_tip() is None
            assert host.read_tip() is None

    def test_what_was_published_is_read_and_fetched_by_anybody(self, tmp_path: Path) -> None:
        files = {"vexrepo": b"{}", "head": noise(3000), PART: noise(70_000), "empty": b"", "zeros": b"\0" * 200_000}
        with self.open_host(tmp_path) as host:
            published = host.publish(None, dict(files))
            assert published.files.keys() == files.keys()
            assert host.read_tip() == published
            assert read_all(host) == files
        with self.open_host(tmp_path) as host:
            assert host.read_tip() == published
            assert read_all(host) == files

    def test_each_tip_has_a_version_of_its_own(self, tmp_path: Path) -> None:
        with self.open_host(tmp_path) as host:
            tip: Tip | None = None
            versions = set()
            for place in range(4):
                tip = host.publish(tip, {"head": str(place).encode()})
                versions.add(tip.version)
            assert len(versions) == 4

    def test_files_are_added_replaced_and_removed(self, tmp_path: Path) -> None:
        first = self._publish(tmp_path, {"vexrepo": b"1", "head": b"1", "packs/aa/a": b"a", "packs/bb/b": b"b"})
        with self.open_host(tmp_path) as host:
            tip = host.publish(first, {"head": b"2", "packs/cc/c": b"c"}, ["packs/aa/a"])
            assert tip.files.keys() == {"vexrepo", "head", "packs/bb/b", "packs/cc/c"}
            assert tip.files["vexrepo"] == first.files["vexrepo"]
            assert tip.files["head"] != first.files["head"]
            assert read_all(host) == {"vexrepo": b"1", "head": b"2", "packs/bb/b": b"b", "packs/cc/c": b"c"}
            tip = host.publish(tip, {}, ["packs/bb/b", "packs/cc/c", "not/there"])
            assert tip.files.keys() == {"vexrepo", "head"}
        with self.open_host(tmp_path) as host:
            assert read_all(host) == {"vexrepo": b"1", "head": b"2"}

    def test_a_path_is_removed_before_files_are_added(self, tmp_path: Path) -> None:
        tip = self._publish(tmp_path, {"head": b"1"})
        with self.open_host(tmp_path) as host:
            host.publish(tip, {"head": b"2"}, ["head"])
            assert read_all(host) == {"head": b"2"}

    def test_the_same_content_at_two_paths_is_fetched_for_each(self, tmp_path: Path) -> None:
        self._publish(tmp_path, {"head": b"same", "packs/aa/a": b"same", "packs/bb/b": b"same"})
        with self.open_host(tmp_path) as host:
            tip = host.read_tip()
            assert tip is not None
            assert sorted(host.fetch(tip, ["head", "packs/bb/b"])) == [("head", b"same"), ("packs/bb/b", b"same")]
            assert list(host.fetch(tip, ["head", "head"])) == [("head", b"same")]

    def test_files_that_are_published_come_from_the_disk_as_well(self, tmp_path: Path) -> None:
        source = tmp_path / "part"
        source.write_bytes(noise(300_000))
        self._publish(tmp_path, {"head": b"1", PART: source})
        with self.open_host(tmp_path) as host:
            assert read_all(host) == {"head": b"1", PART: noise(300_000)}

    def test_a_large_file_comes_back_as_it_was(self, tmp_path: Path) -> None:
        source = tmp_path / "part"
        source.write_bytes(noise(LARGE_BYTES))
        self._publish(tmp_path, {"head": b"1", PART: source})
        with self.open_host(tmp_path) as host:
            tip = host.read_tip()
            assert tip is not None
            ((path, content),) = host.fetch(tip, [PART])
            assert path == PART and content == noise(LARGE_BYTES)

    def test_many_files_come_back_and_some_of_them_alone(self, tmp_path: Path) -> None:
        files: dict[str, bytes | Path] = {
            f"packs/{place % 256:02x}/{place:032x}": noise(place % 500, str(place)) for place in range(1200)
        }
        self._publish(tmp_path, files)
        with self.open_host(tmp_path) as host:
            assert read_all(host) == files
            tip = host.read_tip()
            assert tip is not None
            some = sorted(files)[::100]
            assert dict(host.fetch(tip, some)) == {path: files[path] for path in some}
            assert list(host.fetch(tip, [])) == []

    def test_paths_a_tip_has_not_are_refused(self, tmp_path: Path) -> None:
        tip = self._publish(tmp_path, {"head": b"1"})
        with self.open_host(tmp_path) as host:
            missing = ("host-file-missing", HostError)
            assert _code(lambda: list(host.fetch(tip, ["other"]))) == missing
            assert _code(lambda: list(host.fetch(tip, ["head", "packs/aa/a"]))) == missing

    def test_content_that_a_host_does_not_have_is_missed(self, tmp_path: Path) -> None:
        tip = self._publish(tmp_path, {"head": b"1"})
        with self.open_host(tmp_path) as host:
            told = Tip(tip.version, {**tip.files, PART: HostFile("0123456789" * 4)})
            assert _code(lambda: list(host.fetch(told, [PART]))) == ("host-file-missing", HostError)

    def test_a_publish_onto_nothing_is_refused_where_something_is(self, tmp_path: Path) -> None:
        tip = self._publish(tmp_path, {"head": b"1"})
        with self.open_host(tmp_path) as host:
            self._is_moved(host, None, {"head": b"2"})
            assert host.read_tip() == tip and read_all(host) == {"head": b"1"}

    def test_a_publish_onto_an_older_tip_is_refused(self, tmp_path: Path) -> None:
        first = self._publish(tmp_path, {"head": b"1"})
        second = self._publish(tmp_path, {"head": b"2"})
        with self.open_host(tmp_path) as host:
            for alone in (False, True):
                self._is_moved(host, first, {"head": b"3"}, alone=alone)
            assert host.read_tip() == second and read_all(host) == {"head": b"2"}

    def test_a_publish_onto_a_tip_that_never_was_is_refused(self, tmp_path: Path) -> None:
        never = Tip("9" * 40, {"head": HostFile("8" * 40)})
        with self.open_host(tmp_path) as host:
            self._is_moved(host, never, {"head": b"2"})
            assert host.read_tip() is None

    def test_alone_leaves_what_was_before_behind_and_only_from_where_it_is_expected(self, tmp_path: Path) -> None:
        first = self._publish(tmp_path, {"vexrepo": b"1", "head": b"1", "packs/aa/a": b"a"})
        second = self._publish(tmp_path, {"head": b"2", "packs/bb/b": b"b"})
        with self.open_host(tmp_path) as host:
            tip = host.publish(second, {"head": b"3", PART: b"all"}, ["packs/aa/a", "packs/bb/b"], alone=True)
            assert read_all(host) == {"vexrepo": b"1", "head": b"3", PART: b"all"}
            self._is_moved(host, second, {"head": b"4"})
            self._is_moved(host, first, {"head": b"4"}, alone=True)
            tip = host.publish(tip, {"head": b"5"})
        with self.open_host(tmp_path) as host:
            assert host.read_tip() == tip
            assert read_all(host) == {"vexrepo": b"1", "head": b"5", PART: b"all"}

    def test_alone_is_possible_at_an_empty_host(self, tmp_path: Path) -> None:
        with self.open_host(tmp_path) as host:
            host.publish(None, {"head": b"1"}, alone=True)
            assert read_all(host) == {"head": b"1"}

    def test_reading_changes_nothing(self, tmp_path: Path) -> None:
        tip = self._publish(tmp_path, {"head": b"1", PART: noise(5000)})
        with self.open_host(tmp_path) as host:
            for _ in range(3):
                assert host.read_tip() == tip
                assert dict(host.fetch(tip, [PART])) == {PART: noise(5000)}
            host.publish(tip, {"head": b"2"})

    def test_a_fetch_may_be_left_before_its_end(self, tmp_path: Path) -> None:
        tip = self._publish(tmp_path, {f"packs/aa/{place}": noise(40_000, str(place)) for place in range(30)})
        with self.open_host(tmp_path) as host:
            for _ in range(3):
                stream = host.fetch(tip, tip.files)
                path, content = next(stream)
                assert content == noise(40_000, path.rpartition("/")[2])
                assert isinstance(stream, Iterator)
                del stream
            assert len(read_all(host)) == 30

    def test_a_tip_remembered_from_before_serves_as_one_just_read(self, tmp_path: Path) -> None:
        first = self._publish(tmp_path, {"vexrepo": b"1", "head": b"1", "packs/aa/a": b"a"})
        kept = decode_tip(encode_tip(first))
        assert kept == first
        with self.open_host(tmp_path) as host:
            host.recall(kept)
            assert host.peek() == first.version
            assert host.read_tip() == first
            second = host.publish(kept, {"head": b"2", "packs/bb/b": b"b"})
        third = self._publish(tmp_path, {"head": b"3"})
        with self.open_host(tmp_path) as host:
            host.recall(second)  # no longer there
            assert host.peek() == third.version
            assert host.read_tip() == third
            assert read_all(host) == {"vexrepo": b"1", "head": b"3", "packs/aa/a": b"a", "packs/bb/b": b"b"}

    def test_of_writers_that_race_exactly_one_publishes(self, tmp_path: Path) -> None:
        tip: Tip | None = None
        for turn in range(3):
            outcomes: list[str] = []
            barrier = threading.Barrier(self.writers)

            def write(
                name: str,
                tip: Tip | None = tip,
                turn: int = turn,
                barrier: threading.Barrier = barrier,
                outcomes: list[str] = outcomes,
            ) -> None:
                try:
                    with self.open_host(tmp_path) as host:
                        barrier.wait(120)
                        host.publish(
                            tip, {"head": f"{turn} {name}".encode(), f"packs/aa/{turn}{name}": noise(9000, name)}
                        )
                    outcomes.append(name)
                except HostMoved:
                    outcomes.append("")
                except BaseException as error:
                    outcomes.append(f"{name}: {error!r}")

            threads = [threading.Thread(target=write, args=(f"w{place}",)) for place in range(self.writers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            winners = [name for name in outcomes if name]
            assert len(winners) == 1 and len(outcomes) == self.writers, outcomes
            with self.open_host(tmp_path) as host:
                tip = host.read_tip()
                assert tip is not None
                assert dict(host.fetch(tip, ["head"])) == {"head": f"{turn} {winners[0]}".encode()}
                assert sum(path.startswith(f"packs/aa/{turn}") for path in tip.files) == 1

    def _is_moved(self, host: Host, expected: Tip | None, add: dict[str, bytes | Path], *, alone: bool = False) -> None:
        assert _code(lambda: host.publish(expected, add, alone=alone)) == ("host-moved", HostMoved)


def _code(action: Callable[[], object]) -> tuple[str, type[VexError]] | None:
    try:
        action()
    except VexError as error:
        return error.code, type(error)
    return None
