"""Passphrases that cost nothing to try, and nobody's own secrets: for tests of the command line."""

import os

import pytest
from blake3 import blake3


def make_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn passphrases into keys at no cost."""
    quick = lambda passphrase, salt, cost: blake3(salt + passphrase.encode()).digest()  # noqa: E731
    monkeypatch.setattr("vexrepo.remotes.hosts.slots.stretch", quick)


def quiet_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the keyring and the credential helpers of whoever runs the tests."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_ASKPASS", "SSH_ASKPASS", "VEKTOR_DB", "VEKTOR_DB_PATH"):
        monkeypatch.delenv(name, raising=False)
