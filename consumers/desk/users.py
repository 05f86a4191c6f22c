"""Who may use the desk: names, roles, and the fingerprints of their tokens."""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, cast, get_args

from stream.errors import SettingsError

Role = Literal["analyst", "viewer"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class User:
    """Somebody who may look at cases and, as an analyst, judge them."""

    name: str
    role: Role

    @property
    def may_judge(self) -> bool:
        """Whether verdicts of theirs are taken."""
        return self.role == "analyst"


class Users:
    """The users by the fingerprints of their tokens.

    Parameters
    ----------
    listed
        ``NAME:ROLE:FINGERPRINT``, comma-separated, as :func:`new_user` makes them.

    Raises
    ------
    SettingsError
        Which entry is wrong, by its place: its text may hold a token.

    Examples
    --------
    >>> token, line = new_user("ana", "analyst")
    >>> users = Users(line)
    >>> users.find(token)
    User(name='ana', role='analyst')
    >>> users.find("guess") is None
    True
    """

    def __init__(self, listed: str) -> None:
        self._users: list[tuple[bytes, User]] = []
        for place, entry in enumerate((part.strip() for part in listed.split(",")), 1):
            name, role, fingerprint = (*entry.split(":"), "", "")[:3]
            if not _NAME.fullmatch(name) or not _FINGERPRINT.fullmatch(fingerprint) or entry.count(":") != 2:  # noqa: PLR2004
                raise SettingsError(
                    f"FRAUD_DESK_USERS: entry {place} is not NAME:ROLE:FINGERPRINT; make it with"
                    " `fraudstream desk-user NAME`"
                )
            if role not in get_args(Role):
                raise SettingsError(
                    f"FRAUD_DESK_USERS: entry {place} has a role that is none of {', '.join(get_args(Role))}"
                )
            self._users.append((fingerprint.encode(), User(name, cast("Role", role))))

    @property
    def everybody(self) -> tuple[User, ...]:
        """Whom there is, in the order of the entries."""
        return tuple(user for _, user in self._users)

    def find(self, token: str) -> User | None:
        """Return whose token it is. Takes the same time whichever it is, and when it is nobody's."""
        given = _fingerprint(token).encode()
        found = None
        for fingerprint, user in self._users:
            if hmac.compare_digest(fingerprint, given):
                found = user
        return found


def new_user(name: str, role: Role) -> tuple[str, str]:
    """Return a new token, and the entry of FRAUD_DESK_USERS that lets it in.

    The entry holds the token's SHA-256: at 256 bits of chance, nobody gets back from one to the other.

    Raises
    ------
    SettingsError
        The name has characters that an entry cannot hold.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be a user's name: use up to 64 letters, digits, dots, dashes, underscores and @"
        )
    token = secrets.token_urlsafe(32)
    return token, f"{name}:{role}:{_fingerprint(token)}"


def _fingerprint(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()
