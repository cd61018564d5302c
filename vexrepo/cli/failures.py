"""How a run ends: exit codes, errors shown in one block, no traceback for users."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from vexrepo import errors
from vexrepo.cli.lazy import LazyGroup
from vexrepo.cli.text import plain, plain_json

DONE, FAILED, USAGE, PARTLY, CONFLICTS = 0, 1, 2, 3, 4
NO_REPOSITORY, LOCKED, WRONG_KEY, INTERRUPTED, PIPE_CLOSED = 10, 11, 12, 130, 141

MEANINGS: dict[int, str] = {
    DONE: "done",
    FAILED: "failed; or tampered; or differences found with `--exit-code`; or a push that has to pull first",
    USAGE: "the command line or a name in it cannot be understood",
    PARTLY: "done in part: records were left out (`--on-error skip`); or pushed, and not noted here",
    CONFLICTS: "a merge stopped at conflicts; nothing was changed",
    NO_REPOSITORY: "no repository here or above",
    LOCKED: "the repository or the store is locked by another process",
    WRONG_KEY: "wrong or missing passphrase or key",
    INTERRUPTED: "interrupted (Ctrl-C)",
    PIPE_CLOSED: "the program that read the output ended (`vex log | head`)",
}
_NO_TOKEN = (
    "{} does not exist: every process here could read a token on the command line, and the shell keeps it.  For a Git "
    "host set VEX_TOKEN (or VEX_TOKEN_<REMOTE>), use git's credential helper, or wait to be asked; for a store set the "
    "variable of its own client (QDRANT_API_KEY, PINECONE_API_KEY, …); revoke one that was typed"
)
_NO_PASSPHRASE = (
    "{} does not exist: every process here could read a passphrase on the command line, and the shell keeps it.  For a "
    "Git host set VEX_PASSPHRASE or VEX_PASSPHRASE_FILE, remote.NAME.passphrase_command or passphrase_file, or wait to "
    "be asked; for a store set the variable of its own client (PGPASSWORD, REDIS_PASSWORD, …)"
)
SECRET_OPTIONS = {
    **dict.fromkeys(("--token", "--api-key", "--access-token"), _NO_TOKEN),
    **dict.fromkeys(("--passphrase", "--password", "--pass"), _NO_PASSPHRASE),
}
_NO_EMBEDDING = (
    "{} does not exist: vex makes no embeddings.  Embed the texts yourself and bring them in as a file (vex export, "
    "then vex import); or turn the embeddings into the other model's (vex import or migrate with --adapter, see vex "
    "adapters); or write them into a collection of their own"
)
MISSING_OPTIONS = SECRET_OPTIONS | dict.fromkeys(("--reembed", "--embed-model", "--ollama-url"), _NO_EMBEDDING)
_BY_CODE = {
    "no-identity": WRONG_KEY,
    "key-unreadable": WRONG_KEY,
    "store-locked": LOCKED,
    "unborn-branch": FAILED,
    "unknown-record": FAILED,
}
_BY_CLASS: dict[type[errors.VexError], int] = {
    errors.UsageError: USAGE,
    errors.NoRepository: NO_REPOSITORY,
    errors.Locked: LOCKED,
    errors.WrongKey: WRONG_KEY,
}


def exit_code(error: errors.VexError) -> int:
    """Return the exit code of an error."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((code for kind, code in _BY_CLASS.items() if isinstance(error, kind)), FAILED)


