"""The check secrets: what it finds, what it leaves alone, and that it never shows what it found."""

from typing import Any

import pytest

from tests.sample.fakes import DISGUISES, HARMLESS, SECRETS, Fakes
from vexrepo.hooks.check import Change, Finding, Severity
from vexrepo.hooks.checks.secrets import SecretsCheck, find_secrets
from vexrepo.objects import record

RULES = {
    "aws_id": "aws-key", "google_api": "google-api-key", "google_oauth": "google-oauth", "azure_client": "azure-secret",
    "github_pat": "github-token", "github_oauth": "github-token", "github_fine": "github-token",
    "gitlab_pat": "gitlab-token", "slack_bot": "slack-token", "slack_hook": "slack-webhook",
    "stripe_live": "stripe-key", "stripe_restricted": "stripe-key", "openai_project": "openai-key",
    "openai_old": "openai-key", "anthropic": "anthropic-key", "npm": "npm-token", "pypi": "pypi-token",
    "twilio_key": "twilio-key", "sendgrid": "sendgrid-key", "jwt": "jwt", "pem_rsa": "private-key",
    "pem_openssh": "private-key", "pem_pgp": "private-key", "telegram": "telegram-token",
    "digitalocean": "digitalocean-token", "huggingface": "huggingface-token", "vault": "vault-token",
    "shopify": "shopify-token", "discord": "discord-token", "doppler": "doppler-token", "linear": "linear-key",
    "age": "age-key", "mailgun": "mailgun-key", "databricks": "databricks-token", "postman": "postman-key",
    "square": "square-token", "square_token": "square-token", "groq": "groq-key", "xai": "xai-key",
    "dockerhub": "docker-token", "terraform": "terraform-token", "heroku": "heroku-key", "newrelic": "newrelic-key",
    "grafana": "grafana-token", "discord_hook": "discord-webhook", "sentry": "sentry-token",
    "replicate": "replicate-token", "pinecone": "pinecone-key",
}  # fmt: skip
# Known by what stands before them only.
ANNOUNCED = {"aws_secret", "azure_key", "wireguard", "password", "random32", "random40", "hex32", "hex40", "twilio_sid",
             "pem_private_json"}  # fmt: skip


def look(value: dict[str, Any], **settings: Any) -> list[Finding]:
    item = record.from_json({"id": "m1", "namespace": "notes", **value})
    return list(SecretsCheck.make(settings).look([Change(item.key, None, item)]))


def test_every_kind_of_fake_is_accounted_for():
    assert set(SECRETS) == set(RULES) | ANNOUNCED


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_tokens_of_known_form_are_found_by_their_rule(kind, seed):
    token = SECRETS[kind](Fakes(f"{kind}{seed}"))
    for text in (token, f"the key: {token}.", f"(“{token}”, {token})", f"A={token}\nB=2"):
        (finding,) = look({"text": text})
        assert finding.rule == RULES[kind]
        assert finding.severity is Severity.VETO
        assert (finding.namespace, finding.id, finding.field) == ("notes", "m1", "text")
        assert token not in finding.message and token[5:15] not in finding.message
        assert f"{len(token)} characters" in finding.message or kind.startswith("pem")


@pytest.mark.parametrize("kind", ["github_pat", "anthropic", "stripe_live", "aws_id"])
def test_a_token_inside_a_longer_word_is_none(kind):
    token = SECRETS[kind](Fakes(kind))
    assert look({"text": f"x{token}"}) == []
    assert kind != "aws_id" or look({"text": f"{token}ABC"}) == []


@pytest.mark.parametrize("kind", HARMLESS)
def test_hashes_ids_and_embeddings_are_no_secrets(kind):
    for seed in range(20):
        made = HARMLESS[kind](Fakes(f"{seed}"))
        assert look({"text": made, "metadata": {"value": f"of {made}", "list": [made]}}) == [], made


@pytest.mark.parametrize(
    "text",
    [
        "password: {}",
        "Password={}",
        "pwd -> {}",
        "the password for the old NAS is {}",
        "PASSWORT: {}",
        "das Passwort lautet {}",
        "mot de passe : {}",
        "la contraseña es {}",
        "Пароль: {}",
        "密码是{}",
        "密碼：{}",
        "パスワードは{}です",
        "비밀번호: {}",
        "hasło: {}",
        "senha: {}",
        "passphrase := {}",
        '"password": "{}"',
        "'api_key': '{}'",
        "api key = {}",
        "client_secret={}",
        "access token: {}",
        "psk={}",
    ],
)
def test_passwords_are_found_by_the_words_before_them(text):
    for seed in range(8):
        password = Fakes(f"{text}{seed}").password()
        (finding,) = look({"text": text.format(password)})
        assert finding.rule == "generic" and finding.severity is Severity.WARNING
        assert password not in finding.message and password[:4] not in finding.message


