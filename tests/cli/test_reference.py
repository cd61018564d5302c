"""Everything a user can name is documented, and the documents are those of the code."""

import importlib.util
from pathlib import Path

import click
import pytest

from vexrepo.cli.app import COMMANDS, vex
from vexrepo.cli.failures import MEANINGS
from vexrepo.cli.lazy import LazyGroup
from vexrepo.config import FAMILIES, SETTINGS
from vexrepo.errors import CODES

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "dev" / "make_reference.py")
assert _spec is not None and _spec.loader is not None
make_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_reference)

CONTEXTS = {ctx.command_path: ctx for ctx in make_reference.contexts()}


def page(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in make_reference.pages()])
def test_the_generated_pages_are_up_to_date(path):
    assert (ROOT / path).read_text("utf-8") == make_reference.pages()[ROOT / path], (
        "run: python docs/dev/make_reference.py"
    )


@pytest.mark.parametrize("path", CONTEXTS)
def test_every_command_and_flag_is_documented(path):
    ctx = CONTEXTS[path]
    assert f"## `{path}`" in page("cli")
    for option in ctx.command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            for name in option.opts:
                assert f"`{name}`" in page("cli")


@pytest.mark.parametrize("path", [path for path in CONTEXTS if path != "vex"])
def test_every_command_has_help_and_an_example(path):
    command = CONTEXTS[path].command
    assert command.help and command.help.split("\n\n")[0].strip().endswith(".")
    assert command.epilog and f"    {path.split(' ')[0]} " in CONTEXTS[path].get_help()


@pytest.mark.parametrize("path", CONTEXTS)
def test_the_table_says_what_the_commands_say(path):
    command = CONTEXTS[path].command
    if isinstance(command, LazyGroup):
        for name, entry in command.entries.items():
            found = command.get_command(CONTEXTS[path], name)
            assert found is not None
            assert found.get_short_help_str(200) == entry.short
            assert found.name == name


def test_every_code_and_key_is_documented():
    assert all(f"| `{code}` |" in page("errors") for code in CODES)
    assert all(f"| `{key}` |" in page("config") for key in SETTINGS)
    assert all(f"| `{name}.NAME.{last}` |" in page("config") for name, keys in FAMILIES.items() for last in keys)
    assert all(f"| {code} |" in page("cli") for code in MEANINGS)


def test_commands_that_report_take_json():
    silent = {
        "vex",
        "vex op",
        "vex key",
        "vex trust",
        "vex config",
        "vex remote",
        "vex remote recipient",
        "vex sync",
        "vex hook",
        "vex quarantine",
        "vex help",
        "vex demo",
    }
    for path, ctx in CONTEXTS.items():
        has = any("--json" in option.opts for option in ctx.command.params)
        assert has != (path in silent), path


def test_the_commands_of_the_table_are_those_of_the_group():
    assert vex.list_commands(click.Context(vex)) == list(COMMANDS)
