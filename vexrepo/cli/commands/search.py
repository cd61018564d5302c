"""``vex search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.changes import TEXT_WIDTH, key_label
from vexrepo.cli.options import REVISION, as_json, example, filtering, filters
from vexrepo.cli.output import emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import iso, moment, plain
from vexrepo.errors import InvalidData, UsageError

if TYPE_CHECKING:
    from vexrepo.history.terms import Query
    from vexrepo.objects.digest import CommitId
    from vexrepo.objects.vector import Space
    from vexrepo.repository import Repository
    from vexrepo.repository.searching import Hit, Moment

BEFORE = 30  # characters shown before the first word found in a long text
TAGS_SHOWN = 8


@click.command(
    epilog=example(
        "vex search invoice march",
        "vex search '\"async communication\" call* -email' --at v1",
        "vex search pepe --history                 also what was forgotten since",
        "vex search --like mem_8f3a1c              memories near one",
        "vex search --vec-query @question.json --json",
    )
)
@click.argument("words", nargs=-1, metavar="[QUERY]")
@click.option("--at", "revision", metavar="REV", default="HEAD", type=REVISION, help="Search this commit, not HEAD.")
@click.option("--vec-query", metavar="JSON|@FILE", help="Search by vector: an array of numbers, or a file of one.")
@click.option("--like", metavar="ID", help="Search for memories near one, by its vector.")
@click.option("--history", is_flag=True, help="Search all versions up to REV, with when they came and went.")
@filtering
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", default=10, help="At most N memories, not 10.")
@as_json
@pass_edge
def search(
    edge: Edge,
    words: tuple[str, ...],
    revision: str,
    vec_query: str | None,
    like: str | None,
    history: bool,
    namespaces: tuple[str, ...],
    components: tuple[str, ...],
    min_importance: float | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find memories by words or by vector, at any commit.

    A memory with any of the words is found in its text, its tags, or the questions it may answer; the best come first
    (BM25).  word* is the beginning of a word, "two words" a phrase, -word leaves out; write the query in
    single quotes to keep these from the shell.  --vec-query and --like compare vectors exactly (cosine).

    Finding nothing is no failure: the exit code is 0.
    """
    from vexrepo.history.terms import parse_query
    from vexrepo.repository.searching import search_history, search_text

    text = " ".join(words)
    if (bool(text.strip()), vec_query is not None, like is not None).count(True) != 1:
        raise UsageError("give one of: words to search for, --vec-query, --like", code="bad-option")
    if history and not text.strip():
        raise UsageError("--history searches by words; name a commit with --at to search by vector", code="bad-option")
    query = parse_query(text) if text.strip() else None
    repository = edge.repository()
    commit = repository.resolve(revision)
    chosen = filters(edge, namespaces, components, min_importance, since) or None
    space = None
    if query is None:
        hits, space = _by_vector(repository, commit, vec_query, like, limit, chosen)
    elif history:
        hits = search_history(repository, commit, query, limit=limit, selection=chosen)
    else:
        hits = search_text(repository, commit, query, limit=limit, selection=chosen)
    if as_json:
        emit([_hit_json(hit, history) for hit in hits])
        return
    for hit in hits:
        say(_hit_line(hit, query))
        if hit.appeared is not None:
            say("      " + quiet(_life_words(hit)))
    if not hits:
        say(_nothing(query, commit, history, bool(chosen)))
    elif space is not None:
        say(quiet(f"by cosine in {plain(space.label)}"))


def _by_vector(
    repository: Repository, commit: CommitId, vec_query: str | None, like: str | None, limit: int, chosen: Any
) -> tuple[list[Hit], Space]:
    from vexrepo.objects.vector import floats
    from vexrepo.repository.searching import search_vector

    if like is None:
        assert vec_query is not None
        return search_vector(repository, commit, _numbers(vec_query), limit=limit, selection=chosen)
    found = repository.find(commit, like)
    if not found:
        raise UsageError(f"there is no memory {like!r} at {commit.short}", code="unknown-record")
    if len(found) > 1:
        names = ", ".join(key_label(each.reader.leaf.keys[each.row]) for each in found[:5])
        raise UsageError(f"several memories have the id {like!r}: {names}; name one of these", code="bad-option")
    record = found[0].record
    dense = [each for each in record.vectors if each.space.kind == "dense"]
    if not dense:
        raise UsageError(f"the memory {like!r} has no dense vector to compare by", code="bad-option")
    numbers = floats(dense[0].space, dense[0].row).tolist()
    return search_vector(
        repository, commit, numbers, limit=limit, selection=chosen, like=dense[0].space, leave_out=record.key
    )


