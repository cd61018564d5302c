"""The check ``secrets``: keys, tokens and passwords in what is to be remembered.  A finding never shows them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from vexrepo.config import CHECKS
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.checks import secret_rules as rules
from vexrepo.hooks.invisible import INVISIBLE
from vexrepo.hooks.texts import QuietTexts, Text, field_name

MOST_PER_MEMORY = 8  # findings; the rest of them says nothing new
_LAST_DEPTH = 2
_LONGEST_NAME = 60


class Found(NamedTuple):
    """A secret in a text.  ``secret`` is never shown; ``shows``: its first characters are public."""

    rule: str
    what: str
    secret: str
    is_generic: bool = False
    shows: bool = False


class SecretsCheck(Check):
    """Tokens by their form, then words that announce a secret together with what follows them."""

    name: ClassVar[str] = "secrets"
    meaning: ClassVar[str] = "keys, tokens, passwords; private keys; connection strings with passwords"
    settings = CHECKS["secrets"]

    def __init__(self, severity: Severity, generic: Severity) -> None:
        self._severity = severity
        self._generic = generic
        self._quiet = QuietTexts()

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings.  Raises: UsageError (bad-config)."""
        given = cls.complete(settings)
        return cls(cls.severity_of(given, "severity"), cls.severity_of(given, "generic"))

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Yield the secrets that are found, at most a few for a memory."""
        quiet = self._quiet
        for change in changes:
            for text in change.strings:
                if text in quiet:
                    continue
                if may_hold(text) and (_announces(text) or find_secrets(text)):
                    yield from self._look_at(change)
                    break
                quiet.add(text)

    def _look_at(self, change: Change) -> Iterator[Finding]:
        found = [(text, each) for text in change.texts for each in _find_in(text)]
        if not found:
            return
        namespace, identifier = change.name
        # A member's name can be a secret, and then is part of what leads to every text below.
        hidden = {text.text for text, _ in found if text.is_name}
        secrets = {each.secret for _, each in found}
        hidden |= {step for text, _ in found for step in text.path if step in secrets}
        for text, each in found[:MOST_PER_MEMORY]:
            length = len(each.secret)
            shown = f" beginning with {each.secret[: rules.HINT_LENGTH]}" if each.shows else ""
            yield Finding(
                self.name,
                each.rule,
                self._generic if each.is_generic else self._severity,
                namespace,
                identifier,
                field_name(text, hidden),
                f"what looks like {each.what}: {length} characters{shown}; take it out, and if it was real, replace it",
            )


def may_hold(text: str) -> bool:
    """Whether a text may hold a secret; most texts are done with this."""
    low = text.lower()
    for hint in rules.HINTS:
        if hint in low:
            return True
    if not text.isascii():
        if any(hint in low for hint in rules.HINTS_ABROAD) or INVISIBLE.search(text):
            return True
    return any(not rules.IDENTIFIER.fullmatch(word) for word in rules.LONG_WORD.findall(text))


def _announces(name: str) -> bool:
    """Whether a member of that name holds a secret."""
    return len(name) <= _LONGEST_NAME and rules.ANNOUNCING_NAME.search(name) is not None


def _find_in(text: Text) -> list[Found]:
    found = find_secrets(text.text)
    label = text.label
    if not found and _announces(label) and len(text.text) <= 200:
        value = text.text.strip()
        if value and " " not in value and rules.is_secret_value(value, is_certain=True, follows=True):
            found.append(Found("generic", "a secret, by the name of its field", value, True))
    return found


def find_secrets(text: str, depth: int = 0) -> list[Found]:
    """Return the secrets in a text, each once."""
    if not text.isascii():
        text = INVISIBLE.sub("", text)
    found: dict[str, Found] = {}
    words = rules.LONG_WORD.findall(text)
    for word in words:
        if not rules.IDENTIFIER.fullmatch(word):
            for each in _find_tokens(word):
                found.setdefault(each.secret, each)
    for each in _find_phrases(text):
        # A token is also what follows "token:"; a part of what was found says nothing new.
        if not any(each.secret in known or known in each.secret for known in found):
            found[each.secret] = each
    if not found and depth < _LAST_DEPTH:
        for word in words:
            inner = _decoded(word)
            if inner:
                found.update((each.secret, each) for each in find_secrets(inner, depth + 1) if not each.is_generic)
    return list(found.values())


def _find_tokens(word: str) -> Iterator[Found]:
    end = 0
    for run in rules.RUN.finditer(word):
        # Every token begins where a run of its letters does: the rest of a long one need not be tried.
        match = rules.TOKEN.match(word, run.start()) if run.start() >= end else None
        if match is None:
            continue
        end = match.end()
        rule = rules.TOKENS[int((match.lastgroup or "r0")[1:])]
        token = match.group()
        if not rules.is_filler(token) and (rule.is_right is None or rule.is_right(token)):
            yield Found(rule.name, rule.what, token, shows=rule.shows)


def _find_phrases(text: str) -> Iterator[Found]:
    for match in rules.PEM.finditer(text):
        if rules.has_pem_body(text, match.end()):
            yield Found("private-key", "a private key", text[match.start() : match.end() + 400])
            break
    if "://" in text:
        for match in rules.URL_PASSWORD.finditer(text):
            if _is_password(*match.groups()):
                yield Found("url-password", "a password in a URL", match.group(2))
    low = text.lower()
    if "key" in low:
        for match in rules.AZURE_STORAGE.finditer(text):
            if not rules.is_filler(match.group(1)):
                yield Found("azure-storage-key", "an Azure storage key", match.group(1))
        for match in rules.WIREGUARD.finditer(text):
            if not rules.is_filler(match.group(1)):
                yield Found("wireguard-key", "a WireGuard key", match.group(1))
    if "aws" in low or "AKIA" in text or "ASIA" in text or "secret" in low:
        for match in rules.AWS_SECRET.finditer(text):
            if rules.is_aws_secret(match.group()) and not rules.is_filler(match.group()):
                yield Found("aws-secret", "an AWS secret access key", match.group())
    if " -u" in text or "user" in low:
        for match in rules.USER_OPTION.finditer(text):
            if _is_password(*match.groups()):
                yield Found("url-password", "a password on a command line", match.group(2))
    if "phrase" in low or "seed" in low or "mnemonic" in low or "wallet" in low:
        for match in rules.SEED_PHRASE.finditer(low):
            if rules.is_seed_phrase(match.group(1)):
                yield Found("seed-phrase", "a wallet's recovery phrase", match.group(1))
    for match in rules.ANNOUNCED.finditer(text) if rules.has_value(text) else ():
        value = match.group("value")
        certain = match.group("strong") is not None
        if rules.is_secret_value(value, is_certain=certain, follows=match.group("apart") is not None):
            yield Found("generic", "a secret, by the words before it", value.rstrip(".!?:…]}"), True)


def _is_password(user: str, value: str) -> bool:
    """Whether what stands for a password in a URL is one: defaults of containers and placeholders are not."""
    return (
        value != user
        and not rules.is_filler(value)
        and value.lower() not in rules.DEFAULT_PASSWORDS
        and not value.startswith(("$", "{", "[", "%("))
        and not value.isdigit()
    )


def _decoded(word: str) -> str:
    """Return what a word means as base64, "" where it is none or not a text."""
    if not rules.BASE64_WORD.fullmatch(word):
        return ""
    try:
        raw = base64.b64decode(
            word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4),
            altchars=b"-_" if "-" in word or "_" in word else None,
        )
        inner = raw.decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return inner if inner.replace("\n", "").replace("\t", "").replace("\r", "").isprintable() else ""
