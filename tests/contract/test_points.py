"""Stores of points keep the contract, whatever they can hold."""

from pathlib import Path

from tests.contract.points import KINDS, SERVERS, MemoryStore, serve
from vexrepo.remotes.stores.base import Store
from vexrepo.testing.stores import StoreContract


class _Points(StoreContract):
    what = "everything"
    dims = 6

    def open_store(self, tmp_path: Path) -> Store:
        name = str(tmp_path).replace("/", "-")
        return MemoryStore.open(serve(name, KINDS[self.what]), create=True)

    def teardown_method(self) -> None:
        SERVERS.clear()


class TestEverything(_Points):
    dims = None


class TestScalars(_Points):
    what = "scalars"


class TestNothing(_Points):
    what = "nothing"
    dims = None


class TestUuids(_Points):
    what = "uuids"


class TestUuidsOnly(_Points):
    what = "uuids-only"


class TestNumbers(_Points):
    what = "numbers"


class TestFilled(_Points):
    what = "filled"


class TestShortIds(_Points):
    what = "short-ids"


class TestNeedsVector(_Points):
    what = "needs-vector"


class TestScales(_Points):
    what = "scales"
    alters = True


class TestHalves(_Points):
    what = "halves"
    alters = True
