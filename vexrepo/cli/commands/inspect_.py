"""``vex inspect``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.bars import bar_lines, columns, cut, pad
from vexrepo.cli.options import as_json, example, filtering, filters
from vexrepo.cli.output import added, changed, emit, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, size_words

if TYPE_CHECKING:
    from vexrepo.exchange.inspecting import Lengths, Summary, Tally
    from vexrepo.exchange.inspecting_files import Files, Sidecar, Signature
    from vexrepo.objects.vector import Space
    from vexrepo.remotes.stores.address import Address

TOP = 10
ROWS = 36  # of a histogram of dates
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.command(
    name="inspect",
    epilog=example(
        "vex inspect memories.vmig.jsonl",
        "vex inspect vektor:agent.db --namespace work",
        "vex inspect memories.vmig.jsonl --json",
    ),
)
@click.argument("source", metavar="FILE|STORE")
@filtering
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Look at the first N only.")
@as_json
@pass_edge
def inspect(
    edge: Edge,
    source: str,
    namespaces: tuple[str, ...],
    components: tuple[str, ...],
    min_importance: float | None,
    since: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Say what a file or store holds.

    Counts, namespaces, embeddings and their lengths, dates, texts and metadata; for a vmig file also what its sidecar
    and signature say.  Reads everything once and changes nothing.
    """
    from vexrepo.exchange.inspecting import inspect as read
    from vexrepo.exchange.inspecting_files import read_files
    from vexrepo.remotes.stores.jsonl import JsonlStore
    from vexrepo.remotes.stores.registry import open_store

    address = edge.address(source)
    chosen = filters(edge, namespaces, components, min_importance, since) or None
    with open_store(address) as store:
        description = store.describe()
        is_file = isinstance(store, JsonlStore)
        total = store.size_bytes if isinstance(store, JsonlStore) else description.count
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            edge.progress("reading bytes" if is_file else "reading", done, total)

        summary = read(store, chosen, limit=limit, advance=advance)
        files, mapping = read_files(store), store.mapping()
    if as_json:
        found = _json(address, description.config, summary, files, whole=chosen is None and limit is None)
        emit({**found, "mapping": mapping})
    else:
        _print(address, description.config, summary, files, whole=chosen is None and limit is None)
        _print_mapping(mapping)


# -- for people ----------------------------------------------------------------------------------------------------


def _print(address: Address, config: dict[str, Any], summary: Summary, files: Files, *, whole: bool) -> None:
    size = f" · {size_words(files.size_bytes)}" if files.size_bytes is not None else ""
    say(f"{heading(plain(str(address)))}{size} · {counted(summary.records, 'record')}{'' if whole else ' selected'}")
    if summary.records:
        facts = [f"{summary.with_text:,} with text", f"{summary.with_vector:,} with vector"]
        if summary.with_neither:
            facts.append(removed(f"{summary.with_neither:,} with neither"))
        if summary.undated:
            facts.append(f"{summary.undated:,} without date")
        say("  " + " · ".join(facts))
    problems = sum(summary.problems.counts.values())
    if problems:
        what = ", ".join(f"{code} {count:,}" for code, count in summary.problems.top(TOP))
        say("  " + removed(f"{counted(problems, 'record')} cannot be read") + f": {what}; see: vex validate")
    _print_embeddings(summary)
    _print_tally("Namespaces", summary.namespaces, summary.records, "(none)")
    _print_tally("Memory types", summary.components, summary.records, "(none)")
    _print_tally("Sources", summary.sources, summary.records, "(none)")
    _print_dates(summary)
    _print_texts(summary)
    _print_metadata(summary)
    _print_tally("Edges", summary.edges, 0, "(no type)")
    _print_files(config, summary, files, whole=whole)


def _title(text: str) -> None:
    say()
    say(click.style(text, bold=True))


def _print_tally(title: str, tally: Tally[str], everything: int, absent: str) -> None:
    """Print the most frequent values; nothing where no record has one."""
    if not tally.counts or (everything and set(tally.counts) == {""}):
        return
    if len(tally.counts) == 1:
        _title(f"{title}  {quiet(cut(next(iter(tally.counts)) or absent))}")
        return
    different = len(tally.counts) - ("" in tally.counts)
    _title(f"{title}  {quiet('many' if tally.beyond else f'{different:,}')}")
    for line in bar_lines([(value or absent, count) for value, count in tally.top(TOP)]):
        say(line)
    if len(tally.counts) > TOP:
        rest = sum(tally.counts.values()) + tally.beyond - sum(count for _, count in tally.top(TOP))
        say(quiet(f"  … and {len(tally.counts) - TOP:,}{' or more' if tally.beyond else ''} others: {rest:,}"))


