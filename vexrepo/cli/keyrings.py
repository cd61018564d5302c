"""The system's keyring, where the extra ``keyring`` is installed and there is one."""

from __future__ import annotations

import contextlib


def read_keyring(service: str, name: str) -> str | None:
    """Return a secret of the system's keyring; None where there is none, or no keyring."""
    try:
        import keyring
    except ImportError:
        return None
    with contextlib.suppress(Exception):  # backends raise what they like; a keyring is a convenience
        found: str | None = keyring.get_password(service, name)
        return found or None
    return None


def write_keyring(service: str, name: str, secret: str) -> bool:
    """Put a secret into the system's keyring; False where there is none."""
    try:
        import keyring
    except ImportError:
        return False
    try:
        keyring.set_password(service, name, secret)
    except Exception:
        return False
    return read_keyring(service, name) == secret  # the null backend takes everything and keeps nothing


def remove_keyring(service: str, name: str) -> bool:
    """Remove a secret from the system's keyring; False if it was not there."""
    try:
        import keyring
    except ImportError:
        return False
    try:
        keyring.delete_password(service, name)
    except Exception:
        return False
    return True
