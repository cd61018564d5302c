"""Branches and tags of a repository, and taking back what was done to it."""

from __future__ import annotations

from vexrepo.errors import StateError, UsageError
from vexrepo.history import revision
from vexrepo.objects.digest import CommitId
from vexrepo.repository.core import Core
from vexrepo.storage.oplog import BRANCHES, TAGS, Operation, View


class Refs(Core):
    """A repository whose refs can be changed, each change an operation that ``undo`` takes back."""

    def create_branch(self, name: str, start: str, *, switch: bool = False, force: bool = False) -> CommitId | None:
        """Make a branch at a revision; with ``switch``, make it the current one.

        Raises: UsageError (ref-name), StateError (ref-exists).
        """
        return self._create_ref(BRANCHES, "branch", name, start, switch=switch, force=force)

    def create_tag(self, name: str, start: str, *, force: bool = False) -> CommitId | None:
        """Make a tag at a revision.  Raises: UsageError (ref-name), StateError (ref-exists)."""
        return self._create_ref(TAGS, "tag", name, start, force=force)

    def _create_ref(
        self, prefix: str, what: str, name: str, start: str, *, switch: bool = False, force: bool = False
    ) -> CommitId | None:
        revision.check_ref_name(name)
        with self.lock():
            view = self.view()
            if prefix + name in view.refs and not force:
                raise StateError(
                    f"a {what} named {name!r} exists, at {view.refs[prefix + name].short}; choose another "
                    "name or --force",
                    code="ref-exists",
                )
            if force and view.head == prefix + name:
                raise StateError(f"{name} is the current branch and cannot be moved this way", code="ref-in-use")
            unborn = view.commit is None and start in ("HEAD", "@") and switch
            commit = None if unborn else self.resolve(start, view)
            view = view if commit is None else view.with_ref(prefix + name, commit)
            self.record(view.with_head(prefix + name) if switch else view, what, f"create {name}")
            return commit

    def delete_ref(self, prefix: str, name: str) -> CommitId:
        """Remove a branch or tag; return where it was.  Raises: UsageError (unknown-revision), StateError."""
        what = "branch" if prefix == BRANCHES else "tag"
        with self.lock():
            view = self.view()
            commit = view.refs.get(prefix + name)
            if commit is None:
                raise UsageError(f"there is no {what} named {name!r}", code="unknown-revision")
            if view.head == prefix + name:
                raise StateError(f"{name} is the current branch; switch to another first", code="ref-in-use")
            self.record(view.with_ref(prefix + name, None), what, f"delete {name}")
            return commit

    def rename_branch(self, old: str, new: str) -> None:
        """Rename a branch.  Raises: UsageError (unknown-revision, ref-name), StateError (ref-exists)."""
        revision.check_ref_name(new)
        with self.lock():
            view = self.view()
            if BRANCHES + new in view.refs:
                raise StateError(f"a branch named {new!r} exists", code="ref-exists")
            commit = view.refs.get(BRANCHES + old)
            if commit is None and view.head != BRANCHES + old:
                raise UsageError(f"there is no branch named {old!r}", code="unknown-revision")
            moved = view.with_ref(BRANCHES + old, None)
            if commit is not None:
                moved = moved.with_ref(BRANCHES + new, commit)
            if view.head == BRANCHES + old:
                moved = moved.with_head(BRANCHES + new)
            self.record(moved, "branch", f"rename {old} to {new}")

    def undo(self) -> tuple[Operation, View]:
        """Take back the latest operation that was not taken back yet; return it and the view restored.

        Raises: StateError (nothing-to-undo).
        """
        with self.lock():
            identifier, operation = self.log.current()
            # Repeated undo walks further back: after an undo of X, the next to undo is what came before X.
            # What only notes how a store or remote was seen is passed over: taking it back would change nothing.
            while True:
                if operation.undoes is not None:
                    identifier, operation = operation.undoes, self.log.read(operation.undoes)
                elif not self._is_note(operation):
                    break
                if operation.parent is None:
                    break
                identifier, operation = operation.parent, self.log.read(operation.parent)
            if operation.parent is None:
                raise StateError("there is nothing to undo: this is how the repository began", code="nothing-to-undo")
            view = self.view().restored(self.log.read(operation.parent).view)
            self._check_there(view)
            self.record(view, "undo", f"{operation.command} {operation.detail}".strip(), undoes=identifier)
            return operation, view

    def _check_there(self, view: View) -> None:
        """Raise StateError (nothing-to-undo) unless gc left the commits of an earlier view."""
        gone = [commit for commit in (*view.refs.values(), view.commit) if commit and commit not in self.objects]
        if gone:
            raise StateError(
                f"commit {gone[0].short}, where that leads, was removed by `vex gc`; see `vex op log` for newer states",
                code="nothing-to-undo",
            )

    def _is_note(self, operation: Operation) -> bool:
        """Whether an operation left head, branches and tags as they were."""
        if operation.parent is None:
            return False
        before = self.log.read(operation.parent).view
        return (before.head, before.own_refs) == (operation.view.head, operation.view.own_refs)

    def restore_operation(self, prefix: str) -> Operation:
        """Make the view of an earlier operation the current one (``vex op restore``).

        Raises: UsageError (unknown-operation).
        """
        with self.lock():
            found = [(i, op) for i, op in self.log.walk() if i.hex().startswith(prefix.lower())]
            if len(found) != 1 or len(prefix) < 4:
                raise UsageError(
                    f"{prefix!r} names {len(found)} operations; see `vex op log`", code="unknown-operation"
                )
            identifier, operation = found[0]
            view = self.view().restored(operation.view)
            self._check_there(view)
            self.record(view, "op restore", identifier.hex()[:12])
            return operation
