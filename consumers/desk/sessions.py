"""Sessions: who is logged in, known by a cookie that says nothing by itself."""

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from consumers.desk.users import User
from stream.clock import HOUR_MS, Clock

LASTS_MS: Final = 10 * HOUR_MS
"""A working day; however busy, everybody logs in anew after it."""
IDLE_MS: Final = 2 * HOUR_MS
_MOST: Final = 10_000


@dataclass
class Session:
    """A login."""

    user: User
    begun_ms: int
    used_ms: int
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """In every form of this session: another site's form cannot know it."""
    notice: str | None = None
    """To be shown on the next page, once."""

    def is_its_form(self, form_token: str) -> bool:
        """Whether a form that was sent is one of this session's."""
        return hmac.compare_digest(form_token.encode(errors="replace"), self.form_token.encode())

    def take_notice(self) -> str | None:
        """Return what is to be shown, and forget it."""
        notice, self.notice = self.notice, None
        return notice


class Sessions:
    """The logins of this process; a restart ends them all.

    Parameters
    ----------
    clock
        The present.

    Examples
    --------
    >>> from stream.clock import ManualClock
    >>> clock = ManualClock(0)
    >>> sessions = Sessions(clock)
    >>> name = sessions.open(User("ana", "analyst"))
    >>> sessions.find(name).user.name
    'ana'
    >>> clock.advance(IDLE_MS)
    >>> sessions.find(name) is None
    True
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def open(self, user: User) -> str:
        """Return the name of a new session: what its cookie holds."""
        now = self._clock()
        name = secrets.token_urlsafe(32)
        self._sessions[name] = Session(user, now, now)
        if len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return name

    def find(self, name: str) -> Session | None:
        """Return the session of a cookie; None when it is over, or never was."""
        session = self._sessions.get(name)
        if session is None:
            return None
        now = self._clock()
        if now - session.begun_ms >= LASTS_MS or now - session.used_ms >= IDLE_MS:
            del self._sessions[name]
            return None
        session.used_ms = now
        return session

    def close(self, name: str) -> None:
        """End a session."""
        self._sessions.pop(name, None)
