"""A webhook as a sink of alerts: one POST each, tried again until it is taken."""

import http.client
import logging
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import quote, urlsplit

from consumers.stopping import Stop
from stream.errors import InfrastructureError, SettingsError
from stream.records import Alert, encode

_log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


class WebhookSink:
    """Posts alerts as JSON, with the transaction id as ``Idempotency-Key``.

    A server that is away, slow, busy (408, 425, 429) or in trouble (5xx) is tried again, ever more rarely,
    for as long as it takes.

    Parameters
    ----------
    url
        ``http://...`` or ``https://...``.
    token
        Sent as ``Authorization: Bearer``; None sends none.
    timeout_seconds
        How long one try may take.
    first_wait_seconds
        Before the second try; doubles up to `LONGEST_WAIT_SECONDS`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_seconds: float = 10.0,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError(f"--webhook {url!r} is not a URL such as https://example.org/alerts")
        self._url = url
        # What is shown of it: the path may hold a secret.
        self._server = f"{parts.scheme}://{parts.hostname}"
        self._headers = {"Content-Type": "application/json", "User-Agent": "fraudstream"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_seconds = timeout_seconds
        self._first_wait_seconds = first_wait_seconds
        self._opener = urllib.request.build_opener(_NoRedirect)

    def deliver(self, alert: Alert, stop: Stop) -> bool:
        """Post `alert` until it is taken; return False when asked to stop before.

        Raises
        ------
        InfrastructureError
            The server will not take it however often it is asked (3xx, 4xx): somebody has to look.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url,
            data=encode(alert),
            headers=self._headers | {"Idempotency-Key": _header_value(alert.transaction_id)},
            method="POST",
        )
        wait_seconds = self._first_wait_seconds
        while (trouble := self._post(request)) is not None:
            _log.warning("%s: %s; next try in %g s", self._server, trouble, wait_seconds)
            if stop.wait(wait_seconds):
                return False
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
        return True

    def _post(self, request: urllib.request.Request) -> str | None:
        """Try once; return None when it was taken, or what passing trouble there was."""
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as response:
                response.read()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code >= _SERVER_ERROR or error.code in _TRY_AGAIN:
                return f"HTTP {error.code}"
            raise InfrastructureError(
                f"{self._server} refuses the alert of transaction {request.get_header('Idempotency-key')}"
                f" with HTTP {error.code}: check --webhook and its token; the alert will be posted again at"
                " the next start"
            ) from error
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            return str(error) or type(error).__name__
        return None


def _header_value(identifier: str) -> str:
    """Escape what no header may hold; plain identifiers stay as they are."""
    return quote(identifier, safe="!#$&'()*+,/:;=?@[]^`{|}~")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Followed, a redirected POST would turn into a GET without the alert."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None
