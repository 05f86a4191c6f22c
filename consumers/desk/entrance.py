"""The entrance: logging in and out, and who it is that asks."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from consumers.desk.gates import Elsewhere, Refusal, page, require_own_form, see_other
from consumers.desk.limiter import Limiter
from consumers.desk.sessions import LASTS_MS, Session, Sessions
from consumers.desk.users import User, Users
from consumers.metrics import DeskMetrics
from stream.clock import Clock

COOKIE: Final = "fraud-desk"
TRIES: Final = 10
"""Wrong tokens within a minute after which an address waits."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BEARER: Final = "Bearer "


class Entrance:
    """Lets people in by a form, and programs by a header.

    Parameters
    ----------
    users
        Who there is.
    clock
        The present.
    metrics
        Counts logins.
    """

    def __init__(self, users: Users, clock: Clock, metrics: DeskMetrics) -> None:
        self._logins = metrics.logins
        self._users = users
        self._sessions = Sessions(clock)
        self._wrong = Limiter(TRIES, clock)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /login."""
        return page("login", session=None, here="", to=_own_path(request.query.get("to", "")), wrong=False)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """POST /login."""
        require_own_form(request)
        _require_safe_way(request)
        form = await request.post()
        to = _own_path(str(form.get("to", "")))
        user = self._user_of(request, str(form.get("token", "")).strip())
        self._logins.labels("refused" if user is None else "in").inc()
        if user is None:
            return page("login", HTTPStatus.FORBIDDEN, session=None, here="", to=to, wrong=True)
        response = see_other(to or "/alerts")
        response.set_cookie(
            COOKIE,
            self._sessions.open(user),
            max_age=LASTS_MS // 1000,
            path="/",
            # Browsers take localhost for safe.
            secure=True,
            httponly=True,
            samesite="Strict",
        )
        return response

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """POST /logout."""
        await self.form_of(request)
        self._sessions.close(request.cookies[COOKIE])
        response = see_other("/login")
        response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        return response

    def who(self, request: web.Request) -> Session | None:
        """Return the session of a browser; None when nobody is logged in there."""
        return self._sessions.find(request.cookies.get(COOKIE, ""))

    def session_of(self, request: web.Request) -> Session:
        """Return the session that a page is asked for in.

        Raises
        ------
        Elsewhere
            There is none: to the login, and back from there.
        """
        session = self.who(request)
        if session is None:
            to = request.path_qs if request.method == "GET" else "/alerts"
            raise Elsewhere("/login?" + urlencode({"to": to}))
        return session

    async def form_of(self, request: web.Request) -> tuple[Session, dict[str, str]]:
        """Return the session and the fields of a form that was sent.

        Raises
        ------
        Refusal
            It is not a form of this session.
        Elsewhere
            Nobody is logged in.
        """
        require_own_form(request)
        session = self.session_of(request)
        fields = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if not session.is_its_form(fields.get("form", "")):
            raise Refusal(403, "This form is out of date: reload the page and try again.")
        return session, fields

    def program_of(self, request: web.Request) -> User:
        """Return whose token a program sent.

        Raises
        ------
        Refusal
            Nobody's.
        """
        given = request.headers.get("Authorization", "")
        user = self._user_of(request, given.removeprefix(_BEARER)) if given.startswith(_BEARER) else None
        if user is None:
            raise Refusal(401)
        return user

    def _user_of(self, request: web.Request, token: str) -> User | None:
        address = request.remote or ""
        wait_seconds = self._wrong.wait_seconds(address)
        if wait_seconds:
            raise Refusal(
                429, f"Too many wrong tokens came from your address: wait {wait_seconds} s.", wait_seconds
            )
        user = self._users.find(token)
        if user is None:
            self._wrong.count(address)
        return user


def _own_path(path: str) -> str:
    """Return a path if it leads to a page of ours; else nothing, so that no link leads elsewhere by us."""
    return path if path.startswith(("/alerts", "/case?")) else ""


def _require_safe_way(request: web.Request) -> None:
    """Refuse a login that anybody on the way could read, and whose cookie the browser would drop."""
    host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    forwarded = request.headers.get("X-Forwarded-Proto", "")
    if "https" not in (request.scheme, forwarded) and host not in _LOOPBACK:
        raise Refusal(
            400,
            "Log in over https, by a proxy in front of the desk: on this way anybody could read your token.",
        )
