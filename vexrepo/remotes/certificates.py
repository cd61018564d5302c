"""Which certificates are trusted: the system's, or those of a file."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from vexrepo.errors import UsageError


@lru_cache(maxsize=4)  # reading the system's certificates takes some 30 ms
def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Return what to check certificates with, one object for the process.  Raises: UsageError (bad-option)."""
    try:
        trust = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificates in {ca_file} cannot be used ({error.strerror or error.__class__.__name__}); "
            "expected a file of certificates in PEM form",
            code="bad-option",
        ) from error
    if ca_file is None:  # the system's, and where it has none (macOS) those that come with httpx
        import certifi

        trust.load_verify_locations(certifi.where())
    return trust
