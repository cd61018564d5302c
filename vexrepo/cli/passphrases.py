"""The passphrases of sealed private keys: from the environment, a file, the keyring, the terminal; never from argv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vexrepo.cli.keyrings import read_keyring, remove_keyring, write_keyring
from vexrepo.cli.output import say
from vexrepo.cli.secrets import Terminal, filled, read_secret_file
from vexrepo.cli.strength import ADVICE, WEAK_BITS, strength
from vexrepo.cli.text import plain
from vexrepo.errors import WrongKey

VARIABLE, NEW_VARIABLE = "VEX_KEY_PASSPHRASE", "VEX_KEY_NEW_PASSPHRASE"
KEYRING = "vexrepo key"


class KeyPassphrases:
    """Where the passphrases of keys come from."""

    def __init__(self, environ: Mapping[str, str], terminal: Terminal) -> None:
        self._environ = environ
        self._terminal = terminal

    def tries(self, where: str, key: bytes) -> Iterator[str]:
        """Yield the passphrase of a key; where it was typed and does not fit, what is typed next, up to three times.

        Raises: WrongKey (no-passphrase) where there is none and nobody to ask.
        """
        given = self._given(VARIABLE)
        if given is not None:
            yield given
            return
        kept = read_keyring(KEYRING, key.hex())
        if kept is not None:
            yield kept
            say("the passphrase in the keyring does not fit", err=True)  # it was changed elsewhere, since
        if not self._terminal.can_ask:
            if kept is not None:
                return
            raise WrongKey(
                f"{where} is sealed with a passphrase, and there is no terminal to ask on: set {VARIABLE} or "
                f"{VARIABLE}_FILE",
                code="no-passphrase",
            )
        yield from self._terminal.tries(f"Passphrase of {plain(where)}")

    def new(self, what: str, *, is_change: bool = False) -> str:
        """Return a new passphrase: from the environment, else typed twice.

        ``is_change``: what stands in the environment for the old one is not taken.
        Raises: WrongKey (no-passphrase) where there is none and nobody to ask.
        """
        given = self._given(NEW_VARIABLE)
        if given is None and not is_change:
            given = self._given(VARIABLE)
        if given is None:
            return self._typed(what, is_change=is_change)
        if strength(given) < WEAK_BITS:
            say(f"note: the passphrase is weak ({ADVICE})", err=True)
        return given

    def _typed(self, what: str, *, is_change: bool) -> str:
        if not self._terminal.can_ask:
            name = NEW_VARIABLE if is_change else VARIABLE
            raise WrongKey(
                f"a passphrase is needed for {what}, and there is no terminal to ask on: set {name}",
                code="no-passphrase",
            )
        say("Nobody can restore a passphrase for you: write it down.", err=True)
        return self._terminal.choose(f"New passphrase of {plain(what)}")

    def _given(self, variable: str) -> str | None:
        text = self._environ.get(variable)
        if text is not None:
            return filled(text, variable)
        path = self._environ.get(f"{variable}_FILE")
        return read_secret_file(Path(path).expanduser(), f"{variable}_FILE") if path else None


def keep(key: bytes, passphrase: str) -> bool:
    """Put a key's passphrase into the system's keyring; False where there is none."""
    return write_keyring(KEYRING, key.hex(), passphrase)


def forget(key: bytes) -> None:
    """Remove a key's passphrase from the system's keyring, if it is there."""
    remove_keyring(KEYRING, key.hex())
