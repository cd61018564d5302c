"""Typed configuration: what can be set, what it means, where a value came from.

Files are TOML; the repository's is edited by people and so keeps its comments.  Nothing here reads the
environment or knows where home is: the command line passes paths and overrides in.

A key is ``section.name``, or in a family of tables ``remote.NAME.name``: what is set for each remote.  Settings of
checks are ``checks.CHECK_NAME``; those of checks that are installed beside are taken as they come, and judged by them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vexrepo.errors import InvalidData, UsageError
from vexrepo.objects.sources import FILE, Ruling, Source, most_particular
from vexrepo.objects.trust import Policy, parse_policy
from vexrepo.storage.files import Files, wrapped


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: its type, its default, what it does, and of a number the least that makes sense (None: any)."""

    kind: type
    default: Any
    meaning: str
    least: int | None = None


SETTINGS: dict[str, Setting] = {
    "workspace.store": Setting(str, "", "address of the store that status, commit, diff and checkout use"),
    "user.name": Setting(str, "", "author name in commits; default: the login name"),
    "user.identity": Setting(str, "default", "name of the identity that signs commits"),
    "commit.sign": Setting(bool, True, "sign commits"),
    "trust.policy": Setting(
        str, "auto", "what signatures of what comes in must be worth: integrity, signed, trusted or auto"
    ),
    "trust.sources": Setting(dict, {}, "the policies of single sources; vex trust policy SOURCE POLICY sets them"),
    "merge.policy": Setting(
        str, "fail", "rule where both sides of a merge changed a field, e.g. newest; see vex merge"
    ),
    "merge.types": Setting(str, "", "rules for memory types, e.g. semantic=fail,episodic=union"),
    "merge.fields": Setting(str, "", "rules for fields, e.g. metadata.importance=max,metadata.tags=union"),
    "gc.auto": Setting(bool, True, "join packs after a commit when there are many"),
    "gc.auto_packs": Setting(int, 50, "how many packs are many", 1),
    "gc.keep_days": Setting(int, 30, "days for which gc keeps what undo needs", 0),
    "hooks.timeout_s": Setting(int, 30, "seconds a hook may take before it is ended, which is a veto", 1),
    "hooks.allow_no_verify": Setting(bool, True, "let --no-verify pass checks and hooks by"),
    "core.lock_timeout_s": Setting(int, 10, "seconds to wait for another writer before giving up", 0),
    "core.line_cache": Setting(
        bool,
        True,
        "remember lines of JSONL files and rows of tables, so that known ones are not read as memories again",
    ),
    "push.remote": Setting(
        str, "", "the remote of push, fetch and pull where none is named; default: the only one, or origin"
    ),
    "status.remotes": Setting(
        str,
        "reachable",
        "which remotes vex status looks at: reachable (all but those by ssh, within the limit), all (and waits for what"
        " takes long), files (on this machine only) or none",
    ),
    "status.timeout_s": Setting(int, 5, "seconds within which vex status looks at all remotes", 1),
    "status.connect_s": Setting(int, 2, "seconds of them for which it waits for a server to take the connection", 1),
    "store.read_back": Setting(
        str,
        "auto",
        "what is read back of a store without transactions after a push, checkout or switch: all (whatever it holds), "
        "sample (its count, and up to 256 of what was written) or auto (all of up to 20,000 memories, or where at "
        "least a quarter of them was written)",
    ),
    "sync.database": Setting(
        str,
        "",
        "the VEKTOR database that vex sync is about where none is named; set by vex sync init, in your own file",
    ),
    "sync.min_importance": Setting(
        float, 0.0, "what vex sync push leaves out where it is not told: memories below this importance; 0: none"
    ),
    "ssh.command": Setting(str, "", "what is run for ssh, e.g. ssh -i KEYFILE; default: ssh"),
    "http.proxy": Setting(str, "", "proxy for https and http; default: the environment's (HTTPS_PROXY, NO_PROXY)"),
    "http.ca_file": Setting(str, "", "file of certificates that vouch for hosts; default: the system's"),
    "http.timeout_s": Setting(int, 60, "seconds to wait for a host to answer before giving up", 1),
    "http.concurrency": Setting(int, 4, "how many requests to a vector store may be under way at once", 1),
}