@pytest.mark.parametrize(
    "text",
    [
        "password: changeme",
        "password=********",
        "password: <your password>",
        "password is required",
        "the password is in the safe",
        "password = os.environ['PASSWORD1']",
        "api_key=${API_KEY1}",
        "token: {{token1}}",
        "api_key = getenv('KEY_1')",
        "password: see 1Password",
        "token: 4096",
        "pw 12345678",
        "secret: config.secret1",
        "password: correct-horse-battery",
        "the token is gpt-4o-2024-08-06",
        "key: value1",
        "keyword: mem_8f3a1c",
        "password policy: 14 characters",
        "token bucket with 100/s",
        "API key: https://console.example.com/keys/1",
        "secret_key: arn:aws:iam",
        "password 2024-05-01",
        "postgres://app:app@localhost/app",
        "redis://:password@cache/0",
        "https://user:pass@example.com",
        "amqp://guest:guest@mq",
        "mysql://root:${ROOT_PW}@db/app",
        "git@github.com:a/b.git",
        "http://localhost:8080/@scope/pkg",
        "see https://example.org:8443/a@b",
    ],
)
def test_ordinary_sentences_and_placeholders_are_no_secrets(text):
    assert look({"text": text}) == []


def test_examples_of_the_documentation_are_no_secrets():
    for text in (
        "AKIA" + "IOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEX" + "AMPLEKEY",
        "sk-" + "x" * 48,
        "ghp_" + "1234567890abcdefghijklmnopqrstuvwxyz",
        "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
        (
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
            "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
            "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
        ),
    ):
        assert look({"text": text}) == [], text


def test_a_password_in_a_url_is_found_and_its_user_is_not():
    (finding,) = look({"text": "postgres://report:Ostrwin9051x@db.internal:5432/app"})
    assert finding.rule == "url-password" and "12 characters" in finding.message
    (finding,) = look({"text": "curl -u deploy:Ostrwin9051x https://nexus.internal"})
    assert finding.rule == "url-password"


def test_a_secret_is_named_by_where_it_is():
    token = SECRETS["gitlab_pat"](Fakes("field"))
    for value, field in (
        ({"metadata": {"tags": ["a", token]}}, "metadata.tags[1]"),
        ({"metadata": {"a": {"b": [{"c": token}]}}}, "metadata.a.b[0].c"),
        ({"potential": token}, "potential"),
        ({"source_store": token}, "source_store"),
        ({"vex_conflicts": {"text": {"ours": token}}}, "vex_conflicts.text.ours"),
    ):
        (finding,) = look({"text": "t", **value})
        assert finding.field == field


def test_a_secret_in_the_name_of_a_member_is_not_shown_as_part_of_a_path():
    token = SECRETS["github_pat"](Fakes("name"))
    findings = look({"text": "t", "metadata": {token: {"inner": SECRETS["npm"](Fakes("name"))}}})
    assert {finding.field for finding in findings} == {"metadata.* (name)", "metadata.*.inner"}


def test_the_name_of_a_field_announces_a_secret():
    (finding,) = look({"metadata": {"smtp": {"password": "Ostr_win9051"}}, "text": "t"})
    assert (finding.rule, finding.field) == ("generic", "metadata.smtp.password")
    assert look({"metadata": {"token_count": "1834", "primary_key": "mem_8f3a1c", "secret": False}, "text": "t"}) == []


@pytest.mark.parametrize("disguise", ["b64", "zwsplit", "tags"])
def test_disguised_tokens(disguise):
    token = SECRETS["github_pat"](Fakes("disguise"))
    hidden = DISGUISES[disguise](token)
    assert bool(find_secrets(hidden)) == (disguise != "tags")  # tags are hidden text: the check injection refuses them


def test_severities_are_as_set():
    token = SECRETS["npm"](Fakes("severity"))
    text = f"{token} and password: Ostr_win9051"
    found = {each.rule: each.severity for each in look({"text": text}, severity="note", generic="veto")}
    assert found == {"npm-token": Severity.NOTE, "generic": Severity.VETO}


def test_a_memory_full_of_secrets_gives_a_few_findings():
    fakes = Fakes("many")
    assert len(look({"text": " ".join(SECRETS["npm"](fakes) for _ in range(500))})) == 8


def test_what_recurs_in_every_memory_is_looked_at_each_time_it_could_matter():
    check = SecretsCheck.make({})
    token = SECRETS["npm"](Fakes("again"))
    items = [record.from_json({"id": f"{number}", "text": token}) for number in range(3)]
    assert len(list(check.look([Change(item.key, None, item) for item in items]))) == 3


def test_forgotten_memories_are_not_looked_at():
    item = record.from_json({"id": "m", "text": SECRETS["npm"](Fakes("gone"))})
    assert list(SecretsCheck.make({}).look([Change(item.key, item, None)])) == []


def test_a_recovery_phrase_is_found():
    words = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    assert [each.rule for each in look({"text": f"seed phrase: {words}"})] == ["seed-phrase"]
    assert look({"text": "the seed phrase belongs on paper and never into any note or mail or chat of ours"}) == []
