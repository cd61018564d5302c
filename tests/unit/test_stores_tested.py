"""The page that says what each store was tested against leaves none out, and says the versions that are pinned."""

import re
from pathlib import Path

import pytest

from tests.cli.test_bad_stores import FILES, PLACES
from tests.contract import chroma_server, lancedb_engine, milvus_server, neo4j_server
from tests.contract.servers import BY_HTTP, SERVERS
from vexrepo.remotes.stores.registry import kinds

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "stores-tested.md").read_text("utf-8")


def table(title: str) -> list[list[str]]:
    """Return the rows of the table below a title, without its head."""
    part = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("title", ["Engines", "Trouble"])
def test_every_connector_is_in_the_table(title: str) -> None:
    named = {name for row in table(title) for name in re.findall(r"`([\w-]+)`", row[0])}
    assert named == set(kinds())


def test_the_readme_names_every_connector_as_well() -> None:
    rows = (ROOT / "README.md").read_text("utf-8").partition("## Stores\n")[2].partition("\n## ")[0]
    assert not [kind for kind in kinds() if f"{kind}:" not in rows and kind != "numpy"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("`chroma`", chroma_server.VERSION),
        ("`milvus`", milvus_server.VERSION),
        ("`neo4j`", neo4j_server.VERSION.partition(".post")[0]),
        ("`lancedb`", lancedb_engine.VERSION),
    ],
)
def test_the_versions_that_are_pinned_are_those(row: str, said: str) -> None:
    (found,) = [each[1] for each in table("Engines") if each[0] == row]
    assert said in found


def test_what_is_marked_as_shown_on_all_stores_is_tried_on_all() -> None:
    servers = {name.partition(" ")[0].replace("valkey", "redis") for name in SERVERS}
    for name, marks in trouble().items():
        kind = name.split()[0].strip("`")
        assert (name.strip("`") in servers) != (kind in FILES or " in a " in name)
        assert marks["missing"].startswith("✓") and marks["HTML"].startswith("✓")
        for head in ("down", "dims", "cut"):
            assert name.strip("`") not in servers or marks[head] == "✓", (name, head)
        assert (marks["429"] == "✓") == (name.strip("`") in BY_HTTP), name
    assert len(trouble()) == len(servers | PLACES.keys())


def test_every_mark_has_a_test_and_every_test_that_is_named_is_there() -> None:
    servers = {f"`{name.partition(' ')[0].replace('valkey', 'redis')}`" for name in SERVERS}
    marked = {(name, head) for name, marks in trouble().items() for head, mark in marks.items() if mark.startswith("✓")}
    shown = set[tuple[str, str]]()
    for head, words, test in table("Where each is shown"):
        on, _, but = words.partition(" but ")
        every = {"servers": servers, "files": trouble().keys() - servers}.get(on) or set(on.split(", "))
        shown |= {(name, head) for name in every - set(but.split(", "))}
        path, _, name = test.strip("`").partition("::")
        assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), test
    assert shown == marked


def trouble() -> dict[str, dict[str, str]]:
    """Return the marks of each row of the table of trouble, by column."""
    (head,) = (line for line in PAGE.splitlines() if line.startswith("| store | down |"))
    heads = [cell.strip() for cell in head.strip("|").split("|")][1:]
    return {name: dict(zip(heads, cells, strict=True)) for name, *cells in table("Trouble")}


def test_the_files_of_tests_that_are_named_are_there() -> None:
    for pattern in re.findall(r"`(tests/[^`:]+)", PAGE):
        before, brace, rest = pattern.partition("{")
        inner, _, after = rest.partition("}")
        for each in inner.split(",") if brace else [""]:
            assert list(ROOT.glob(before + each + after)), pattern
