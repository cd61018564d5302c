"""The rules by which a text is taken for an instruction to an agent: tables, which ``signals`` reads.

What a rule weighs is the chance, roughly, that a memory which fits it is an attack; it was set with the tuned part of
the sample (tests/sample).  Rules of one name say the same thing in several ways.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vexrepo.hooks.checks.lexicon import NOTHING, Class


class Signal(NamedTuple):
    """Something that was found: its name, how much it weighs alone (0 to 1), and what it means."""

    name: str
    weight: float
    meaning: str


class Rule(NamedTuple):
    """Classes of words that must stand within ``window`` words of each other.

    ``denied``: a negation next to a word of these classes turns the sense around ("do not forget the instructions").
    """

    signal: Signal
    parts: tuple[int, ...]
    window: int
    is_ordered: bool = False
    denied: int = NOTHING


class Phrase(NamedTuple):
    """A pattern over the folded text.

    ``signs`` (bits, of ``SIGNS``) or ``kinds`` (classes of words) are looked for first: one must be there.  ``needs``:
    one of these is in every text it fits.
    """

    signal: Signal
    signs: int
    kinds: int
    needs: tuple[str, ...]
    pattern: re.Pattern[str]


_MEANINGS = {
    "override": "asks to set earlier instructions aside",
    "disobey": "asks not to follow earlier instructions",
    "void": "says that earlier instructions are void",
    "new-orders": "gives new instructions",
    "only-me": "asks to obey the writer alone",
    "priority": "sets itself above other instructions",
    "decode": "asks to decode something and act on it",
    "tool-order": "orders the call of a tool",
    "whatever": "orders an answer whatever the facts are",
    "allowed": "says that the agent or user has been given rights",
    "approved": "says that the user agreed",
    "addressed": "speaks to an AI",
    "bidden": "tells an AI what to do",
    "secrecy": "asks to keep a secret",
    "verbatim": "asks for words exactly as they are",
    "erase": "asks to remove its own traces",
    "end-mark": "pretends that the data have ended",
    "role": "gives the agent another role",
    "unbound": "speaks of having no limits",
    "mode": "says that a mode is on or safeguards are off",
    "leak": "asks for the hidden instructions",
    "exfiltration": "asks to send secrets or conversations somewhere",
    "image": "has an image whose address carries data away",
    "conceal": "asks to hide something from the user",
    "unasked": "asks to act without confirmation",
    "persistence": "plants a lasting rule",
    "authority": "speaks to an AI with borrowed authority",
    "template": "has marks that part a model's conversation",
    "tool-call": "looks like a call of a tool",
}

# Name, weight, window in words, > where the order counts, classes; ! where a negation beside it turns the sense.
_RULES = """
    override     0.85  9   - !IGNORE  EARLIER  ORDERS
    override     0.70  7   - !IGNORE  YOURS|SYSTEM  ORDERS
    override     0.60  6   - !IGNORE  ALL  ORDERS
    override     0.70  8   - !IGNORE  ALL  TOLD
    override     0.50  5   - !IGNORE  ALL  EARLIER|ABOVE
    override     0.45  3   - !IGNORE  ABOVE
    override     0.30  4   - !IGNORE  ORDERS
    override     0.45  5   - !IGNORE  YOURS  USER
    disobey      0.65  10  - NOT  OBEY  EARLIER|YOURS|SYSTEM  ORDERS
    disobey      0.30  7   - NOT  OBEY  ORDERS
    disobey      0.50  9   - NOT  OBEY  ALL  TOLD
    void         0.55  10  - YOURS|TOLD  ORDERS  VOID|OFF
    void         0.35  10  - EARLIER  ORDERS  VOID|OFF
    void         0.50  7   > ALL  TOLD  VOID
    only-me      0.50  7   - ONLY  OBEY  MY
    only-me      0.50  7   - ONLY  MY  ORDERS
    only-me      0.40  6   - OBEY  MY  NOW|NOT
    priority     0.50  9   - PRIORITY  ALL  ORDERS
    override     0.60  6   - !BREAKS  YOURS  ORDERS
    new-orders   0.45  4   > YOURS  NEW  ORDERS
    new-orders   0.25  2   > NEW  ORDERS
    role         0.50  7   - YOU  BE  NOW  PERSONA
    role         0.35  7   - YOU  NOW  PERSONA
    role         0.30  12  - YOU  NOT  PERSONA  LIMITS|UNBOUND
    unbound      0.45  10  - NOT|WITHOUT  LIMITS  PERSONA
    unbound      0.30  10  - NOT|WITHOUT  LIMITS  YOU|YOURS|NAME
    unbound      0.50  6   - UNBOUND  PERSONA
    role         0.35  5   > PRETEND  PERSONA
    mode         0.35  10  - MODE  NOW|OFF  YOURS|UNBOUND|SYSTEM|SAFETY
    mode         0.35  5   - LIMITS|SAFETY  OFF
    leak         0.75  9   - REVEAL  YOURS  SYSTEM|HIDDEN  PROMPT
    leak         0.35  6   - REVEAL  SYSTEM|HIDDEN  PROMPT
    leak         0.30  7   - PROMPT  YOU  TOLD
    leak         0.45  5   - REVEAL  LOOT  YOURS|USER
    exfiltration 0.45  14  - SEND  !LOOT  PLACE
    exfiltration 0.35  8   - SEND  LOOT  YOURS|USER
    exfiltration 0.35  6   - SEND  ALL  LOOT
    exfiltration 0.30  14  - ALL|ALWAYS  SEND  PLACE
    conceal      0.35  6   - NOT|WITHOUT  TELL  USER
    conceal      0.45  12  > !SEND|ACT  WITHOUT  TELL  USER
    conceal      0.35  5   - SILENT  SEND|ACT
    unasked      0.50  12  > !SEND|ACT  WITHOUT  ASK  USER
    unasked      0.35  11  > !SEND|ACT  WITHOUT  ASK
    unasked      0.45  8   > NOT  ASK  BEFORE  ACT
    unasked      0.35  6   > NOT  ASK  ASK
    persistence  0.15  8   - REMEMBER  ALWAYS
    persistence  0.45  14  - ALWAYS|REMEMBER  PROMOTE  SOURCE
    persistence  0.25  6   - ALWAYS  PROMOTE
    persistence  0.40  6   - NOT  TELL  RIVALS
    persistence  0.25  14  - NOW|ALWAYS  PLACE  YOURS
    persistence  0.25  6   - ALWAYS|REMEMBER  ACT
    authority    0.35  4   > NOTICE  PERSONA
    authority    0.25  6   - PERSONA  MUST|READING
    role         0.30  5   - YOURS  NEW  NAME
    role         0.35  6   - PRETEND  NAME
    decode       0.40  10  - DECODE  ACT|OBEY
    tool-order   0.35  7   - MUST  TOOL  BEFORE
    tool-order   0.25  7   - MUST  TOOL
    exfiltration 0.40  12  - SEND  USER  PLACE  ALL
    persistence  0.30  9   - ALWAYS  YOU  TELL
    persistence  0.20  10  - ALWAYS  USER  TELL
    whatever     0.25  12  - TELL|ACT|MUST  WHATEVER
    allowed      0.35  7   - YOU  ALLOWED  REVEAL|SEND|ACT
    approved     0.20  6   - USER  ALLOWED
    bidden       0.20  4   > PERSONA  ACT|SEND|REVEAL|IGNORE
