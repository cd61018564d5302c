"""Checks are found by name, and take their settings from the configuration."""

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import pytest

from vexrepo.config import CHECKS, Config, Setting, check_key, parse_value
from vexrepo.errors import InvalidData, UsageError
from vexrepo.hooks import registry
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.remotes.plugins import Plugins


class Shouting(Check):
    """A check of somebody else."""

    name: ClassVar[str] = "shouting"
    meaning: ClassVar[str] = "texts in capitals"
    settings: ClassVar[Mapping[str, Setting]] = {"share": Setting(float, 0.9, "the share of capitals")}

    def __init__(self, share: float) -> None:
        self.share = share

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        return cls(cls.share_of(cls.complete(settings), "share"))

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        return iter(())


@pytest.fixture
def plugin(monkeypatch):
    point = importlib.metadata.EntryPoint("shouting", f"{__name__}:Shouting", "vexrepo.hooks")
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: Shouting)
    monkeypatch.setattr(Plugins, "_points", lambda self: importlib.metadata.EntryPoints([point]))


def config(**values: Any) -> Config:
    made = Config()
    for key, value in values.items():
        made.add(f"checks.{key}", value, "here")
    return made


def test_every_built_in_check_has_its_settings_in_the_configuration():
    for name in registry.BUILT_IN:
        found = registry.check_class(name)
        assert found.name == name
        assert found.settings is CHECKS[name]
        assert found.meaning and not found.meaning.endswith(".")
        for setting, known in found.settings.items():
            assert check_key(f"checks.{name}_{setting}") == known


def test_foreign_changes_pass_other_checks_than_own_ones():
    assert registry.make_checks("pre-import", config()) == []
    made = registry.make_checks("pre-import", config(foreign="auto"))
    assert [each.name for each in made] == ["schema", "secrets", "injection", "drift"]
    assert registry.make_checks("pre-commit", config()) == []
    made = registry.make_checks("pre-commit", config(own="secrets, pii,secrets"))
    assert [each.name for each in made] == ["secrets", "pii"]


def test_no_check_stands_at_a_post_event():
    assert registry.make_checks("post-import", config(own="secrets")) == []


def test_an_unknown_check_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError) as caught:
        registry.parse_names("schema,secret")
    assert caught.value.code == "bad-config"
    assert "did you mean secrets" in str(caught.value)


def test_a_check_that_is_installed_beside_has_settings_too(plugin):
    assert "shouting" in registry.names()
    (made,) = registry.make_checks("pre-import", config(foreign="shouting", shouting_share=0.5))
    assert isinstance(made, Shouting) and made.share == 0.5
    with pytest.raises(UsageError, match="has no setting 'shore'"):
        registry.make_checks("pre-import", config(foreign="shouting", shouting_shore=1))
    with pytest.raises(UsageError, match="from 0 to 1"):
        registry.make_check("shouting", {"share": 3})
    with pytest.raises(UsageError, match="must be a float"):
        registry.make_check("shouting", {"share": "half"})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("12", 12), ("-3", -3), ("0.25", 0.25), ("a,b", "a,b"), ("1e5x", "1e5x")]
)
def test_a_setting_of_an_unknown_check_is_taken_as_it_comes(text, value):
    found = parse_value("checks.shouting_share", text)
    assert found == value and type(found) is type(value)


def test_a_misspelt_setting_of_a_built_in_check_is_refused():
    with pytest.raises(UsageError, match=r"did you mean checks\.secrets_severity"):
        check_key("checks.secrets_severty")
    with pytest.raises(InvalidData, match="must be a number"):
        config(injection_threshold="high")
    assert config(injection_threshold=1)["checks.injection_threshold"] == 1.0
    assert parse_value("checks.injection_threshold", "0.5") == 0.5


@pytest.mark.parametrize("name", ["schema", "secrets", "injection", "pii", "drift"])
def test_a_severity_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="must be veto, warning or note") as caught:
        registry.make_check(name, {"severity": "fatal"})
    assert caught.value.code == "bad-config"


def test_severities_are_ordered():
    assert Severity.NOTE < Severity.WARNING < Severity.VETO
