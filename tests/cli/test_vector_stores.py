"""Vector stores on the command line: addresses, flags, variables, and secrets that never show."""

import json
import threading

import pytest

from tests.cli.conftest import record
from tests.contract.postgres import LOCKED, PASSWORD, new_database, run, server
from tests.contract.servers import SERVERS
from vexrepo.remotes.stores import pinecone_pages
from vexrepo.remotes.stores.registry import connector


@pytest.fixture
def database():
    return new_database()


@pytest.fixture
def address(database):
    return f"pgvector://{server().user}@/{database}?host={server().folder}"


def memories(path, count=5):
    lines = [
        {"id": f"m{n}", "text": f"note {n}", "vector": [n / 2, 1.0], "dims": 2, "namespace": "work"}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def url(database, user=None, password=""):
    return f"postgresql://{user or server().user}{password}@/{database}?host={server().folder}"


def test_a_repository_lives_with_a_table(vex, folder, address, database):
    memories(folder / "in.vmig.jsonl")
    assert vex("init", "--store", address).code == 0
    assert vex("import", "in.vmig.jsonl", "--to", address).code == 0
    assert vex("commit", "-m", "first").code == 0
    assert "nothing to commit" in vex("status").out
    run(
        database,
        "UPDATE vex_memories SET content = 'changed' WHERE id = 'm2'",
        "DELETE FROM vex_memories WHERE id = 'm3'",
    )
    assert "1 changed, 1 forgotten" in vex("status").out
    assert "changed" in vex("diff").out
    refused = vex("checkout", "HEAD")
    assert refused.code == 1 and "--force" in refused.err
    assert vex("checkout", "HEAD", "--force", "--concurrency", "2").code == 0
    assert run(database, "SELECT count(*), max(content) FROM vex_memories") == [(5, "note 4")]


def test_the_flags_of_the_original_tool_name_a_table(vex, folder, database):
    lines = memories(folder / "in.vmig.jsonl")
    flags = ("pgvector", "--url", url(database), "--table", "mine")
    assert vex("import", "--from", "in.vmig.jsonl", "--to", *flags).code == 0
    assert vex("export", "--from", *flags, "--output", "out.vmig.jsonl").code == 0
    found = [json.loads(line) for line in (folder / "out.vmig.jsonl").read_text().splitlines()]
    assert {each["id"]: each["text"] for each in found} == {each["id"]: each["text"] for each in lines}
    assert run(database, "SELECT count(*) FROM mine") == [(5,)]


@pytest.mark.parametrize("variable", ["PGVECTOR_URL", "DATABASE_URL"])
def test_the_environment_names_the_database_and_its_password_never_shows(vex, folder, database, monkeypatch, variable):
    memories(folder / "in.vmig.jsonl")
    run(database, f"GRANT ALL ON SCHEMA public TO {LOCKED}")
    monkeypatch.setenv(variable, url(database, LOCKED, f":{PASSWORD.replace('/', '%2F').replace(' ', '%20')}"))
    ran = vex("import", "in.vmig.jsonl", "--to", "pgvector")
    assert (ran.code, ran.err) == (0, "")
    # The same table by its address: the password is that of the same URL.
    address = f"pgvector://{LOCKED}@/{database}?host={server().folder}"
    assert vex("init", "--store", address).code == 0
    kept = vex("commit", "-m", "first")
    assert kept.code == 0
    assert "nothing to commit" in vex("status").out
    for path in folder.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes() and PASSWORD[5:].encode() not in path.read_bytes()
    monkeypatch.setenv(variable, url(database, LOCKED, ":wrong"))
    refused = vex("status")
    assert refused.code == 1 and "PGPASSWORD" in refused.err and "wrong" not in refused.err
    monkeypatch.delenv(variable)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert vex("status").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "pgvector", "--url", "postgresql://me:hunter2@db/agent"),
        ("--to", "pgvector", "--url", "postgresql://me@db/agent?password=hunter2"),
        ("--to", "pgvector://me:hunter2@db/agent"),
        ("--to", "pgvector://me@db/agent?password=hunter2"),
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(vex, folder, arguments):
    memories(folder / "in.vmig.jsonl")
    ran = vex("import", "in.vmig.jsonl", *arguments)
    assert ran.code == 2 and "password does not belong" in ran.err
    assert "hunter2" not in ran.err + ran.out