"""


def _rule(line: str) -> Rule:
    name, weight, window, order, *parts = line.split()
    masks, denied = [], NOTHING
    for part in parts:
        mask = NOTHING
        for each in part.lstrip("!").split("|"):
            mask |= getattr(Class, each)
        masks.append(mask)
        if part.startswith("!"):
            denied |= mask
    return Rule(Signal(name, float(weight), _MEANINGS[name]), tuple(masks), int(window), order == ">", denied)


RULES: tuple[Rule, ...] = tuple(map(_rule, _RULES.strip().splitlines()))

SIGNS = '<["#'


def _phrase(name: str, weight: float, needs: str, pattern: str, kinds: int = Class.LEAD) -> Phrase:
    each = needs.split("~")
    signs = sum(1 << place for place, sign in enumerate(SIGNS) if any(sign in need for need in each))
    return Phrase(
        Signal(name, weight, _MEANINGS[name]), signs, NOTHING if signs else kinds, tuple(each), re.compile(pattern)
    )


PHRASES: tuple[Phrase, ...] = (
    _phrase("role", 0.4, "stay in character", r"\bstay in character\b"),
    _phrase("authority", 0.4, "i am your", r"\bi am your (?:creator|developer|owner|master|admin|administrator|god)\b"),
    _phrase(
        "leak",
        0.4,
        "what",
        r"\bwhat (?:does|do|is|are|was|were|did) your (?:system |initial |hidden )?"
        r"(?:prompt|instructions)\b",
        Class.PROMPT,
    ),
    _phrase("verbatim", 0.25, "word for word~verbatim~in full", r"\b(?:word for word|verbatim|in full)\b"),
    _phrase(
        "erase",
        0.3,
        "delete~erase~remove",
        r"\b(?:delete|erase|remove) (?:this|these) "
        r"(?:messages?|notes?|instructions?|lines?|memory|memories|e-?mails?|text)\b",
    ),
    _phrase("secrecy", 0.25, "between us~secret", r"\b(?:keep (?:this|it) (?:between us|secret)|between us:)"),
    _phrase(
        "addressed",
        0.35,
        "ai~llm~assistant~agent~chatbot~copilot~ki",
        r"(?:^|[\n.!?:;] ?)(?:dear |hey |hello |liebe |please )?"
        r"(?:ai assistant|ai agent|ai|llm|assistant|agent|chatbot|copilot|ki) ?[,:]",
        Class.PERSONA,
    ),
    _phrase(
        "addressed",
        0.4,
        "any~all~every",
        r"\b(?:any|all|every) (?:ai|llm|language model|large language model|ai assistant|ai agent|chatbot)s?\b "
        r"(?:that|who|which|reading|must|should|processing)",
        Class.PERSONA,
    ),
    _phrase(
        "addressed",
        0.35,
        "to any~to all",
        r"\bto (?:any|all) (?:ai|llm|language model|ai assistant|ai agent|chatbot)s?\b",
        Class.PERSONA,
    ),
    _phrase(
        "template",
        0.75,
        "<|",
        r"<\|(?:im_start|start_header_id|start)\|> ?\n?(?:system|user|assistant|developer|tool)",
    ),
    _phrase(
        "template",
        0.7,
        "<|",
        r"<\|(?:system|user|assistant|developer)\|>",
    ),
    _phrase(
        "template",
        0.4,
        "<|",
        r"<\|(?:im_start|im_end|endoftext|end|eot_id|eom_id|start_header_id|end_header_id|begin_of_text|"
        r"python_tag|channel|message)\|>",
    ),
    _phrase(
        "template",
        0.4,
        "[inst]~[/inst]",
        r"\[/?inst\]",
    ),
    _phrase(
        "template",
        0.45,
        "[inst]",
        r"\[/inst\][^\n]{1,200}\[inst\]|\[inst\][^\n]{1,200}\[/inst\]",
    ),
    _phrase(
        "template",
        0.65,
        "<<sys>>~<</sys>>",
        r"<</?sys>>",
    ),
    _phrase(
        "template",
        0.65,
        "<start_of_turn>",
        r"<start_of_turn> ?(?:user|model|system)",
    ),
    _phrase(
        "template",
        0.45,
        "##",
        r"(?:^|\n)#{2,4} ?(?:system|instructions?|response|human|assistant|prompt)(?: prompt)? ?:",
    ),
    _phrase(
        "template",
        0.45,
        "system~human~assistant~developer",
        r"\n[ \t]{0,8}\n[ \t]{0,8}(?:system|human|assistant|developer)(?: message)? ?:",
    ),
    _phrase(
        "template",
        0.3,
        "system",
        r"\n[ \t]{0,8}system(?: message)? ?: ?(?:you|the user|new|ignore|from|always|never)",
    ),
    _phrase(
        "template",
        0.4,
        "human:",
        r"\bhuman: [^\n]{1,300}\bassistant: ",
    ),
    _phrase(
        "template",
        0.45,
        "<system~<admin~<developer~<instruction~<important",
        r"<(?:system(?:[-_ ](?:reminder|message|prompt|note))?|instructions?|admin|developer|important)>",
    ),
    _phrase(
        "template",
        0.3,
        "</",
        r"</(?:context|documents?|memory|memories|instructions?|system|tool_result|user_input|data|input|"
        r"untrusted|retrieved)>",
    ),
    _phrase(
        "template",
        0.6,
        "[system]~[assistant]~[user]",
        r"\[(?:system|assistant|user)\]\(#",
    ),
    _phrase(
        "template",
        0.4,
        "[system",
        r"\[system(?: message| override| note| prompt| update)?\]",
    ),
    _phrase(
        "end-mark",
        0.25,
        "end of",
        r"\b(?:end|stop) of (?:the )?(?:document|context|input|prompt|data|file|memory|text)\b",
    ),
    _phrase(
        "tool-call",
        0.65,
        "<tool~<func~<invoke~<antml",
        r"<(?:tool_calls?|function_calls?|tool_use|antml:[a-z_]{1,20}|invoke name|function=)",
    ),
    _phrase(
        "tool-call",
        0.5,
        'tool_calls"',
        r'"tool_calls" ?: ?\[',
    ),
    _phrase(
        "tool-call",
        0.35,
        '"type"',
        r'"type" ?: ?"(?:tool_use|function|function_call)"',
    ),
    _phrase(
        "tool-call",
        0.45,
        '"arguments"~"parameters"~"args"~"input"',
        r'"(?:name|tool|function)" ?: ?"[\w.-]{1,64}" ?, ?"(?:arguments|parameters|args|input)" ?:',
    ),
    _phrase(
        "tool-call",
        0.6,
        "action input",
        r"\baction ?: ?[^\n]{1,80}\n[ \t]{0,8}action input ?:",
    ),
    _phrase(
        "image",
        0.7,
        "![",
        r"!\[[^\]\n]{0,200}\]\(https?://[^)\s]{1,300}[?&/=.](?:\$?\{|<|%7b|\[)",
    ),
    _phrase(
        "image",
        0.35,
        "![",
        r"!\[[^\]\n]{0,200}\]\(https?://[^)\s]{1,300}[?&](?:d|q|c|s|x|data|secret|payload|text|msg|"
        r"content)=[a-z_]{0,20}\)",
    ),
    _phrase(
        "role",
        0.6,
        "do anything now",
        r"\bdo anything now\b",
    ),
    _phrase(
        "role",
        0.3,
        "dan",
        r"\b(?:(?:act|be|become|are|hello|hi) (?:now )?(?:as )?dan\b|dan mode)",
    ),
    _phrase(
        "leak",
        0.5,
        "above",
        r"\b(?:repeat|print|output|show|copy) (?:everything|all|the (?:words|text|lines|sentences)|"
        r"what(?:ever)? is)(?: written)? above\b",
        Class.ABOVE,
    ),
    _phrase(
        "leak",
        0.35,
        "starting with",
        r"""\bstarting with [\"'“‘]?you are\b""",
    ),
    _phrase(
        "authority",
        0.5,
        "if you",
        r"\bif you(?:'re| are|r) (?:an? |the |any )?(?:ai\b|a\.i\.|llm|large language model|"
        r"language model|ai assistant|assistant|ai agent|agent|chatbot|bot\b|automated)",
        Class.PERSONA,
    ),
    _phrase(
        "authority",
        0.5,
        "wenn du~si tu es~si eres~если ты~如果你是",
        r"\bwenn du (?:eine? )?(?:ki|ai|assistent|sprachmodell)|\bsi tu es une? (?:ia|assistant|modele)|"
        r"\bsi eres una? (?:ia|asistente|modelo)|если ты (?:ии|ассистент|языков)|如果你是(?:一个)?(?:ai|人工智能|"
        r"助手|语言模型)",
        Class.PERSONA,
    ),
    _phrase(
        "authority",
        0.5,
        "overrid~access granted~mode enabled",
        r"\b(?:system|admin(?:istrator)?|root|security|developer) ?(?:override|mode enabled|"
        r"access granted)\b|\boverride (?:code|protocol|authori[sz]ed)",
    ),
    _phrase(
        "authority",
        0.35,
        "developer~creator~openai~anthropic~provider~administrator",
        r"\b(?:message|note|order|instruction|directive|update)s? from (?:your|the) (?:developers?|"
        r"creators?|openai|anthropic|google|model provider|provider|administrators?)\b",
    ),
    _phrase(
        "authority",
        0.35,
        "note to~attention~to all~dear",
        r"\b(?:note to|attention|message (?:to|for)|to all|dear) (?:any |all |the )?(?:llms?|ai\b|ais\b|"
        r"ai agents?|ai assistants?|language models?|chatbots?|assistants?\b)",
        Class.PERSONA,
    ),
    _phrase(
        "authority",
        0.25,
        "you must",
        r"\byou must (?:now |always )?(?:comply|obey|answer|execute|respond|approve|call|reveal)\b",
    ),
)