def _numbers(text: str) -> list[float]:
    """Return the array of numbers of ``--vec-query``.  Raises: UsageError (bad-option)."""
    from vexrepo.objects import canonical
    from vexrepo.objects.vector import pack_numbers, unpack_numbers

    raw = text.encode("utf-8", "replace")
    if text.startswith("@"):
        try:
            with open(text[1:], "rb") as file:
                raw = file.read()
        except OSError as error:
            raise UsageError(f"--vec-query: cannot read {text[1:]}: {error.strerror}", code="bad-option") from None
    try:
        value = canonical.parse(raw)
        if not isinstance(value, list) or not value:
            raise UsageError("--vec-query: expected a JSON array of numbers, or @FILE with one", code="bad-option")
        return unpack_numbers(*pack_numbers(value))
    except InvalidData as error:
        raise UsageError(f"--vec-query: {error}", code="bad-option") from error


def _hit_line(hit: Hit, query: Query | None) -> str:
    """Return ``4.21  ns/id   text with words found in bold   #tag #tag``."""
    from vexrepo.history.search import tags_of
    from vexrepo.objects.record import body_value

    value = body_value(hit.record.body)
    text = value.get("text")
    tags = tags_of(value)
    more = f" +{len(tags) - TAGS_SHOWN}" if len(tags) > TAGS_SHOWN else ""
    parts = [
        f"{hit.score:6.3f}  {heading(key_label(hit.key))}",
        _marked(text, query) if isinstance(text, str) and text else quiet("(no text)"),
        " ".join("#" + (_marked(tag, query)) for tag in tags[:TAGS_SHOWN]) + more,
    ]
    return "   ".join(part for part in parts if part)


def _marked(text: str, query: Query | None) -> str:
    """Return a text, cut around the first words found, harmless for a terminal, with words found in bold."""
    spans = query.spans(text) if query is not None else []
    start, end = 0, len(text)
    if len(text) > TEXT_WIDTH:
        if spans and spans[0][1] > TEXT_WIDTH - BEFORE // 2:
            start = max(0, min(spans[0][0] - BEFORE, len(text) - TEXT_WIDTH))
            start = text.find(" ", start, spans[0][0]) + 1 or start
        end = min(len(text), start + TEXT_WIDTH)
    parts = ["… " if start else ""]
    at = start
    for first, last in spans:
        if last <= at or first >= end:
            continue
        parts += (plain(text[at:first]), click.style(plain(text[max(first, at) : min(last, end)]), bold=True))
        at = min(last, end)
    return "".join((*parts, plain(text[at:end].rstrip()), "…" if end < len(text) else ""))


def _life_words(hit: Hit) -> str:
    """Return ``from 3f9c2d1 (2026-11-20 08:00) to 02bb71e (…)``."""

    def words(found: Moment) -> str:
        return f"{found.commit.short} ({moment(found.time_us).strftime('%Y-%m-%d %H:%M')})"

    assert hit.appeared is not None
    gone = f"gone since {words(hit.vanished)}" if hit.vanished is not None else "still there"
    return f"since {words(hit.appeared)}, {gone}"


def _nothing(query: Query | None, commit: CommitId, history: bool, selects: bool) -> str:
    where = f"up to {commit.short}" if history else f"at {commit.short}"
    hints = []
    if query is not None:
        words = [term.words[0] for term in query.terms if len(term.words) == 1 and not term.is_prefix]
        if words:
            hints.append(f"beginnings of words: {plain(words[0])}*")
        if not history:
            hints.append("what is gone: --history")
    if selects:
        hints.append("other namespaces and components: leave the options out")
    return f"nothing found {where}" + (f"; try {', or '.join(hints)}" if hints else "")


def _hit_json(hit: Hit, history: bool) -> dict[str, Any]:
    from vexrepo.history.search import tags_of
    from vexrepo.objects.record import body_value, split_key

    def when(found: Moment | None) -> dict[str, str] | None:
        return None if found is None else {"commit": found.commit.hex(), "time": iso(found.time_us)}

    value = body_value(hit.record.body)
    namespace, identifier = split_key(hit.key)
    text = value.get("text")
    found: dict[str, Any] = {
        "score": round(hit.score, 6),
        "namespace": namespace,
        "id": identifier,
        "text": text if isinstance(text, str) else "",
        "tags": tags_of(value),
        "commit": hit.commit.hex(),
        "record": hit.record.id.hex(),
    }
    if history:
        found.update(appeared=when(hit.appeared), vanished=when(hit.vanished))
    return found
