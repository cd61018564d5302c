"""The check ``injection``: memories that read like instructions to the agent that will remember them.

Signals are found in the words (whatever their disguise), in marks that belong to a model's conversation, in what is
hidden and in what is encoded; together they make a score.  Where all of it is quoted, or the text speaks about attacks,
the score is lowered: notes on security are memories too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from vexrepo.config import CHECKS
from vexrepo.errors import UsageError
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.checks import encoded, hidden
from vexrepo.hooks.checks.injection_rules import Signal
from vexrepo.hooks.checks.lexicon import Class
from vexrepo.hooks.checks.signals import kinds_of, match_phrases, match_rules, read_words
from vexrepo.hooks.folding import fold, is_usual
from vexrepo.hooks.texts import QuietTexts, field_name

MOST_CHARACTERS = 1 << 20  # of a memory that are read
MOST_PER_MEMORY = 4  # findings
_LAST_DEPTH = 2  # encoded inside encoded
_UUID_LENGTH = 36

_QUOTED = re.compile(
    r"\"(?=[^\"\n]* )[^\"\n]{1,400}\"(?! ?:)|“[^”\n]{1,400}[”“]|„[^“”\n]{1,400}[“”]|«[^»\n]{1,400}»"
    r"|「[^」\n]{1,400}」|`[^`\n]{1,400}`|(?<!\w)'[^'\n]{1,400}'(?!\w)|‘[^’\n]{1,400}’"
)
# Words of people who write about attacks and about models.
_DISCUSSION = re.compile(
    r"\b(?:attack(?:s|ers?|ed)?|injections?|jailbreaks?|phishing|red.?team|guardrails?|examples?|phrases?|test(?:s|ed|ing)?"
    r"|cases?|classif\w+|detect\w*|refus(?:e|ed|es|al)|flagged|block(?:ed|s| list)|malicious|adversarial|owasp"
    r"|evaluation|training|paper|blog|incident|benchmark|templates?|tokenizers?|markers?|expects?|docs"
    r"|documentation|parser|syntax"
    r"|angriffe?|beispiele?|schulung|lehnte|abgelehnt|attaques?|exemples?|formation|ataques?|ejemplos?|инъекц\w*|атак\w*"
    r"|пример\w*)\b|攻击|注入|例子|示例|培训|攻撃|研修|インジェクション"
)
_ADDRESS = re.compile(r"\S{1,200}[./@]\w\S{0,200}")  # the "example" of example.org is no word
_AGAIN = 0.3  # what a second rule of one name counts
_INNER_LEAST = 0.4  # the score from which an inner text is an instruction


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much a text reads like an instruction, from 0 to 1, and why."""

    score: float
    signals: tuple[Signal, ...] = ()


_NOTHING = Verdict(0.0)


class InjectionCheck(Check):
    """Each text of a memory alone: what is spread over several is not seen."""

    name: ClassVar[str] = "injection"
    meaning: ClassVar[str] = "instructions aimed at an agent, hidden text, look-alikes of prompts and tool calls"
    settings = CHECKS["injection"]

    def __init__(self, threshold: float, warn: float, severity: Severity) -> None:
        self._threshold = threshold
        self._warn = warn
        self._severity = severity
        self._quiet = QuietTexts()

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings.  Raises: UsageError (bad-config)."""
        given = cls.complete(settings)
        threshold, warn = cls.share_of(given, "threshold"), cls.share_of(given, "warn")
        if warn > threshold:
            raise UsageError(
                f"checks.injection_warn is {warn:g}, above checks.injection_threshold, {threshold:g}", code="bad-config"
            )
        return cls(threshold, warn, cls.severity_of(given, "severity"))

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Yield the texts whose score is high enough, the worst first, at most a few for a memory."""
        quiet = self._quiet
        for change in changes:
            total = 0
            is_loud = False
            for text in change.strings:
                total += len(text)
                if is_loud or text in quiet:
                    continue
                if total > MOST_CHARACTERS or not (
                    (len(text) == _UUID_LENGTH and encoded.UUID.fullmatch(text)) or is_quiet(text, self._warn)
                ):
                    is_loud = True
                else:
                    quiet.add(text)
            if total > MOST_CHARACTERS:
                yield self._say_too_long(change, total)
            if is_loud:
                yield from self._look_at(change)

    def _look_at(self, change: Change) -> Iterator[Finding]:
        left, found = MOST_CHARACTERS, []
        for text in change.texts:
            verdict = judge(text.text[:left])
            left -= min(left, len(text.text))
            if verdict.signals and verdict.score >= self._warn:
                found.append((verdict, text))
        found.sort(key=lambda each: -each[0].score)
        namespace, identifier = change.name
        for verdict, text in found[:MOST_PER_MEMORY]:
            strongest = max(verdict.signals, key=lambda each: each.weight)
            meanings = "; ".join(dict.fromkeys(each.meaning for each in verdict.signals))
            yield Finding(
                self.name,
                strongest.name,
                self._severity if verdict.score >= self._threshold else min(Severity.WARNING, self._severity),
                namespace,
                identifier,
                field_name(text),
                f"reads like instructions to an agent ({verdict.score:.2f}): {meanings}",
                round(verdict.score, 3),
            )

    def _say_too_long(self, change: Change, total: int) -> Finding:
        namespace, identifier = change.name
        return Finding(
            self.name,
            "too-long",
            min(Severity.WARNING, self._severity),
            namespace,
            identifier,
            "",
            f"{total:,} characters, of which only the first {MOST_CHARACTERS:,} were read",
        )


