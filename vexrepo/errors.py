"""Every error vexrepo raises, and the codes that name them.

Few classes, one per thing a handler would do differently; the code says exactly what happened and never
changes its meaning once released (CODES only grows).  Messages are lower case and say what, where, expected,
got and what to do next; they never hold a secret.  Exit codes and colours live in ``vexrepo.cli``.
"""

from __future__ import annotations


class VexError(Exception):
    """Base of all errors: ``str(error)`` is the message, ``error.code`` a stable name from CODES."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class UsageError(VexError):
    """The request cannot be understood: a bad revision, address, option value."""


class InvalidData(VexError):
    """Data offered from outside breaks the rules: a malformed line, a hostile object, a wrong dimension."""


class Tampered(VexError):
    """Bytes that should not change have changed: a hash, checksum or signature does not match."""


class StoreError(VexError):
    """A live store cannot be reached, read or written."""


class StateError(VexError):
    """The repository or store is not in a state that allows this: unsaved changes, a name already taken."""


class NoRepository(VexError):
    """There is no repository here."""


class Locked(VexError):
    """Another process is writing; nothing was changed."""


class WrongKey(VexError):
    """A passphrase or key does not fit."""


class StorageFailure(VexError):
    """The disk refused: full, read-only, no permission; nothing acknowledged was lost."""


CODES: dict[str, str] = {
    # values and records
    "not-json": "a line or object is not valid JSON",
    "not-an-object": "a line holds JSON that is not an object",
    "not-canonical": "stored bytes are not in canonical form",
    "duplicate-member": "a JSON object names the same member twice",
    "lone-surrogate": "a string holds half of a UTF-16 surrogate pair and has no UTF-8 form",
    "not-utf8": "bytes are not valid UTF-8",
    "not-finite": "a number is NaN or infinite",
    "too-deep": "JSON is nested deeper than the limit",
    "too-long": "a line or object is larger than the limit",
    "unsupported-value": "a value has no JSON form",
    "id-missing": "a record has no id, or one that is not a non-empty string",
    "namespace-type": "a record's namespace is neither a string nor null",
    "vector-type": "a record's vector is not an array of numbers",
    "dims-mismatch": "a record's dims disagree with the length of its vector",
    "duplicate-key": "two records of one source have the same namespace and id",
    "truncated-line": "the last line of a file ends early",
    "empty-file": "a file that should hold records is empty",
    # repository
    "no-repository": "no repository found here or above",
    "repository-exists": "there is a repository here already",
    "repository-version": "the repository was written by a newer vexrepo",
    "repository-locked": "another process holds the writer lock",
    "repository-rolled-back": "the repository is older than the one last seen on this machine",
    "nothing-to-commit": "the store holds exactly what the branch holds",
    "unknown-revision": "a revision names nothing",
    "ambiguous-revision": "an abbreviated id fits several objects",
    "unknown-record": "no record with that id at that revision",
    "ref-exists": "a branch or tag of that name exists",
    "ref-name": "a name is not allowed for a branch or tag",
    "ref-in-use": "a branch cannot be removed while it is checked out",
    "unborn-branch": "the branch has no commit yet",
    "unsaved-changes": "a store holds changes that no commit has",
    "nothing-to-undo": "the operation log has nothing left to undo",
    "unknown-operation": "no operation with that id",
    # integrity
    "object-missing": "an object that is referred to is not in the repository",
    "object-corrupt": "an object's bytes do not give its id",
    "pack-corrupt": "a pack's structure or checksum is wrong",
    "operation-corrupt": "an operation's bytes do not give its id",
    "pointer-corrupt": "the operation pointer is unreadable",
    "signature-bad": "a signature does not fit its commit and key",
    "signature-missing": "a commit that must be signed is not",
    "limit-exceeded": "a size or count in stored data is above its limit",
    # keys
    "no-identity": "there is no identity to sign with",
    "key-unreadable": "a key file cannot be understood",
    "key-exists": "a key file of that name exists",
    # stores
    "unknown-store": "an address names no known kind of store",
    "bad-address": "an address cannot be understood",
    "store-missing": "the store does not exist",
    "store-unreadable": "the store cannot be read",
    "store-locked": "the store is locked by another program",
    "store-corrupt": "the store's own files are damaged",
    "store-schema": "the store does not have the expected layout",
    "store-cannot-hold": "the store cannot hold a record as it is",
    "store-changed": "the store changed while it was being read",
    "no-workspace": "the repository has no workspace store",
    # environment
    "bad-option": "an option or argument has a value that is not allowed",
    "bad-config": "a configuration file or key cannot be used",
    "disk-full": "no space left on the device",
    "disk-error": "a file operation failed",
    "interrupted": "stopped by the user",
    "unexpected": "a fault in vexrepo itself",
}
