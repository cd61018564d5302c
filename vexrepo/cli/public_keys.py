"""Public keys as users name them: a known name, the digits, or a file."""

from __future__ import annotations

import os
from pathlib import Path

from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import plain
from vexrepo.errors import InvalidData, UsageError


def named_key(edge: Edge, text: str) -> tuple[bytes, str]:
    """Return the public key of somebody to whom something is given, and the name it is known by ("" for none).

    ``text`` is the name of a known key or of an identity, 64 digits, ``ed25519:`` and base64, or a file (``key_in``).
    A name goes before a file: whoever can lay a file there cannot become who is meant by it.
    Raises: UsageError (trust-unknown, key-revoked), InvalidData (key-unreadable, weak-key, signature-file-corrupt).
    """
    from vexrepo.storage.trust import looks_like_key, parse_public_key

    known = edge.trusted()
    key = next((key for key, each in known.keys.items() if each.name == text), None)
    if key is None and looks_like_key(text.strip()):
        key = parse_public_key(text, "KEY")
    if key is None and os.path.isfile(text):
        key = key_in(Path(text))
    if key is None:
        names = ", ".join(sorted(each.name for each in known.keys.values())) or "none"
        raise UsageError(
            f"no key is known as {text!r:.100} (known: {names}); give its digits or a file that holds it, or vex trust "
            "add it first",
            code="trust-unknown",
        )
    found = known.keys.get(key)
    if found is not None and found.revoked_us is not None:
        raise UsageError(
            f"{plain(found.name)}'s key {key.hex()[:8]} is revoked: somebody else may have it; ask for the new one",
            code="key-revoked",
        )
    return key, known.name_of(key)


def key_in(path: Path) -> bytes:
    """Return the public key in a file.  Raises: InvalidData (key-unreadable, weak-key, signature-file-corrupt)."""
    from vexrepo.formats import signature_file
    from vexrepo.objects.rotation import MAX_BYTES
    from vexrepo.objects.signature import is_proper_key
    from vexrepo.storage.keyfile import is_private
    from vexrepo.storage.trust import parse_public_key

    raw = b""
    if path.stat().st_size <= signature_file.MAX_BYTES:
        raw = path.read_bytes()
    if is_private(raw):
        raise InvalidData(
            f"{path} holds a private key: leave that with its owner and take what `vex key export` prints",
            code="key-unreadable",
        )
    if raw.startswith(b"{") and b'"vex-key-rotation"' in raw[:MAX_BYTES]:
        raise InvalidData(
            f"{path} says that one key follows another; `vex trust follow {path}` takes the new one",
            code="key-unreadable",
        )
    if raw.lstrip().startswith(b"{"):
        key = signature_file.decode(raw, strict=False).key
        if is_proper_key(key):
            return key
        raw = key.hex().encode()
    return parse_public_key(raw[:1000].decode("ascii", "replace"), str(path))
