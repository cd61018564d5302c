"""The Neo4j connector keeps the contract against a real engine that speaks Bolt and Cypher."""

from pathlib import Path

from tests.contract.neo4j_server import address, new_label
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.neo4j import Neo4jStore
from vexrepo.testing.stores import StoreContract


class TestNeo4j(StoreContract):
    """Nodes and relationships."""

    dims = 6

    def setup_method(self) -> None:
        self.labels: dict[Path, str] = {}

    def open_store(self, tmp_path: Path) -> Store:
        label = self.labels.setdefault(tmp_path, new_label())
        return Neo4jStore.open(address(label), create=True)