def test_a_store_that_no_flag_names_is_asked_for(vex, folder):
    memories(folder / "in.vmig.jsonl")
    ran = vex("import", "in.vmig.jsonl", "--to", "pgvector")
    assert ran.code == 2 and "--url" in ran.err and "PGVECTOR_URL" in ran.err
    ran = vex("import", "in.vmig.jsonl", "--to", "vektor:a.db", "--table", "t")
    assert ran.code == 2 and "--table does not apply" in ran.err and "pgvector" in ran.err


def test_a_text_field_can_be_named(vex, folder, database):
    run(
        database,
        "CREATE TABLE t (id text PRIMARY KEY, content text, story text)",
        "INSERT INTO t VALUES ('a', 'b', 'c')",
    )
    flags = ("pgvector", "--url", url(database), "--table", "t", "--text-field", "story")
    assert vex("export", "--from", *flags, "-o", "out.vmig.jsonl").code == 0
    (found,) = [json.loads(line) for line in (folder / "out.vmig.jsonl").read_text().splitlines()]
    assert (found["text"], found["metadata"]) == ("c", {"content": "b"})


def test_inspect_shows_what_is_what(vex, folder, database, address):
    run(
        database,
        "CREATE TABLE vex_memories (id text PRIMARY KEY, content text, topic text, vector vector(2), meta jsonb)",
        "INSERT INTO vex_memories VALUES ('a', 'x', 'tides', '[1,2]', '{\"n\": 1}')",
    )
    found = vex("inspect", address, "--json").json()
    assert found["mapping"] == {
        "id": "id text",
        "text": "content text",
        "namespace": "a member of meta: namespace",
        "model": "a member of meta: model",
        "created_at": "a member of meta: created_at",
        "vector": "vector vector(2)",
        "metadata.topic": "topic text",
        "metadata": "all members of meta",
        "everything else": "meta: _vex",
    }
    ran = vex("inspect", address)
    assert "Mapping" in ran.out and "topic text" in ran.out


def test_adapters_say_what_a_vector_store_holds(vex, folder):
    found = {each["kind"]: each for each in vex("adapters", "--json").json()["stores"]}
    assert found["pgvector"]["holds"]["named_vectors"] is True and found["jsonl"]["holds"] is None
    assert "any JSON but texts with NUL" in vex("adapters").out


@pytest.mark.parametrize("password", ["p/hunter2", "p?hunter2", "p#hunter2", "p@x:hunter2/y", "12/hunter2"])
def test_a_password_that_is_not_encoded_is_not_taken_for_a_host(vex, folder, password):
    for kind, variable, place in (
        ("pgvector", "PGVECTOR_URL", "postgres://me:{}@h/db"),
        ("redis", "REDIS_URL", "redis://:{}@h/0"),
    ):
        ran = vex("export", "--from", kind, "-o", "out.vmig.jsonl", env={variable: place.format(password)})
        assert ran.code == 2 and variable in ran.err and "%2F" in ran.err and "hunter2" not in ran.err


@pytest.mark.parametrize("name", ["qdrant", "weaviate", "pinecone"])
def test_no_command_has_more_requests_under_way_than_allowed(vex, memory, name, monkeypatch):
    with SERVERS[name]() as live:
        monkeypatch.setenv(live.variable, live.secret)
        monkeypatch.setattr(connector(live.kind), "batch_points", 20)
        monkeypatch.setattr(pinecone_pages, "_PAGE", 20)
        reply, lock, under_way, most = live.scripted.reply, threading.Lock(), 0, 0

        def counted(request):
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            try:
                return reply(request)
            finally:
                with lock:
                    under_way -= 1

        live.scripted.reply = counted
        memory.records = {f"m{n}": record(f"m{n}", f"note {n}") for n in range(150)}
        memory.write()
        store = live.address(live.port)
        assert vex("init").code == 0
        for args in (
            ("import", str(memory.path), "--to", store),
            ("export", "--from", store, "-o", "out.vmig.jsonl"),
            ("migrate", "--from", store, "--to", "other.vmig.jsonl"),
            ("commit", "--from", store, "-m", "x"),
            ("checkout", "HEAD", "--to", store, "--force"),
            ("fetch", store),
            ("pull", store),
            ("push", store),
        ):
            most = 0
            ran = vex(*args, "--concurrency", "1")
            assert ran.code == 0 and most == 1, (args, most, ran.err)
