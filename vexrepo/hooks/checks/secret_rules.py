"""What secrets look like: tokens known by their form, and words that announce one.

Every pattern is bounded or begins where the character before it cannot belong to it, so that a text is read in time
that grows with its length.  Sources: the formats that the issuers publish for secret scanning.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple

import orjson

HINT_LENGTH = 4  # characters of a known prefix that a finding may show


class SecretRule(NamedTuple):
    """A form of secret.  ``is_right`` looks closer at a match; ``shows``: the beginning is a public prefix."""

    name: str
    what: str
    pattern: str
    is_right: Callable[[str], bool] | None = None
    shows: bool = True


def _is_jwt(token: str) -> bool:
    head = token.split(".", 1)[0]
    try:
        value = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(value, dict) and "alg" in value


def _is_mixed(token: str) -> bool:
    """Whether there are digits and letters of both cases, as in what a generator made."""
    return (
        any(each.isdigit() for each in token)
        and any(each.islower() for each in token)
        and any(each.isupper() for each in token)
    )


def is_aws_secret(token: str) -> bool:
    """Whether forty characters are as AWS makes them, and not a digest."""
    return _is_mixed(token) and not token.isalnum()


_BEFORE, _END = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-])"


def _token(prefix: str, body: str) -> str:
    return f"{_BEFORE}(?:{prefix}){body}{_END}"


# Tried one after another on words that are long enough; the first that fits names the secret.
TOKENS: tuple[SecretRule, ...] = (
    SecretRule("aws-key", "an AWS access key id", _token("(?:AKIA|ASIA|ABIA|ACCA)", "[A-Z2-7]{16}")),
    SecretRule("google-api-key", "a Google API key", _token("AIza", r"[\w-]{35}")),
    SecretRule("google-oauth", "a Google OAuth client secret", _token("GOCSPX-", r"[\w-]{28}")),
    SecretRule("google-token", "a Google access token", _token(r"ya29\.", r"[\w-]{30,}")),
    SecretRule(
        "azure-secret",
        "an Azure client secret",
        r"(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}(?![\w~-]|\.\w)",
        _is_mixed,
        False,
    ),
    SecretRule("github-token", "a GitHub token", _token("gh[pousr]_", "[A-Za-z0-9]{36,251}")),
    SecretRule("github-token", "a GitHub token", _token("github_pat_", r"\w{22,255}")),
    SecretRule(
        "gitlab-token",
        "a GitLab token",
        _token("gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-", r"[\w-]{20,300}(?:\.[\w-]{1,60}){0,4}"),
    ),
    SecretRule("slack-token", "a Slack token", _token("xox[abeoprs]-", r"[\w-]{20,}")),
    SecretRule("slack-token", "a Slack token", _token("xapp-", r"\d-[\w-]{20,}")),
    SecretRule(
        "slack-webhook",
        "a Slack webhook",
        r"(?:https://)?hooks\.slack\.com/(?:services|workflows|triggers)/T\w{6,14}/\w{6,20}/\w{20,48}",
        None,
        False,
    ),
    SecretRule(
        "discord-webhook",
        "a Discord webhook",
        r"(?:https://)?discord(?:app)?\.com/api/webhooks/\d{16,20}/[\w-]{60,80}",
        None,
        False,
    ),
    SecretRule(
        "discord-token",
        "a Discord bot token",
        r"(?<![\w.-])[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,45}(?![\w-]|\.\w)",
        _is_mixed,
        False,
    ),
    SecretRule("stripe-key", "a Stripe key", _token("[sr]k_(?:live|test)_", "[A-Za-z0-9]{16,200}")),
    SecretRule("webhook-secret", "a webhook signing secret", _token("whsec_", "[A-Za-z0-9+/=]{24,}")),
    SecretRule("anthropic-key", "an Anthropic API key", _token("sk-ant-", r"[\w-]{24,}")),
    SecretRule(
        "openai-key",
        "an OpenAI API key",
        _token("sk-", r"(?:proj-|svcacct-|admin-|None-)?[\w-]{10,120}T3BlbkFJ[\w-]{10,120}"),
    ),
    SecretRule(
        "api-key",
        "an API key",
        _token("sk-(?:or-v1-|proj-|svcacct-|lf-)?", r"[A-Za-z0-9]{32,64}"),
        lambda t: any(map(str.isdigit, t)),
    ),
    SecretRule("npm-token", "an npm token", _token("npm_", "[A-Za-z0-9]{36}")),
    SecretRule("pypi-token", "a PyPI token", _token("pypi-AgE", r"[\w-]{50,}")),
    SecretRule("twilio-key", "a Twilio key", _token("SK", "[0-9a-f]{32}")),
    SecretRule("sendgrid-key", "a SendGrid key", _token(r"SG\.", r"[\w-]{16,32}\.[\w-]{32,64}")),
    SecretRule("mailgun-key", "a Mailgun key", _token("key-", "[0-9a-f]{32}")),
    SecretRule("mailchimp-key", "a Mailchimp key", _token("", r"[0-9a-f]{32}-us\d{1,2}"), None, False),
    SecretRule("digitalocean-token", "a DigitalOcean token", _token("do[opr]_v1_", "[0-9a-f]{64}")),
    SecretRule("huggingface-token", "a Hugging Face token", _token("(?:hf|api_org)_", "[A-Za-z]{34}")),
    SecretRule("vault-token", "a Vault token", _token(r"hv[sbr]\.", r"[\w-]{24,}")),
    SecretRule("shopify-token", "a Shopify token", _token("shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]{32}")),
    SecretRule("telegram-token", "a Telegram bot token", r"(?<![\w:])\d{8,10}:AA[\w-]{32,35}(?![\w-])", None, False),
    SecretRule(
        "doppler-token",
        "a Doppler token",
        _token(r"dp\.(?:pt|st|ct|sa|scim|audit)\.", r"(?:[a-z_]{2,30}\.)?[\w-]{40,}"),
    ),
    SecretRule("linear-key", "a Linear key", _token("lin_(?:api|oauth)_", "[A-Za-z0-9]{32,}")),
    SecretRule("databricks-token", "a Databricks token", _token("dapi", r"[0-9a-f]{32}(?:-\d)?")),
    SecretRule("postman-key", "a Postman key", _token("PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}")),
    SecretRule("square-token", "a Square token", _token("(?:sq0(?:csp|atp)-|EAAA[EF])", r"[\w-]{22,}")),
    SecretRule("groq-key", "a Groq key", _token("gsk_", "[A-Za-z0-9]{48,56}")),
    SecretRule("xai-key", "an xAI key", _token("xai-", "[A-Za-z0-9]{70,90}")),
    SecretRule("replicate-token", "a Replicate token", _token("r8_", "[A-Za-z0-9]{37}")),
    SecretRule("pinecone-key", "a Pinecone key", _token("pcsk_", "[A-Za-z0-9]{4,8}_[A-Za-z0-9]{50,70}")),
    SecretRule("docker-token", "a Docker Hub token", _token("dckr_(?:pat|oat)_", r"[\w-]{24,}")),
    SecretRule(
        "terraform-token", "a Terraform Cloud token", _token("", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,70}"), None, False
    ),
    SecretRule("heroku-key", "a Heroku key", _token("HRKU-", r"[\w-]{36,64}")),
    SecretRule("newrelic-key", "a New Relic key", _token("NR(?:AK|JS|II)-", "[A-Za-z0-9]{19,32}")),
    SecretRule("grafana-token", "a Grafana token", _token("gl(?:sa|c)_", r"[\w+/=-]{32,}")),
    SecretRule("sentry-token", "a Sentry token", _token("sntry[su]_", r"[\w+/=-]{32,}")),
    SecretRule("notion-token", "a Notion token", _token("(?:ntn|secret)_", "[A-Za-z0-9]{40,50}"), _is_mixed),
    SecretRule("figma-token", "a Figma token", _token("fig[dor]_", r"[\w-]{36,}")),
    SecretRule("atlassian-token", "an Atlassian token", _token("ATATT3x", r"[\w=-]{80,}")),
    SecretRule("airtable-token", "an Airtable token", _token("pat", r"[A-Za-z0-9]{14}\.[0-9a-f]{64}")),
    SecretRule("supabase-key", "a Supabase key", _token("sb[ps]_(?:secret_)?", r"[\w-]{30,}")),
    SecretRule("perplexity-key", "a Perplexity key", _token("pplx-", "[A-Za-z0-9]{40,60}")),
    SecretRule("langchain-key", "a LangSmith key", _token("lsv2_(?:pt|sk)_", "[0-9a-f]{32}_[0-9a-f]{10}")),
    SecretRule("age-key", "an age identity", _token("AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}")),
    SecretRule("jwt", "a JSON Web Token", _token("eyJ", r"[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"), _is_jwt, False),
)
LEAST_TOKEN = 16  # characters of the shortest of them
TOKEN = re.compile("|".join(f"(?P<r{number}>{rule.pattern})" for number, rule in enumerate(TOKENS)))
RUN = re.compile(r"[A-Za-z0-9_-]+")
# Words that may be one; most texts have none.
LONG_WORD = re.compile(rf"[^\s\"'`<>(),;=\[\]{{}}|]{{{LEAST_TOKEN},}}")
IDENTIFIER = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|(?!key-|dapi|shp|do[opr]_|api)[a-z0-9]{1,12}[:_-]?[0-9a-f]{16,128}"
    r"|\d{4}-\d\d-\d\dT[\d:.]{5,15}(?:Z|[+-]\d\d:?\d\d)?"
)
BASE64_WORD = re.compile(r"[A-Za-z0-9+/_-]{24,4096}={0,2}")

PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_SKIPPED = re.compile(r"\\[nr]|\s|[A-Za-z-]{1,20}: [^\n\\]{1,80}(?:\n|\\n)")
_PEM_BODY = re.compile(r"[A-Za-z0-9+/=]{40}")
AZURE_STORAGE = re.compile(r"(?:account|sharedaccess)key=([a-z0-9+/]{40,90}={0,2})", re.IGNORECASE)
# scheme://user:password@host
URL_PASSWORD = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}://([^\s:@/'\"<>]{0,64}):([^\s/'\"<>]{3,200})@[\w\[{$]"
)
# curl -u user:password
USER_OPTION = re.compile(r"(?<!\S)(?:-u|--user|--proxy-user)[ =]['\"]?([^\s:'\"]{1,64}):([^\s'\"]{4,200})")
AWS_SECRET = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=_-])")
WIREGUARD = re.compile(r"(?:private|preshared)key *= *([a-z0-9+/]{42}[aeimquycgkosw048]=)", re.IGNORECASE)
SEED_PHRASE = re.compile(
    r"(?:(?:seed|recovery|secret|backup|wallet)[ _-]?(?:phrase|words)|mnemonic(?: phrase)?)[^\n:.]{0,30}[:=]? ?"
    r"((?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8})(?![a-z])"
)
# None of the 2,048 words of which wallets make their phrases (BIP-39), but of nearly every sentence.
_SENTENCE_WORDS = frozenset(
    (
        *("the", "and", "for", "are", "with", "from", "was", "has", "had", "not", "but", "our", "his", "her", "its"),
        *("does", "been", "will", "were"),
    )
)

# Words that announce a secret, in several languages.  "Strong" ones are used for little else.
_STRONG = (
    r"pass ?words?|passwd|pass ?phrase|passcode|passwort|passwörter|kennwort|pwd|pw|psk|mot de passe|mdp|contrase[nñ]a"
    r"|senha|wachtwoord|has[lł]o|lösenord|парол[ьяюи]|密码|密碼|口令|パスワード|비밀번호"
    r"|(?:client|app|api|shared|signing|webhook|consumer)[ _-]?secret"
    r"|(?:api|access|secret|private|signing|encryption|master|service|account|license)[ _-]?key"
    r"|(?:api|access|auth|bearer|refresh|bot|deploy|personal|session)[ _-]?token|secret[ _-]?access[ _-]?key"
)
_WEAK = r"secret|token|credentials?|bearer|login|zugangsdaten|clave|jeton|токен|令牌|トークン"
_SEPARATOR = r"[^\S\n]{0,3}(?::=|=>|->|→|={1,2}|[:：])[^\S\n]{0,3}"
_VERB = r"[^\S\n]{1,3}(?:is|was|are|lautet|ist|est|es|é|è|jest|это|=)[^\S\n]{1,3}|[是はがを为為]{1,2}[:：]?[^\S\n]{0,2}"
ANNOUNCED = re.compile(
    rf"(?:(?P<strong>(?<![a-z])(?:{_STRONG}))|(?P<weak>(?<![a-z])(?:{_WEAK})))(?:['\"`)\]]{{1,2}})?(?:"
    rf"(?P<apart>(?:[^\S\n]{{1,2}}[^\s.,;:!?=]{{1,20}}){{0,5}}?(?:{_SEPARATOR}|{_VERB}))|[^\S\n]{{1,3}})"
    r"(?:bearer |basic )?['\"`(]?(?P<value>[^\s'\"`,;)]{6,200})",
    re.IGNORECASE,
)
ANNOUNCING_NAME = re.compile(
    r"(?:pass[ _-]?(?:word|wd|phrase|code)?|passwort|pwd|secret|token|credential"
    r"|(?:api|access|private|secret|signing|auth)[ _-]?key)s?$",
    re.IGNORECASE,
)
# One of these is in every text that ANNOUNCED and what is like it can find; looked for in lower case.
HINTS = (
    *("pass", "pw", "token", "secret", "key", "cred", "bearer", "psk", "mdp", "mot de", "kennwort", "senha", "clave"),
    *("login", "jeton", "zugang", "seed", "mnemonic", "wallet", "://", " -u", "user"),
)
HINTS_ABROAD = (
    "парол",
    "токен",
    "密码",
    "密碼",
    "口令",
    "令牌",
    "パスワード",
    "トークン",
    "비밀번호",
    "contraseñ",
    "hasło",
    "lösenord",
)

_FILLER = re.compile(
    r"example|your|x{4}|\*{3}|\.{3}|…|placeholder|dummy|sample|redacted|changeme|change_me|replace|insert|foobar|fake"
    r"|<|>|\$\{|\{\{|\$\(|%\(|%s|abcdefg|12345678|00000000|deadbeef|todo|hunter2|not-?a-?real|secret_?here|goes_?here",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?:os\.|process\.env|env\.|env\[|getenv|environ|config\.|config\[|settings\.|self\.|vault:|secrets\.|ssm:|op://"
    r"|file:|/|~/|\./|https?:|\$[A-Za-z_{(]|%[A-Za-z_]|\{|\[|@|#\w)",
    re.IGNORECASE,
)
DEFAULT_PASSWORDS = frozenset(
    (
        "password",
        "pass",
        "passwd",
        "secret",
        "postgres",
        "root",
        "admin",
        "user",
        "guest",
        "test",
        "pw",
        "pwd",
        "changeit",
        "passwort",
        "motdepasse",
        "minioadmin",
        "rabbitmq",
        "redis",
        "mysql",
        "docker",
        "token",
        "mypassword",
        "supersecret",
    )
)
_VALUE_SIGNS = frozenset("0123456789!#$%&*+^~=@?")
_PART = re.compile(r"[-_./:@+]")
# Examples that documentation gives: the first bytes of their SHA-256, so that they are not written here.
_EXAMPLES = frozenset(("2cafc0970149a84f", "7f75367e78812551", "0011cc25eb432071"))  # Stripe, jwt.io, Azurite


def is_filler(token: str) -> bool:
    """Whether a token stands for one: a placeholder, a pattern of a few characters, an example of the documentation."""
    return (
        _FILLER.search(token) is not None
        or len(set(token)) < min(6, len(token) // 2 + 1)
        or hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()[:16] in _EXAMPLES
    )


def is_seed_phrase(text: str) -> bool:
    """Whether words are a wallet's recovery phrase rather than a sentence."""
    words = text.replace(",", " ").split()
    return len(set(words)) >= len(words) // 2 and _SENTENCE_WORDS.isdisjoint(words)