def _print_embeddings(summary: Summary) -> None:
    if not summary.spaces.counts:
        return
    _title(f"Embeddings  {quiet(f'{summary.lengths.count:,}')}")
    spaces = [(_space_words(space), count) for space, count in summary.spaces.top(TOP)]
    for line in bar_lines(spaces) if len(spaces) > 1 else [f"  {cut(spaces[0][0])}"]:
        say(line)
    if len(summary.spaces.counts) > TOP:
        say(quiet(f"  … and {len(summary.spaces.counts) - TOP:,} other kinds"))
    lengths = summary.lengths
    parts = [f"lengths {lengths.least:.4g} to {lengths.most:.4g}, mean {lengths.mean:.4g}"]
    if lengths.unit == lengths.count:
        parts = ["all of unit length"]
    elif lengths.unit:
        parts.append(f"{lengths.unit:,} of unit length")
    if lengths.zero:
        parts.append(removed(f"{lengths.zero:,} all zeros"))
    say("  " + " · ".join(parts))
    if lengths.unit != lengths.count:
        for line in bar_lines(_length_rows(lengths), indent="    "):
            say(line)


def _space_words(space: Space) -> str:
    kind = "" if space.kind == "dense" else f" {space.kind}"
    dims = f"{space.dims} dims" if space.dims else ""
    words = ", ".join(part for part in (space.name, space.model or "no model", dims) if part)
    return f"{words} {space.dtype}{kind}"


def _length_rows(lengths: Lengths) -> list[tuple[str, int]]:
    """Return the lengths in up to eight steps of one size."""
    low, high = min(lengths.rounded.counts, default=0.0), max(lengths.rounded.counts, default=0.0)
    if low == high:
        return []
    step = (high - low) / 8
    rows: Counter[int] = Counter()
    for value, count in lengths.rounded.counts.items():
        rows[min(7, int((value - low) / step))] += count
    return [(f"{low + place * step:.4g} – {low + (place + 1) * step:.4g}", rows[place]) for place in range(8)]


def _print_dates(summary: Summary) -> None:
    if summary.earliest_us is None or summary.latest_us is None:
        return
    _title(f"Dates  {quiet(f'{_day(summary.earliest_us)} to {_day(summary.latest_us)} (UTC)')}")
    rows = date_rows(summary.days.counts)
    for line in bar_lines(rows[-ROWS:]) if len(rows) > 1 else []:
        say(line)
    if len(rows) > ROWS:
        say(quiet(f"  and {sum(count for _, count in rows[:-ROWS]):,} earlier"))


def _day(time_us: int) -> str:
    return _date(time_us // _DAY_US)


def _date(day: int) -> str:
    try:
        return (_EPOCH + timedelta(days=day)).date().isoformat()
    except OverflowError:
        return "before" if day < 0 else "later"


def date_rows(days: Counter[int]) -> list[tuple[str, int]]:
    """Return counts by day, month or year, whichever takes few rows; gaps within are shown."""
    first, last = min(days), max(days)
    if last - first < ROWS:
        return [(_date(day), days[day]) for day in range(first, last + 1)]
    by_month: Counter[str] = Counter()
    for day, count in days.items():
        by_month[_date(day)[:7]] += count
    months = _months(_date(first)[:7], _date(last)[:7])
    if len(months) <= ROWS:
        return [(month, by_month[month]) for month in months]
    by_year: Counter[str] = Counter()
    for month, count in by_month.items():
        by_year[month.split("-")[0]] += count
    return sorted(by_year.items())


def _months(first: str, last: str) -> list[str]:
    try:
        start, end = (int(each[:4]) * 12 + int(each[5:]) - 1 for each in (first, last))
    except ValueError:
        return [""] * (ROWS + 1)
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(start, min(end, start + ROWS) + 1)]


def _print_texts(summary: Summary) -> None:
    if not summary.with_text:
        return
    sizes = (f"{name} {value:,}" for name, value in _text_sizes(summary).items())
    _title(f"Texts  {quiet(f'{summary.with_text:,}')}")
    say(f"  characters: {', '.join(sizes)}")
    rows: Counter[int] = Counter()
    for size, count in summary.text_lengths.counts.items():
        rows[size.bit_length()] += count
    steps = range(min(rows), max(rows) + 1)
    for line in bar_lines([(f"{1 << step >> 1} – {(1 << step) - 1}", rows[step]) for step in steps], indent="    "):
        say(line)
    texts, records = summary.repeated_texts()
    if texts:
        say("  " + changed(f"{counted(texts, 'text')} in several records ({records:,} in all)"))


def _text_sizes(summary: Summary) -> dict[str, int]:
    return {
        "min": min(summary.text_lengths.counts, default=0),
        "median": summary.text_length_at(0.5),
        "p95": summary.text_length_at(0.95),
        "max": summary.longest,
    }


def _print_metadata(summary: Summary) -> None:
    names = _metadata(summary)
    if not names:
        return
    _title(f"Metadata  {quiet('many' if summary.metadata.beyond else f'{len(names):,}')}")
    shown = list(names.items())[: 2 * TOP]
    width = max(columns(cut(name)) for name, _ in shown)
    for name, types in shown:
        words = ", ".join(f"{kind} {count:,}" for kind, count in types.most_common())
        say(f"  {pad(cut(name), width)}  {words}")
    if len(names) > len(shown):
        say(quiet(f"  … and {len(names) - len(shown):,} others"))