def is_quiet(text: str, least: float) -> bool:
    """Whether the score of a text is certainly below ``least``; ordinary memories are done with this."""
    if not is_usual(text) and hidden.find_hidden(text).signals:
        return False
    folded = fold(text)
    hits = read_words(folded)
    present = kinds_of(hits)
    if encoded.may_be_encoded(folded, hits, present) or ("<" in folded and next(hidden.find_unseen(folded), None)):
        return False
    signals = [*match_rules(hits, present), *match_phrases(folded, present)]
    return not signals or (not present & Class.DISGUISED and _combine(signals) < least)


def judge(text: str, depth: int = 0) -> Verdict:
    """Return how much a text reads like an instruction to an agent."""
    folded = fold(text)
    hits = read_words(folded)
    present = kinds_of(hits)
    open_signals = [*match_rules(hits, present), *match_phrases(folded, present)]
    # No honest context explains what is hidden or encoded: it counts in full, whatever the text says around it.
    covert = [] if depth else list(hidden.find_unseen(folded))
    found_hidden = hidden.find_hidden(text)
    covert += found_hidden.signals
    if depth < _LAST_DEPTH:
        for inner in found_hidden.texts:
            if judge(inner, depth + 1).score >= _INNER_LEAST:
                covert.append(Signal("hidden-text", 0.95, "the hidden text is an instruction"))
        if encoded.may_be_encoded(folded, hits, present):
            inner_score = max(
                (judge(each, depth + 1).score for each in encoded.iter_decoded(text, present)), default=0.0
            )
            if inner_score >= _INNER_LEAST:
                covert.append(Signal("encoded", max(0.75, inner_score), "an encoded part is an instruction"))
    if not open_signals and not covert:
        return _NOTHING
    score = _combine(open_signals)
    if score:
        score *= _context(folded, score)
        if present & Class.DISGUISED:
            covert.append(Signal("disguise", 0.3, "words of it are disguised"))
    signals = (*covert, *open_signals)
    return Verdict(1 - (1 - score) * (1 - _combine(covert)), tuple(sorted(signals, key=lambda each: -each.weight)))


def _combine(signals: Sequence[Signal]) -> float:
    """Return the chance that at least one signal is right; of one name the strongest counts in full."""
    seen: set[str] = set()
    miss = 1.0
    for signal in sorted(signals, key=lambda each: -each.weight):
        miss *= 1 - signal.weight * (_AGAIN if signal.name in seen else 1)
        seen.add(signal.name)
    return 1 - miss


def _context(folded: str, score: float) -> float:
    """Return what is left of the score of a text's open signals, seen how it speaks of them."""
    rest = _QUOTED.sub(" … ", folded)
    talk = len({match.group() for match in _DISCUSSION.finditer(_ADDRESS.sub(" ", rest))})
    is_quoted = False
    if len(rest) < len(folded):
        hits = read_words(rest)
        present = kinds_of(hits)
        is_quoted = _combine([*match_rules(hits, present), *match_phrases(rest, present)]) < score / 2
    if is_quoted:
        return 0.3 if talk else 0.8
    return (1.0, 0.8)[talk] if talk < 2 else 0.5