def has_value(text: str) -> bool:
    """Whether a text has a word that ``is_secret_value`` could take: most have none."""
    for word in text.split():
        if len(word) >= 6 and not word.isalpha() and not _VALUE_SIGNS.isdisjoint(word) and word.lower() != word.upper():
            return True
    return False


def has_pem_body(text: str, end: int) -> bool:
    """Whether a private key follows a PEM header that ends at ``end``."""
    return _PEM_BODY.match(_PEM_SKIPPED.sub("", text[end : end + 400])) is not None


def is_secret_value(value: str, *, is_certain: bool, follows: bool) -> bool:
    """Whether a word looks like the secret that was announced.

    ``is_certain``: the announcing word is used for little else; ``follows``: a sign such as ``:`` or "is" leads to it.
    """
    value = value.rstrip(".!?:…]}")
    if len(value) < (6 if is_certain and follows else 12) or is_filler(value) or _CODE.match(value):
        return False
    kinds = (
        any(map(str.isdigit, value)),
        any(map(str.islower, value)),
        any(map(str.isupper, value)),
        any(not each.isalnum() and each not in "-_./:" for each in value),
    )
    if not kinds[0]:  # a sentence's words seldom have digits; passwords nearly always
        return is_certain and follows and sum(kinds) == 3 and len(value) >= 8 and not value[0].isupper()
    if not (kinds[1] or kinds[2]):
        return False
    parts = [part for part in _PART.split(value) if part]
    if all(part.isdigit() or part.isalpha() for part in parts) and len(parts) > 1 and not kinds[3]:
        return False  # names and versions: gpt-4-turbo, report-2024, RFC-7519
    if len(value) >= 20:
        return True
    return is_certain and follows and sum(kinds) >= (2 if len(value) >= 8 else 3)