_SEVERITY = "how much a finding matters: veto (refuse), warning, note"
CHECKS: dict[str, dict[str, Setting]] = {
    "schema": {
        "severity": Setting(str, "warning", f"{_SEVERITY}; of what breaks the format or does not fit its namespace"),
        "strict": Setting(bool, False, "hold memories to the letter of the vmig format"),
    },
    "secrets": {
        "severity": Setting(str, "veto", f"{_SEVERITY}; of keys and tokens known by their form"),
        "generic": Setting(str, "warning", f"{_SEVERITY}; of what is a secret by the words around it"),
    },
    "injection": {
        "threshold": Setting(float, 0.6, "score, 0 to 1, from which a memory that reads like instructions is refused"),
        "warn": Setting(float, 0.4, "score from which it is a warning"),
        "severity": Setting(str, "veto", f"{_SEVERITY}; from the threshold on"),
    },
    "pii": {
        "severity": Setting(str, "warning", _SEVERITY),
        "kinds": Setting(str, "", "which of email, phone, iban, card, id, ip are looked for; default: all"),
    },
    "drift": {
        "severity": Setting(str, "warning", _SEVERITY),
        "share": Setting(float, 0.5, "the share of a memory, or of a namespace, that may change or go at once"),
    },
}
AUTO = "auto"
SETTINGS["checks.foreign"] = Setting(
    str,
    "",
    "checks of what comes from elsewhere: import, fetch, pull, clone; e.g. injection,secrets; auto: schema, secrets, "
    "injection and drift, for what nobody known signed and no remote of yours sent",
)
SETTINGS["checks.own"] = Setting(str, "", "checks of your own changes: commit, checkout, merge, push; e.g. secrets")
for _check, _settings in CHECKS.items():
    SETTINGS.update({f"checks.{_check}_{_name}": _setting for _name, _setting in _settings.items()})
_CHECK_KEY = re.compile(r"checks\.([a-z][a-z0-9-]*)_([a-z][a-z0-9_]*)")
_OF_ANOTHER_CHECK = Setting(object, None, "a setting of a check that is installed beside")

