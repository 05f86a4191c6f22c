"""Gates: what every request passes before a page sees it, and every answer before it leaves."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from consumers.cases.connection import CaseStoreAwayError
from consumers.cases.verdicts import VerdictError
from consumers.desk.rendering import render
from consumers.desk.sessions import Session

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS: Final = {
    # No script, no frame, nothing from elsewhere; forms go nowhere else.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer`, forms would be sent with no origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_WORDS: Final = {
    400: ("That cannot be used", "Go back and try again."),
    401: ("Log in first", "Send your token as Authorization: Bearer."),
    403: ("Not allowed", "Go back, reload the page and try again."),
    404: ("Nothing here", "Look at the address, or begin with the open alerts."),
    405: ("Nothing here", "Begin with the open alerts."),
    413: ("Too long", "Go back and write less."),
    429: ("Too often", "Wait a minute and try again."),
    500: (
        "Something went wrong",
        "It was noted in the log. Try again; if it stays, tell whoever runs the desk.",
    ),
    503: (
        "The case store does not answer",
        "Try again in a minute; if it stays, tell whoever runs the desk.",
    ),
}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer other than a page: raised by handlers, shown in the words of the one who asked.

    Parameters
    ----------
    status
        Of HTTP.
    detail
        A sentence; empty for the usual one.
    wait_seconds
        When it is worth trying again.
    """

    def __init__(self, status: int, detail: str = "", wait_seconds: int | None = None) -> None:
        super().__init__(detail or _WORDS[status][0])
        self.status = status
        self.detail = detail
        self.wait_seconds = wait_seconds


class Elsewhere(Exception):  # noqa: N818 - an answer, not a fault
    """The way to another page of ours: raised where somebody has to go there first.

    Parameters
    ----------
    to
        Its path.
    """

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


def gate(session_of: Callable[[web.Request], Session | None]) -> Any:
    """Return the middleware that answers every error in words, and puts :data:`HEADERS` on every answer.

    Parameters
    ----------
    session_of
        Who asks, if they are logged in: a page that says what went wrong has the same head as any other.
    """

    @web.middleware
    async def pass_through(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Elsewhere as way:
            response = see_other(way.to)
        except Exception as error:  # noqa: BLE001 - each is answered, and what is a bug is logged whole
            response = _refused(request, _refusal_of(request, error), session_of(request))
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return pass_through


def require_own_form(request: web.Request) -> None:
    """Make sure that a form was sent from a page of ours.

    Browsers say where a form comes from: `Sec-Fetch-Site`, or at least `Origin`.

    Raises
    ------
    Refusal
        It comes from another site.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        own = site == "same-origin"
    else:
        origin = request.headers.get("Origin")
        own = origin is None or urlsplit(origin).netloc == request.host
    if not own:
        raise Refusal(403, "This form was sent from another site.")


def as_json(what: Any, status: int = 200) -> web.Response:
    """Return an answer for programs."""
    return web.Response(body=msgspec.json.encode(what), status=status, content_type="application/json")


def page(name: str, status: int = 200, **what: Any) -> web.Response:
    """Return an answer for people."""
    return web.Response(text=render(name, **what), status=status, content_type="text/html")


def see_other(to: str) -> web.Response:
    """Return an answer that sends a browser on to another page of ours."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": to})


def _refusal_of(request: web.Request, error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, VerdictError):
        return Refusal(400, str(error))
    if isinstance(error, CaseStoreAwayError):
        _log.warning("%s", error)
        return Refusal(503, wait_seconds=30)
    if isinstance(error, web.HTTPException):
        return Refusal(error.status if error.status in _WORDS else 400)
    # A bug, whose text may hold anything: it belongs into the log and not onto a page.
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Refusal(500)


def _refused(request: web.Request, refusal: Refusal, session: Session | None) -> web.StreamResponse:
    title, usual = _WORDS[refusal.status]
    detail = refusal.detail or usual
    if request.path.startswith(("/api/", "/health/")):
        response = as_json({"error": HTTPStatus(refusal.status).phrase, "detail": detail}, refusal.status)
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
    else:
        response = page("message", refusal.status, session=session, title=title, detail=detail, here="")
    if refusal.wait_seconds is not None:
        response.headers["Retry-After"] = str(refusal.wait_seconds)
    return response
