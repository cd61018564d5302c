"""One hostile file, one failure, one exact code (objects/vectors/v1/hostile)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import reference_reader as reference
from vexrepo.errors import CODES, InvalidData, Tampered, VexError
from vexrepo.formats import vmig
from vexrepo.objects import tree, vector
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import BodiesId, CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature, is_good, message_of
from vexrepo.objects.snapshot import Snapshot
from vexrepo.objects.vector import Space
from vexrepo.storage.files import Files
from vexrepo.storage.store import ObjectStore

FILES = sorted((Path(__file__).parents[2] / "objects/vectors/v1/hostile").glob("*.json"))
DECODERS = {
    "line": vmig.parse_record,
    "space": Space.decode,
    "leaf": tree.Leaf.decode,
    "node": tree.Node.decode,
    "bodies": tree.decode_bodies,
    "vectors": tree.decode_vectors,
    "snapshot": Snapshot.decode,
    "commit": Commit.decode,
    "signature": Signature.decode,
}


def read_pack(case: dict[str, Any], folder: Path) -> None:
    """Ask a store with this pack for the object of the case, or check the pack as fsck does."""
    store = ObjectStore(folder, Files())
    if "get" in case:
        store.get(BodiesId(bytes.fromhex(case["get"]["id"])), ObjectType(case["get"]["type"]))
    else:
        for name in store.packs:
            store.reader(name).check()


def code_of(case: dict[str, Any], raw: bytes, folder: Path) -> str:
    """Return the code of the error that reading a case gives."""
    if case["kind"] == "verify":
        given = case["input"]
        signature = Signature.decode(given["payload"].encode())
        return "good" if is_good(signature, message_of(CommitId.parse(given["commit"]))) else "signature-bad"
    try:
        if case["kind"] == "pack":
            (folder / f"00000001-{'0' * 32}.pack").write_bytes(raw)
            read_pack(case, folder)
        elif case["kind"] == "row":
            given = json.loads(raw)
            vector.check_row(Space.decode(given["space"].encode()), bytes.fromhex(given["row"]))
        else:
            DECODERS[case["kind"]](raw)  # type: ignore[operator]
    except (InvalidData, Tampered) as error:
        return error.code if 0 < len(str(error)) < 700 else f"{error.code}, with a message nobody can read"
    return "accepted"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_hostile_file_gives_its_code_and_nothing_else(path: Path, tmp_path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    assert case["code"] in CODES
    given = case["input"]
    raw = given["text"].encode() if "text" in given else bytes.fromhex(given.get("hex", ""))
    assert code_of(case, raw, tmp_path) == case["code"], case["what"]


def test_there_are_hostile_files_of_every_kind() -> None:
    kinds = {json.loads(path.read_text("utf-8"))["kind"] for path in FILES}
    assert kinds == {*DECODERS, "row", "verify", "pack"}
    assert len(FILES) > 140


REFERENCE = {
    "space": reference.parse_space,
    "leaf": reference.parse_leaf,
    "node": reference.parse_node,
    "bodies": reference.parse_bodies,
    "vectors": reference.parse_vectors,
}


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem.split("-")[0] in {*REFERENCE, "row"}], ids=lambda path: path.stem
)
def test_the_reader_written_from_the_page_refuses_it_too(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    given = case["input"]
    raw = given["text"].encode() if "text" in given else bytes.fromhex(given["hex"])
    with pytest.raises((reference.Damaged, OverflowError)):
        if case["kind"] == "row":
            value = json.loads(raw)
            reference.vector_value(reference.parse_space(value["space"].encode()), bytes.fromhex(value["row"]))
        else:
            REFERENCE[case["kind"]](raw)


def test_every_error_of_reading_is_one_of_ours() -> None:
    """A guard for this file: an unexpected exception type would fail the tests above, not pass them."""
    with pytest.raises(VexError):
        tree.Leaf.decode(b"\xff" * 40)
