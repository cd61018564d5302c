"""Finds checks by name: a check is imported only when it is named.

Built-in checks are listed here; others come from the entry-point group ``vexrepo.hooks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vexrepo.config import AUTO, Config
from vexrepo.remotes.plugins import Plugins

if TYPE_CHECKING:
    from vexrepo.hooks.check import Check

BUILT_IN = {
    "schema": "vexrepo.hooks.checks.schema:SchemaCheck",
    "secrets": "vexrepo.hooks.checks.secrets:SecretsCheck",
    "injection": "vexrepo.hooks.checks.injection:InjectionCheck",
    "pii": "vexrepo.hooks.checks.pii:PersonalCheck",
    "drift": "vexrepo.hooks.checks.drift:DriftCheck",
}
USUAL = ("schema", "secrets", "injection", "drift")
FOREIGN = frozenset(("pre-import",))  # the events at which something comes from elsewhere

_CHECKS = Plugins(BUILT_IN, "vexrepo.hooks", "there is no check", "bad-config")


def names() -> list[str]:
    """Return the names of all checks there are, sorted."""
    return _CHECKS.names()


def check_class(name: str) -> type[Check]:
    """Return the class of a check.  Raises: UsageError (bad-config)."""
    found: type[Check] = _CHECKS.find(name)
    return found


def parse_names(text: str) -> list[str]:
    """Return the names in a setting such as ``schema,secrets``, each once.  Raises: UsageError (bad-config)."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in found:
        if name not in BUILT_IN:
            check_class(name)
    return found


def make_check(name: str, settings: Mapping[str, Any]) -> Check:
    """Return a check with settings.  Raises: UsageError (bad-config)."""
    return check_class(name).make(settings)


def make_checks(event: str, config: Config) -> list[Check]:
    """Return the checks that the configuration wants at a pre- event, new ones each time.

    ``checks.foreign`` names them for pre-import (``auto``: those of ``USUAL``), ``checks.own`` for the other events;
    none stand at a post- event.
    Raises: UsageError (bad-config).
    """
    if not event.startswith("pre-"):
        return []
    named = config["checks.foreign" if event in FOREIGN else "checks.own"]
    wanted = USUAL if named == AUTO and event in FOREIGN else parse_names(named)
    return [make_check(name, config.of_check(name)) for name in wanted]