def _metadata(summary: Summary) -> dict[str, Counter[str]]:
    """Return the JSON types of each member of metadata, the most frequent member first."""
    found: dict[str, Counter[str]] = {}
    for (name, kind), count in summary.metadata.counts.items():
        found.setdefault(name, Counter())[kind] += count
    return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))


def _print_mapping(mapping: dict[str, str]) -> None:
    if mapping:
        _title("Mapping")
        width = max(columns(cut(name)) for name in mapping)
        for name, words in mapping.items():
            say(f"  {pad(cut(name), width)}  {cut(words)}")


def _print_files(config: dict[str, Any], summary: Summary, files: Files, *, whole: bool) -> None:
    found = []
    if files.sidecar is not None:
        found.append((files.sidecar.name, _sidecar_words(files.sidecar, summary, whole=whole)))
    if files.signature is not None:
        found.append((files.signature.name, _signature_words(files.signature, summary, whole=whole)))
    title = "Beside it" if found else "Configuration"
    for name, value in config.items():
        is_many = isinstance(value, (list, dict))
        found.append((name, counted(len(value), "entry", "entries") if is_many else cut(str(value))))
    if found:
        _title(title)
        width = max(columns(cut(name)) for name, _ in found)
        for name, words in found:
            say(f"  {pad(cut(name), width)}  {words}")


def _count_words(count: int | None, summary: Summary, *, whole: bool) -> str:
    if count is None:
        return removed("says no count")
    if whole and count != _all_records(summary):
        return removed(f"says {counted(count, 'record')}, the file has {_all_records(summary):,}")
    return counted(count, "record")


def _all_records(summary: Summary) -> int:
    return summary.records + sum(summary.problems.counts.values())


def _sidecar_words(sidecar: Sidecar, summary: Summary, *, whole: bool) -> str:
    checksum = {
        True: added("checksum matches"),
        False: removed("the checksum is not that of the file"),
        None: "no checksum",
    }[sidecar.matches]
    parts = [_count_words(sidecar.record_count, summary, whole=whole), checksum]
    if sidecar.exported_at:
        parts.append(f"exported {cut(sidecar.exported_at)}")
    return " · ".join(parts)


def _signature_words(signature: Signature, summary: Summary, *, whole: bool) -> str:
    parts = [_count_words(signature.record_count, summary, whole=whole)]
    if signature.signed_at:
        parts.append(f"signed {cut(signature.signed_at)}")
    if signature.public_key:
        parts.append(cut(signature.public_key, 20))
    return " · ".join([*parts, quiet("vex verify tells whether it holds")])


# -- for programs --------------------------------------------------------------------------------------------------


def _json(address: Address, config: dict[str, Any], summary: Summary, files: Files, *, whole: bool) -> dict[str, Any]:
    from vexrepo.objects.timestamp import format_time

    def top(tally: Tally[Any], name: Callable[[Any], Any] = str) -> dict[str, Any]:
        return {
            "different": len(tally.counts),
            "many": bool(tally.beyond),
            "counts": {name(value): count for value, count in tally.top(100)},
        }

    lengths, sidecar, signature = summary.lengths, files.sidecar, files.signature
    repeated, repeating = summary.repeated_texts()
    times = [None if each is None else format_time(each) for each in (summary.earliest_us, summary.latest_us)]
    all_records = _all_records(summary)
    return {
        "store": str(address),
        "size_bytes": files.size_bytes,
        "records": summary.records,
        "selected": not whole,
        "with_text": summary.with_text,
        "with_vector": summary.with_vector,
        "with_neither": summary.with_neither,
        "problems": dict(summary.problems.counts),
        "namespaces": top(summary.namespaces),
        "memory_types": top(summary.components),
        "sources": top(summary.sources),
        "models": dict(summary.by_space(lambda space: space.model or "")),
        "dims": {str(dims): count for dims, count in summary.by_space(lambda space: space.dims).items()},
        "dtypes": dict(summary.by_space(lambda space: space.dtype)),
        "vectors": {
            "count": lengths.count,
            "min": lengths.least if lengths.count else None,
            "mean": lengths.mean if lengths.count else None,
            "max": lengths.most if lengths.count else None,
            "unit": lengths.unit,
            "zero": lengths.zero,
            "histogram": dict(_length_rows(lengths)),
        },
        "dates": {
            "earliest": times[0],
            "latest": times[1],
            "undated": summary.undated,
            "counts": dict(date_rows(summary.days.counts)) if summary.days.counts else {},
        },
        "texts": {**_text_sizes(summary), "repeated": repeated, "records_with_repeated": repeating},
        "metadata": {name: dict(types) for name, types in list(_metadata(summary).items())[:1000]},
        "edges": top(summary.edges),
        "sidecar": sidecar
        and {**sidecar._asdict(), "count_matches": sidecar.record_count == all_records if whole else None},
        "signature": signature
        and {**signature._asdict(), "count_matches": signature.record_count == all_records if whole else None},
        "config": config,
    }
