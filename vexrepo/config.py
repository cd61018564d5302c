"""Typed configuration: what can be set, what it means, where a value came from.

Files are TOML; the repository's is edited by people and so keeps its comments.  Nothing here reads the
environment or knows where home is: the command line passes paths and overrides in.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vexrepo.errors import InvalidData, UsageError
from vexrepo.storage.files import Files, wrapped


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: its type, its default and what it does."""

    kind: type
    default: Any
    meaning: str


SETTINGS: dict[str, Setting] = {
    "workspace.store": Setting(str, "", "address of the store that status, commit, diff and checkout use"),
    "user.name": Setting(str, "", "author name in commits; default: the login name"),
    "user.identity": Setting(str, "default", "name of the identity that signs commits"),
    "commit.sign": Setting(bool, True, "sign commits"),
    "merge.policy": Setting(
        str, "fail", "rule where both sides of a merge changed a field, e.g. newest; see vex merge"
    ),
    "merge.types": Setting(str, "", "rules for memory types, e.g. semantic=fail,episodic=union"),
    "merge.fields": Setting(str, "", "rules for fields, e.g. metadata.importance=max,metadata.tags=union"),
    "gc.auto": Setting(bool, True, "join packs after a commit when there are many"),
    "gc.auto_packs": Setting(int, 50, "how many packs are many"),
    "gc.keep_days": Setting(int, 30, "days for which gc keeps what undo needs"),
    "core.lock_timeout_s": Setting(int, 10, "seconds to wait for another writer before giving up"),
    "core.line_cache": Setting(
        bool, True, "remember lines of JSONL files, so that unchanged ones are not parsed again"
    ),
}


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it came from: ``default``, a file, or ``environment``."""

    value: Any
    origin: str


class Config:
    """Values from several layers; later layers win."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {key: Value(setting.default, "default") for key, setting in SETTINGS.items()}

    def add_file(self, path: Path) -> None:
        """Take the values of a TOML file, if it exists.  Raises: InvalidData (bad-config)."""
        if not path.exists():
            return
        with wrapped("read", path):
            raw = path.read_bytes()
        try:
            tables = tomllib.loads(raw.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidData(f"{path} is not TOML: {error}", code="bad-config") from None
        for section, table in tables.items():
            if not isinstance(table, dict):
                raise InvalidData(f"{path}: {section!r} must be a table, e.g. [workspace]", code="bad-config")
            for name, value in table.items():
                self.add(f"{section}.{name}", value, str(path))

    def add(self, key: str, value: Any, origin: str) -> None:
        """Take one value.  Raises: InvalidData (bad-config)."""
        try:
            setting = check_key(key)
        except UsageError as error:
            raise InvalidData(f"{origin}: {error}", code="bad-config") from None
        if type(value) is not setting.kind:
            raise InvalidData(f"{origin}: {key} must be {_kind(setting.kind)}, got {value!r:.60}", code="bad-config")
        self._values[key] = Value(value, origin)

    def __getitem__(self, key: str) -> Any:
        return self._values[key].value

    def items(self) -> list[tuple[str, Value]]:
        """Return all keys with their values, sorted."""
        return sorted(self._values.items())

    def origin(self, key: str) -> str:
        """Return where the value of a key came from."""
        return self._values[key].origin


def _kind(kind: type) -> str:
    return {str: "text", bool: "true or false", int: "a whole number"}[kind]


def check_key(key: str) -> Setting:
    """Return the setting of a key.  Raises: UsageError (bad-config), with the nearest key."""
    if key in SETTINGS:
        return SETTINGS[key]
    near = difflib.get_close_matches(key, SETTINGS, n=1)
    raise UsageError(
        f"there is no setting {key!r}" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(SETTINGS)}"),
        code="bad-config",
    )


def parse_value(key: str, text: str) -> Any:
    """Return the value a user typed for a key.  Raises: UsageError (bad-config)."""
    setting = check_key(key)
    if setting.kind is bool and text.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return text.lower() in ("true", "yes", "on", "1")
    if setting.kind is int and text.strip().lstrip("-").isdigit():
        return int(text)
    if setting.kind is str:
        return text
    raise UsageError(f"{key} must be {_kind(setting.kind)}, got {text!r}", code="bad-config")


def write_value(files: Files, path: Path, key: str, value: Any | None) -> None:
    """Set a key in a TOML file, or remove it for None; comments and order are kept."""
    import tomlkit

    check_key(key)
    section, name = key.split(".", 1)
    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    table = document.get(section)
    if value is None:
        if table is not None:
            table.pop(name, None)
    else:
        if table is None:
            table = document[section] = tomlkit.table()
        table[name] = value
    files.make_folder(path.parent)
    files.write(path, tomlkit.dumps(document).encode())