FAMILIES: dict[str, dict[str, Setting]] = {
    "remote": {
        "url": Setting(str, "", "address of the host's repository; it never holds a secret"),
        "store": Setting(str, "", "instead of url: address of the store that this remote is, e.g. vektor:copy.db"),
        "provider": Setting(
            str,
            "",
            "whose interface the host speaks: github, codeberg, gitea, forgejo, gitlab; default: by its address",
        ),
        "passphrase_command": Setting(str, "", "program that prints the passphrase, e.g. pass show memory"),
        "passphrase_file": Setting(str, "", "file that holds the passphrase; relative to the repository's folder"),
        "token_command": Setting(str, "", "program that prints the host's access token"),
        "user": Setting(str, "", "user name that goes with the token, where the host asks for one"),
    },
}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_FAMILY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it came from: ``default``, a file, or ``environment``."""

    value: Any
    origin: str


class Config:
    """Values from several layers; later layers win."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {key: Value(setting.default, "default") for key, setting in SETTINGS.items()}
        self._entries: dict[str, dict[str, Value]] = {}

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
        for key, value in _flat(tables, str(path)):
            self.add(key, value, str(path))

    def add(self, key: str, value: Any, origin: str) -> None:
        """Take one value.  Raises: InvalidData (bad-config)."""
        try:
            setting = check_key(key)
        except UsageError as error:
            raise InvalidData(f"{origin}: {error}", code="bad-config") from None
        if setting.kind is float and type(value) is int:
            value = float(value)
        is_open = setting.kind is object and type(value) in (str, bool, int, float)
        if (type(value) is not setting.kind and not is_open) or (
            isinstance(value, dict) and not all(isinstance(each, str) for each in value.values())
        ):
            raise InvalidData(f"{origin}: {key} must be {_kind(setting.kind)}, got {value!r:.60}", code="bad-config")
        if isinstance(value, dict):  # tables of several layers are joined, entry by entry
            entries = self._entries.setdefault(key, {})
            entries.update({name: Value(each, origin) for name, each in value.items()})
            value = {name: entry.value for name, entry in entries.items()}
        self._values[key] = Value(value, origin)

    def __getitem__(self, key: str) -> Any:
        return self._value(key).value

    def items(self) -> list[tuple[str, Value]]:
        """Return all keys with their values, sorted; of a family those that are set."""
        return sorted(self._values.items())

    def origin(self, key: str) -> str:
        """Return where the value of a key came from."""
        return self._value(key).origin

    def entries(self, key: str) -> dict[str, Value]:
        """Return the entries of a table, each with where it came from."""
        return dict(self._entries.get(key, {}))

    def names(self, family: str) -> list[str]:
        """Return the names of a family that have a table, e.g. of the remotes, sorted."""
        return sorted({key.split(".")[1] for key in self._values if key.startswith(f"{family}.")})

    def of_check(self, check: str) -> dict[str, Any]:
        """Return what is set for a check, by the settings' own names; a check knows its defaults."""
        start = f"checks.{check}_"
        return {
            key.removeprefix(start): value.value
            for key, value in self._values.items()
            if key.startswith(start) and value.origin != "default"
        }

    def _value(self, key: str) -> Value:
        found = self._values.get(key)
        return found if found is not None else Value(check_key(key).default, "default")


_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table of texts",
    object: "text, a number, true or false",
}


def _kind(kind: type) -> str:
    return _KINDS[kind]


def _flat(tables: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a file's tables.  Raises: InvalidData (bad-config)."""
    for section, table in tables.items():
        inner = {section: table}
        if section in FAMILIES and isinstance(table, dict):
            inner = {f"{section}.{name}": values for name, values in table.items()}
        for name, values in inner.items():
            if not isinstance(values, dict):
                such = "remote.backup" if section in FAMILIES else "workspace"
                raise InvalidData(f"{path}: {name!r} must be a table, e.g. [{such}]", code="bad-config")
            for last, value in values.items():
                yield f"{name}.{last}", value


def check_key(key: str) -> Setting:
    """Return the setting of a key.  Raises: UsageError (bad-config), with the nearest key."""
    if key in SETTINGS:
        return SETTINGS[key]
    section, _, rest = key.partition(".")
    check = _CHECK_KEY.fullmatch(key)
    if check and check[1] not in CHECKS:
        return _OF_ANOTHER_CHECK
    known = [*SETTINGS, *(f"{family}.NAME.{last}" for family, settings in FAMILIES.items() for last in settings)]
    if section in FAMILIES:
        name, _, last = rest.rpartition(".")
        if name:
            check_name(section, name)
            if last in FAMILIES[section]:
                return FAMILIES[section][last]
            known = [f"{section}.{name}.{each}" for each in FAMILIES[section]]
    near = difflib.get_close_matches(key, known, n=1)
    raise UsageError(
        f"there is no setting {key!r}" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"),
        code="bad-config",
    )


def check_name(family: str, name: str) -> str:
    """Return a name if something of a family, e.g. a remote, can have it.  Raises: UsageError (bad-config)."""
    if not _FAMILY_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {family}: expected up to 64 letters, digits, - and _, beginning with a "
            "letter or digit",
            code="bad-config",
        )
    return name


