#!/usr/bin/env python3
"""Write docs/reference/{cli,errors,config}.md and tests/cli/help.txt from the code.

Run it after a change of a command, an error code or a setting: ``python docs/dev/make_reference.py``.  With
``--check`` nothing is written and the exit code is 1 if a file is out of date.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from vexrepo import errors
from vexrepo.cli.app import vex
from vexrepo.cli.failures import MEANINGS, exit_code
from vexrepo.cli.lazy import LazyGroup
from vexrepo.cli.surroundings import ENVIRONMENT, variable_of
from vexrepo.config import FAMILIES, SETTINGS

ROOT = Path(__file__).resolve().parents[2]
NOTE = "<!-- Written by docs/dev/make_reference.py; change the code, then run that. -->\n\n"
WIDTH = 100


def walk(command: click.Command, parent: click.Context | None, name: str) -> Iterator[click.Context]:
    """Yield a context for a command and each below it, in the order of the table of commands."""
    ctx = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    ctx.help_option_names = ["-h", "--help"]
    yield ctx
    if isinstance(command, LazyGroup):
        for below in command.entries:
            found = command.get_command(ctx, below)
            assert found is not None
            yield from walk(found, ctx, below)


def contexts() -> list[click.Context]:
    """Return the contexts of all commands, ``vex`` itself first."""
    return list(walk(vex, None, "vex"))


def help_text() -> str:
    """Return the help of all commands, as a terminal shows it."""
    return "\n\n".join(f"$ {ctx.command_path} --help\n{ctx.get_help()}" for ctx in contexts()) + "\n"


def cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def metavar(option: click.Option) -> str:
    """Return what stands for an option's value."""
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(each) for each in option.type.choices)
    return "FILE" if isinstance(option.type, click.File) else option.type.name.upper()


def option_row(option: click.Option) -> str:
    """Return the table row of an option."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{metavar(option)}`".replace("|", "\\|")
    shown = f" Default: `{option.default}`." if option.show_default else ""
    return f"| {names}{value} | {cell(option.help or '')}{shown} |"


def command_text(ctx: click.Context) -> str:
    """Return the section of one command."""
    command = ctx.command
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    lines = [f"## `{ctx.command_path}`", "", "```", usage, "```", ""]
    lines += [
        paragraph.strip().replace("\n", " ") + "\n" for paragraph in inspect.cleandoc(command.help or "").split("\n\n")
    ]
    options = [each for each in command.params if isinstance(each, click.Option) and each.name != "help"]
    if options:
        lines += ["| option | |", "|---|---|", *(option_row(each) for each in options), ""]
    if command.epilog and "Examples:" in command.epilog:
        examples = command.epilog.split("Examples:\n", 1)[1].splitlines()
        lines += ["```", *(line.removeprefix("  ") for line in examples), "```", ""]
    return "\n".join(lines)


def cli_page() -> str:
    """Return docs/reference/cli.md."""
    all_contexts = contexts()
    lines = ["# Command line", "", NOTE.strip(), ""]
    for section in dict.fromkeys(entry.section for entry in vex.entries.values()):
        lines += [f"**{section}**", ""]
        for name, entry in vex.entries.items():
            if entry.section == section:
                lines.append(f"- [`vex {name}`](#vex-{name}) {entry.short}")
        lines.append("")
    lines += [
        "A command that reports takes `--json`; errors then go to stderr as",
        '`{"error": {"code": …, "message": …}}`, with the codes of [errors](errors.md).',
        "",
        "Texts of memories are untrusted: control characters, escape sequences and marks that turn the",
        "reading direction are shown as escapes.",
        "",
    ]
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    lines += ["", "## Environment", "", "| variable | |", "|---|---|"]
    lines += [f"| `{name}` | {cell(meaning)} |" for name, meaning in ENVIRONMENT.items()]
    lines += ["", 'Completion: `eval "$(_VEX_COMPLETE=bash_source vex)"` (or `zsh_source`, `fish_source`).', ""]
    lines += [command_text(ctx) for ctx in all_contexts]
    return "\n".join(lines).rstrip() + "\n"


def errors_page() -> str:
    """Return docs/reference/errors.md."""
    lines = ["# Errors", "", NOTE.strip(), ""]
    lines += [
        "Every error has a code that keeps its meaning. It is at the end of a message, in `--json` output,",
        "and `error.code` in Python, where all errors are `vexrepo.errors.VexError`.",
        "",
    ]
    lines += ["| class | for | exit code |", "|---|---|---|"]
    for kind in errors.VexError.__subclasses__():
        purpose = (kind.__doc__ or "").strip().rstrip(".")
        lines.append(f"| `{kind.__name__}` | {cell(purpose)} | {exit_code(kind('', code=''))} |")
    special = {code: exit_code(errors.VexError("", code=code)) for code in errors.CODES}
    lines += ["", "| code | meaning |", "|---|---|"]
    for code, meaning in errors.CODES.items():
        note = f" (exit code {special[code]})" if special[code] != 1 else ""
        lines.append(f"| `{code}` | {cell(meaning)}{note} |")
    return "\n".join(lines) + "\n"


def config_page() -> str:
    """Return docs/reference/config.md."""
    kinds = {str: "text", bool: "true or false", int: "whole number", float: "number", dict: "table"}
    lines = ["# Configuration", "", NOTE.strip(), ""]
    lines += [
        "Flags go before the environment, that before `.vex/config.toml` in the repository, that before your",
        "own `config.toml` (in `VEX_HOME`), that before the defaults. `vex config list --show-origin` shows",
        "which won.",
        "",
    ]
    lines += ["| key | environment | type | default | meaning |", "|---|---|---|---|---|"]
    named = {f"{family}.NAME.{last}": each for family, settings in FAMILIES.items() for last, each in settings.items()}
    for key, setting in {**SETTINGS, **named}.items():
        default = str(setting.default).lower() if setting.kind is bool else setting.default
        shown = f"`{default}`" if default not in ("", {}) else ""
        variable = f"`{variable_of(key)}`" if setting.kind is not dict else ""
        kind = kinds[setting.kind] + (f", {setting.least} or more" if setting.least is not None else "")
        lines.append(f"| `{key}` | {variable} | {kind} | {shown} | {cell(setting.meaning)} |")
    lines += [
        "",
        "`remote.NAME.…` is set for each remote, in a table of its own (`[remote.backup]`); the environment can change",
        "what a file has set for a remote, but not make one.",
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return the content of every file this script writes."""
    reference = ROOT / "docs" / "reference"
    return {
        reference / "cli.md": cli_page(),
        reference / "errors.md": errors_page(),
        reference / "config.md": config_page(),
        ROOT / "tests" / "cli" / "help.txt": help_text(),
    }


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, text in pages().items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    print(f"{'out of date' if check else 'wrote'}: {', '.join(stale)}" if stale else "all up to date")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
