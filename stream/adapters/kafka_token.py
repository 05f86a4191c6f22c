"""Tokens for a login at Kafka by OAUTHBEARER, for aiokafka; librdkafka fetches its own."""

import asyncio
import time
from typing import Final

import aiohttp
import msgspec
from aiokafka.abc import AbstractTokenProvider
from pydantic import SecretStr

from stream.errors import AccessError

_TIMEOUT_SECONDS: Final = 10.0
_USED_SHARE: Final = 0.8
"""Of its life, for which a token is used again."""


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 60.0


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Fetches tokens by OAuth 2's client credentials grant (RFC 6749, section 4.4).

    Parameters
    ----------
    url
        The token endpoint.
    client, secret
        Who asks.
    scope
        What for, if the endpoint wants to know.
    """

    def __init__(self, url: str, client: str, secret: SecretStr, scope: str | None) -> None:
        self._url = url
        self._auth = aiohttp.BasicAuth(client, secret.get_secret_value())
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope is not None else {})
        self._token = ""
        self._good_until = 0.0
        self._turn = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is good for a while.

        Raises
        ------
        AccessError
            The endpoint is away or refuses.
        """
        async with self._turn:
            if time.monotonic() >= self._good_until:
                asked = time.monotonic()
                granted = await self._ask()
                self._token = granted.access_token
                self._good_until = asked + _USED_SHARE * granted.expires_in
            return self._token

    async def _ask(self) -> _Granted:
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout, auth=self._auth) as session,
                session.post(self._url, data=self._form, raise_for_status=True) as answer,
            ):
                return msgspec.json.decode(await answer.read(), type=_Granted)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            # Neither the request nor an answer that is no grant is told: both may hold what is secret.
            kind = getattr(error, "status", type(error).__name__)
            raise AccessError(
                f"no token from {self._url} ({kind}); check FRAUD_KAFKA_TOKEN_URL, FRAUD_KAFKA_USER and"
                " FRAUD_KAFKA_PASSWORD"
            ) from None
