"""What trouble over HTTP means: a lost connection, a status, a redirect, an answer that is not Git's."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from vexrepo.errors import HostError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.hosts.base import Token
from vexrepo.remotes.hosts.git_errors import Unreachable, clean, limit_error

REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))


def lost(error: Exception, where: str, timeout_s: float) -> Unreachable:
    """Return the error of a connection that was not made, or ended."""
    causes = list(_causes(error))
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        name = urlsplit(where).netloc
        return Unreachable(f"cannot reach {where}: the name {name} is not known; look at the address", again=False)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unreachable(
                f"cannot trust {where}: its certificate is not good ({cause.verify_message}); if it is your own host, "
                "name the file of its certificate authority: http.ca_file",
                again=False,
            )
        if isinstance(cause, ssl.SSLError):
            reason = clean(cause.reason or str(cause))
            return Unreachable(
                f"cannot reach {where}: it does not speak TLS as expected ({reason}); should its address begin with "
                "http://?",
                again=False,
            )
    if any(isinstance(cause, (ReadTimeoutError, TimeoutError)) or _is_slow_connect(cause) for cause in causes):
        return slow(where, timeout_s)
    words = next((cause.strerror for cause in reversed(causes) if isinstance(cause, OSError) and cause.strerror), "")
    reason = clean(words or str(causes[-1])) or type(error).__name__
    if isinstance(error, ProxyError):
        return Unreachable(f"cannot reach {where}: the proxy does not let us through ({reason})")
    return Unreachable(f"cannot reach {where}: {reason}")


def _is_slow_connect(error: BaseException) -> bool:
    # A refused connection is a kind of it by inheritance.
    return isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it wraps, in whichever way."""
    found: BaseException | None = error
    while found is not None:
        yield found
        inner = next((each for each in found.args if isinstance(each, BaseException)), None)
        found = found.__cause__ or found.__context__ or inner


def slow(where: str, timeout_s: float) -> Unreachable:
    """Return the error of an answer that does not come, or hardly."""
    return Unreachable(f"{where} did not answer within {timeout_s:g} s; try again, or allow it more time", again=False)


def failed(answer: Answer, where: str, token: Token | None, no_token: str) -> HostError:
    """Return the error of a status other than 200.  ``no_token``: why no token was sent, if there is a reason."""
    status, words = answer.status, answer.words()
    said = f" ({status}{f': {words}' if words else ''})"
    if answer.is_busy or status in (500, 502, 504):
        code = "host-unreachable" if status >= 500 else "host-busy"
        return Unreachable(f"{where} cannot answer now{said}; try again later", after_s=answer.wait_s(), code=code)
    if status in (401, 403):
        return _refused(status, said, where, token, no_token)
    if status in (404, 410):
        by = (
            f"or none that the token from {token.source} may see"
            if token
            else "or it shows it to nobody without a token"
        )
        return HostError(
            f"no repository at {where}, {by}{said}; create it, or look at the address", code="host-missing"
        )
    if status == 413:
        return limit_error(where, words or "413 request too large")
    if status == 407:
        return Unreachable(f"cannot reach {where}: the proxy wants to know who asks (407)", again=False)
    return HostError(f"{where} answered with status{said}, which Git hosts do not", code="host-answer")


def _refused(status: int, said: str, where: str, token: Token | None, no_token: str) -> HostError:
    if token is None:
        hint = no_token or "it wants a token, and there is none for it: set VEX_TOKEN"
        return HostError(f"{where} refused{said}: {hint}", code="host-refused")
    what = "does not know" if status == 401 else "gives no right to this to"
    return HostError(
        f"{where} {what} the token from {token.source}{said}; make a token that may write to the repository and put it "
        "there",
        code="host-refused",
    )


def redirected(where: str, target: str) -> HostError:
    """Return the error of a redirect that is not followed: a token is never sent to where its user did not send it."""
    try:
        to, here = urlsplit(target), urlsplit(where)
        shown = f"{to.scheme}://{to.hostname}{f':{to.port}' if to.port else ''}{to.path.removesuffix('/info/refs')}"
    except ValueError:
        return HostError(f"{where} redirects to what is no address", code="host-answer")
    if (to.scheme, to.hostname, to.port) == (here.scheme, here.hostname, here.port):
        return HostError(
            f"{where} sends us on to {clean(to.path)}, which is no repository; look at the address: it may also be a "
            "sign-in page",
            code="host-answer",
        )
    return HostError(
        f"{where} redirects to {clean(shown)}; if you trust that address, make it the remote's: vex remote set-url",
        code="host-answer",
    )


def not_git(answer: Answer, where: str) -> HostError:
    """Return the error of an answer that is not of the kind asked for."""
    if not answer.body:  # http.client takes headers that end early for all there are
        return Unreachable(f"{where} closed the connection before it answered; try again")
    words = answer.words()
    if answer.is_page:
        return HostError(
            f"{where} answered with a web page{f' ({words})' if words else ''}, not as a Git host: look at the "
            "address; it may also be a sign-in page or a proxy's",
            code="host-answer",
        )
    kind = clean(answer.headers.get("content-type", "")) or "something"
    return HostError(
        f"{where} answered with {kind} that is not Git's protocol; look at the address", code="host-answer"
    )