def parse_value(key: str, text: str) -> Any:
    """Return the value a user typed for a key.  Raises: UsageError (bad-config)."""
    setting = check_key(key)
    is_open = setting.kind is object
    if is_open and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if setting.kind is bool and text.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return text.lower() in ("true", "yes", "on", "1")
    if (setting.kind is int or is_open) and text.strip().lstrip("-").isdigit():
        if setting.least is not None and int(text) < setting.least:
            raise UsageError(f"{key} must be {setting.least} or more, got {text}", code="bad-config")
        return int(text)
    if (setting.kind is float or is_open) and _NUMBER.fullmatch(text.strip()):
        return float(text)
    if is_open:
        return text
    if setting.kind is str:
        return text
    if setting.kind is dict:
        raise UsageError(f"{key} is a table: {setting.meaning}", code="bad-config")
    raise UsageError(f"{key} must be {_kind(setting.kind)}, got {text!r}", code="bad-config")


def write_value(files: Files, path: Path, key: str, value: Any | None) -> None:
    """Set a key in a TOML file, or remove it for None; comments and order are kept."""
    check_key(key)
    write_values(files, path, {key: value})


def write_entry(files: Files, path: Path, key: str, name: str, value: str | None) -> bool:
    """Set one entry of a table in a TOML file, or remove it for None; False where there was nothing to remove."""
    import tomlkit

    check_key(key)
    document: Any = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    table = document
    *sections, last = key.split(".")
    for section in (*sections, last):
        if section not in table:
            if value is None:
                return False
            table[section] = tomlkit.table(is_super_table=section != last)
        table = table[section]
    if value is not None:
        table[name] = value
    elif table.pop(name, None) is None:
        return False
    elif not table:
        _remove(document, sections, last)
    files.make_folder(path.parent)
    files.write(path, tomlkit.dumps(document).encode())
    return True


def policy_for(config: Config, source: Source, root: Path | None) -> Ruling:
    """Return the policy that counts for a source, and why; relative paths in rules are relative to ``root``.

    Raises: InvalidData (bad-config) for a rule or policy that is none.
    """
    rules = {_rule(config, rule, root): (rule, entry) for rule, entry in config.entries("trust.sources").items()}
    found = most_particular(rules, source)
    if found is None:
        origin = config.origin("trust.policy")
        return Ruling(_policy(config["trust.policy"], "trust.policy", origin), "", origin)
    rule, entry = rules[found]
    return Ruling(_policy(entry.value, f"the policy of {rule}", entry.origin), rule, entry.origin)


def _rule(config: Config, rule: str, root: Path | None) -> str:
    if rule.startswith(FILE) and root is not None:
        return FILE + (root / rule.removeprefix(FILE)).as_posix()
    if ":" not in rule:
        origin = config.entries("trust.sources")[rule].origin
        raise InvalidData(
            f"{origin}: trust.sources names {rule!r:.60}, expected file:PATH, remote:NAME or the address of a store",
            code="bad-config",
        )
    return rule


def _policy(text: str, what: str, origin: str) -> Policy:
    try:
        return parse_policy(text, what)
    except UsageError as error:
        raise InvalidData(f"{origin}: {error}", code="bad-config") from None


def write_values(files: Files, path: Path, values: dict[str, Any | None]) -> None:
    """Set keys in a TOML file, or remove those with None, all at once; a family's table goes with its last value."""
    import tomlkit

    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    for key, value in values.items():
        *sections, last = key.split(".")
        if value is not None:
            table: Any = document
            for place, section in enumerate(sections):
                if section not in table:
                    inline = isinstance(table, tomlkit.items.InlineTable)
                    table[section] = (
                        tomlkit.inline_table() if inline else tomlkit.table(is_super_table=place < len(sections) - 1)
                    )
                table = table[section]
            table[last] = value
        else:
            _remove(document, sections, last)
    files.make_folder(path.parent)
    files.write(path, tomlkit.dumps(document).encode())


def _remove(document: Any, sections: list[str], last: str) -> None:
    tables = [document]
    for section in sections:
        if section not in tables[-1]:
            return
        tables.append(tables[-1][section])
    tables[-1].pop(last, None)
    if len(sections) > 1:
        for section, table, parent in zip(reversed(sections), reversed(tables[1:]), reversed(tables[:-1]), strict=True):
            if len(table) == 0:
                parent.pop(section)