class App(LazyGroup):
    """The outermost group: runs a command and turns whatever happens into an exit code."""

    def main(  # type: ignore[override]
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Run; exits the process unless ``standalone_mode`` is off."""
        arguments = [str(item) for item in (sys.argv[1:] if args is None else args)]
        name = prog_name or "vex"
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        contexts: list[click.Context] = []

        def work() -> int:
            self._main_shell_completion(extra, name, complete_var)
            with self.make_context(name, list(arguments), **extra) as ctx:
                contexts.append(ctx)
                try:
                    found = self.invoke(ctx)
                finally:
                    if ctx.obj is not None:
                        ctx.obj.progress.clear()
            sys.stdout.flush()
            return found if isinstance(found, int) else DONE

        code = _guarded(work, contexts, as_json="--json" in options)
        if standalone_mode:
            sys.exit(code)
        return code


def _guarded(work: Callable[[], int], contexts: list[click.Context], *, as_json: bool) -> int:
    show = _Shower(as_json)
    try:
        _make_printable()
        return work()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        show.usage(error)
        return USAGE
    except click.ClickException as error:
        show.block(error.format_message(), "bad-option")
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(show, contexts)
    except errors.Refused as error:
        show.refused(error)
        return FAILED
    except errors.VexError as error:
        if error.code == "nothing-to-commit" and not as_json:
            click.echo(plain(str(error)), err=True)
        else:
            show.block(str(error), error.code)
        return exit_code(error)
    except BrokenPipeError:
        # What is still buffered cannot be delivered: keep the interpreter from trying at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        _trace_if_asked()
        where = f": {error.filename}" if error.filename else ""
        show.block(f"{error.strerror or error}{where}", "disk-error")
        return FAILED
    except Exception as error:
        if is_interruption(error):
            return _interrupted(show, contexts)
        _trace_if_asked()
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        show.block(
            f"a fault in vexrepo itself ({what}); what was committed is safe.  Please report it with the "
            "command you ran; VEX_DEBUG=1 shows where it happened",
            "unexpected",
        )
        return FAILED


def _interrupted(show: _Shower, contexts: list[click.Context]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    edge = contexts[0].obj if contexts else None
    show.block(edge.interruption() if edge is not None else "interrupted; nothing was done", "interrupted")
    return INTERRUPTED


def is_interruption(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: until 3.11, Python words one that meets a class being made as RuntimeError."""
    cause = error.__cause__
    return cause is not None and (isinstance(cause, KeyboardInterrupt) or is_interruption(cause))


def _trace_if_asked() -> None:
    if os.environ.get("VEX_DEBUG"):
        import traceback

        traceback.print_exc()


def _make_printable() -> None:
    """Let terminals without Unicode show "?" rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if (getattr(stream, "encoding", None) or "").lower().replace("-", "") not in ("utf8", ""):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")


class _Shower:
    """Writes an error as one block, or as JSON, to stderr."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._color = False if os.environ.get("NO_COLOR") else None

    def block(self, message: str, code: str, hint: str = "") -> None:
        if self._json:
            import json

            value = {"error": {"code": code, "message": message}}
            click.echo(plain_json(json.dumps(value, ensure_ascii=False)), err=True, color=False)
            return
        line = click.style("vex: ", fg="red") + plain(message) + click.style(f"  [{code}]", dim=True)
        click.echo(line + (f"\n  {hint}" if hint else ""), err=True, color=self._color)

    def refused(self, error: errors.Refused) -> None:
        from vexrepo.cli.gate import finding_lines, findings_of

        findings, more = findings_of(error)
        if self._json:
            import json

            from vexrepo.hooks.event import finding_json

            value = {"error": {"code": error.code, "message": str(error)}}
            listed = {"findings": [finding_json(each) for each in findings], "more_findings": more}
            click.echo(plain_json(json.dumps({**value, **listed}, ensure_ascii=False)), err=True, color=False)
            return
        self.block(str(error), error.code)
        for line in finding_lines(findings, more):
            click.echo(line, err=True, color=self._color)

    def usage(self, error: click.UsageError) -> None:
        ctx = error.ctx
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            assert ctx is not None
            click.echo(ctx.get_help(), err=True, color=self._color)
            return
        if isinstance(error, click.NoSuchOption) and error.option_name in MISSING_OPTIONS:
            # A secret that was typed is in the shell's history and the list of processes by now.
            error = click.UsageError(MISSING_OPTIONS[error.option_name].format(error.option_name), ctx)
        message = error.format_message().rstrip(".")
        message = message[:1].lower() + message[1:]
        self.block(message, "bad-option", f"see: {ctx.command_path} --help" if ctx else "")
