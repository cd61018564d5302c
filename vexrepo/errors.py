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


class HostError(VexError):
    """A host of encrypted copies cannot be reached, refuses, or answers what it should not."""


class StateError(VexError):
    """The repository or store is not in a state that allows this: unsaved changes, a name already taken."""


class Refused(VexError):
    """The gate does not let something in or out: a policy, a check or a hook stands against it."""


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
    # vmig files
    "member-type": "a member of a record has a type or value that its meaning does not allow",
    "version-missing": "a record has no vex_version, or one that is not a version such as 1.0.0",
    "record-empty": "a record has neither a text nor a vector",
    "time-form": "created_at is not a date or time of ISO 8601",
    "time-number": "created_at is a number since 1970 where the format wants ISO 8601",
    "metadata-list": "metadata holds arrays, where the format wants single values",
    "metadata-nested": "metadata holds objects or nested arrays, where the format wants single values",
    "vector-shape": "a vector is empty, sparse, of several rows, or named, where the format wants one array",
    "id-in-two-namespaces": "two namespaces of one file have a record with the same id",
    "no-vector": "a record has no vector; it can be embedded again from its text",
    "byte-order-mark": "a file begins with a byte order mark",
    "carriage-return": "a line ends with a carriage return",
    "blank-line": "a line holds nothing but white space",
    "checksum-mismatch": "a file is not what its .vmig.meta.json says",
    "sidecar-unreadable": "a .vmig.meta.json cannot be understood",
    "same-store": "a store or file would be written into itself",
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
    "merge-under-way": "a merge waits to be finished or dropped",
    "merge-state": "the record of a merge under way cannot be used",
    "no-merge": "no merge is under way",
    "conflicts-open": "a merge cannot be finished while fields are in conflict",
    "not-in-conflict": "a memory or field is not in conflict",
    "head-moved": "HEAD moved since a merge began",
    "unrelated-histories": "two commits have no commit in common",
    "not-fast-forward": "both sides have moved on",
    # integrity
    "object-missing": "an object that is referred to is not in the repository",
    "object-corrupt": "an object's bytes do not give its id",
    "pack-corrupt": "a pack's structure or checksum is wrong",
    "operation-corrupt": "an operation's bytes do not give its id",
    "pointer-corrupt": "the operation pointer is unreadable",
    "signature-bad": "a signature does not fit what was signed and its key",
    "signature-missing": "a commit that must be signed is not",
    "signature-expired": "a signature's key has a period that does not cover the time of signing",
    "signature-revoked": "a signature is by a key that was withdrawn",
    "signature-out-of-scope": "a signature's key may not sign for a namespace or memory type that it signed",
    "limit-exceeded": "a size or count in stored data is above its limit",
    "signature-unknown-key": "a file is signed by a key that nobody vouches for",
    "signature-file-missing": "there is no signature file for a data file",
    "signature-file-corrupt": "a signature file is not as vex writes it",
    "signature-incomplete": "the hashes in a signature file are not all there, or not those that were signed",
    "records-changed": "records are not those that were signed: changed, added, removed or reordered",
    "inherited-member": "a record has a member that its hash leaves out (named as one of Object.prototype)",
    "number-inexact": "a number is not what a double makes of it, so that others have the same hash",
    "unprotected-spelling": "a line could be written otherwise without its hash showing it",
    "proof-unreadable": "a proof file is not as vex writes it",
    "proof-wrong": "a proof does not lead from records to a commit",
    "proof-missing": "there is no proof file for a data file",
    "not-proven": "a record is not among those that a proof shows",
    # keys
    "no-identity": "there is no identity to sign with",
    "key-unreadable": "a key file cannot be understood",
    "key-exists": "a key file of that name exists",
    "weak-key": "a public key fits signatures that nobody made (small order), or is no point of the curve",
    "trust-exists": "a name or key is known already, as another",
    "trust-unknown": "no known key has that name or those digits",
    "trust-unreadable": "the file of known keys cannot be used",
    "bad-policy": "a trust policy has a name that is not one",
    "trust-narrows": "without an entry of the known keys, signatures would count for more",
    "key-passphrase-wrong": "a sealed private key does not open with this passphrase",
    "rotation-unreadable": "a rotation statement cannot be understood",
    "rotation-bad": "a rotation statement is not signed by both of its keys",
    "rotation-refused": "the old key of a rotation is not one that may vouch for the next",
    # stores
    "unknown-store": "an address names no known kind of store",
    "bad-address": "an address cannot be understood",
    "store-missing": "the store does not exist",
    "store-unreadable": "the store cannot be read",
    "store-locked": "the store is locked by another program",
    "store-corrupt": "the store's own files are damaged",
    "store-schema": "the store does not have the expected layout",
    "store-read-only": "stores of this kind are only read",
    "backup-unreadable": "a file is not a backup of the original tool",
    "wrong-token": "a backup opens neither with this token nor on this machine",
    "store-cannot-hold": "the store cannot hold a record as it is",
    "store-changed": "the store changed while it was being read",
    "store-behind": "the branch has moved on without the store, so that a commit of it would take that back",
    "store-dims": "vectors have other dimensions than a store takes",
    "store-unreachable": "a store's server cannot be reached, or does not answer in time",
    "store-refused": "a store's server does not let us in, or not do that",
    "store-answer": "a store's server answers what is not its own protocol, or does not take a request",
    "store-busy": "a store's server limits how many requests it takes, or is overloaded, and wants to be asked later",
    "store-limit": "a store's server does not take that much at once",
    "store-empty": "a store that held memories at the last commit holds none",
    "store-model": "a store holds embeddings of another model",
    "store-differs": "a store does not give back what was written into it",
    "store-moved": "a store was changed since it was last seen, so that a push would take that back",
    "no-workspace": "the repository has no workspace store",
    "store-unseen": "the repository has never committed a store nor checked it out",
    # hosts
    "host-unreachable": "a host cannot be reached, or does not answer in time",
    "host-refused": "a host refuses: no rights, or a token that it does not know",
    "host-missing": "there is no such repository at a host",
    "host-answer": "a host answers what is not Git's protocol, or not its own interface",
    "host-moved": "somebody else published meanwhile",
    "host-no-answer": "the connection ended before a host said whether it published",
    "host-limit": "a host does not take a file or a push of that size",
    "host-file-missing": "a host does not give a file it lists",
    "host-not-ours": "a host's repository holds something else than a memory repository",
    "host-version": "a host's repository was written by a newer vexrepo",
    "host-tampered": "a host gives bytes that are not those that were sealed",
    "host-rolled-back": "a host shows an older state than this machine has seen, or another history",
    "host-unproven": "a host's state does not show that it is by somebody who shares it",
    "host-replaced": "a remote's address leads to another memory repository than before",
    "host-incomplete": "a host does not hold all that its branches and tags need",
    "host-empty": "a host's repository holds nothing yet",
    "wrong-passphrase": "no key slot of a host opens with this passphrase",
    "wrong-key": "no key slot of a host opens with this identity",
    "no-passphrase": "a passphrase is needed and there is none",
    "no-keyring": "there is no keyring to put a secret into",
    "key-revoked": "a key that was withdrawn would be given access",
    "no-token": "what should give an access token does not",
    "unknown-slot": "a host has no such key slot",
    "last-slot": "the last key slot of a host cannot be removed",
    "recipient-exists": "a host is shared with that key already",
    "host-busy": "a host limits how many requests it takes, or is overloaded, and wants to be asked later",
    "unknown-remote": "no remote of that name",
    "remote-exists": "a remote of that name exists",
    # the gate
    "check-veto": "a check found something that must not come in",
    "hook-veto": "a hook refused",
    "hook-timeout": "a hook did not end in time",
    "hook-not-runnable": "a hook cannot be started",
    "hook-exists": "a hook of that name is installed",
    "unknown-hook": "no hook of that name",
    "unknown-event": "no event of that name",
    "unknown-check": "no check of that name",
    "no-verify-refused": "checks and hooks must not be passed by here",
    "quarantine-unreadable": "the report of something in quarantine cannot be understood",
    "grant-unreadable": "a grant cannot be understood",
    "grant-forged": "a grant's signature does not fit",
    "grant-expired": "a grant does not cover this time",
    "grant-exceeded": "more is asked for than a grant covers",
    "grant-not-yours": "a grant is for another key, or its issuer is not known",
    "sealed-unreadable": "a sealed file cannot be understood",
    "sealed-damaged": "a sealed file is not as it was sealed",
    "sealed-for-others": "a sealed file has none of the user's identities as recipient",
    "unknown-quarantine": "nothing of that number is in quarantine",
    "quarantine-changed": "what is in quarantine is not as it was put there",
    "quarantine-replaces": "a memory in quarantine would replace another one that a store holds",
    # projection
    "unknown-adapter": "no projection adapter of that name is installed",
    "adapter-misfit": "a projection adapter does not fit a vector, or gives what it should not",
    # environment
    "bad-option": "an option or argument has a value that is not allowed",
    "bad-config": "a configuration file or key cannot be used",
    "file-exists": "a file that is there would be replaced",
    "folder-not-empty": "a folder that should be new or empty holds something",
    "disk-full": "no space left on the device",
    "out-of-memory": "there is not enough memory for what must be done at once",
    "disk-error": "a file operation failed",
    "interrupted": "stopped by the user",
    "unexpected": "a fault in vexrepo itself",
}
