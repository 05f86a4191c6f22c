"""The models that a scorer serves: follows the roster, and changes over between two batches."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from hmac import compare_digest
from typing import Final, Protocol

from stream.errors import InfrastructureError, SnapshotError, StateLostError
from stream.features.catalogue import SCHEMA
from stream.pipeline.scoring import Served
from stream.registry.seal import Key
from stream.registry.snapshot import Member, Roster, decode_roster, decode_snapshot, digest_of
from stream.roles.patience import Waits

_log = logging.getLogger(__name__)

_ROSTER_TRIES: Final = 5
"""A roster may be replaced while its snapshots are being read: so often is it read anew."""


_Loaded = tuple[tuple[int, int], tuple[Served, ...]]
"""The place of a roster, and its models."""


class ModelStore(Protocol):
    """Where the learner publishes models."""

    def roster(self) -> bytes | None:
        """Return the sealed roster; None: nothing has been published."""
        ...

    def snapshot(self, key: str) -> bytes | None:
        """Return the sealed snapshot that a roster names; None: it is not there any more."""
        ...


class Serving:
    """Has the models of the roster, or those of one before while new ones are being loaded.

    Parameters
    ----------
    store
        Has the roster and the snapshots.
    signing_key
        That snapshots are signed with; None when they are not.
    waits
        How work waits for whatever is away.
    beside
        Loads new models while batches go on being scored by the old ones; None: scoring waits for them.
    patience_seconds
        How long a batch may be held back for models that are being loaded beside.
    """

    def __init__(
        self,
        store: ModelStore,
        signing_key: Key,
        waits: Waits,
        beside: Executor | None = None,
        patience_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self._signing_key = signing_key
        self._waits = waits
        self._beside = beside
        self._patience_seconds = patience_seconds
        self._revision = 0
        self._place = (0, 0)
        """Of the roster that the models are of."""
        self._loading: tuple[int, Future[_Loaded]] | None = None
        self.models: tuple[Served, ...] = ()
        """The champion first; empty until a learner has published."""

    def follow(self, revision: int) -> None:
        """Change over to the models of the roster of this revision, all of them or none, once they are there.

        A roster or snapshot that is damaged, forged or of another version is refused, loudly, and what was
        served goes on being served; without any models yet, this waits for good ones.

        Raises
        ------
        StateLostError
            The roster has gone.
        StoppedError
            The process is to stop.
        """
        if self._beside is None or not self.models:
            if revision != self._revision or not self.models:
                self._change(revision, self._read if self.models else self._insist)
            return
        if self._loading is None and revision != self._revision:
            self._loading = revision, self._beside.submit(self._read)
        if self._loading is not None:
            of, future = self._loading
            wait([future], timeout=self._patience_seconds)
            if future.done():
                self._loading = None
                self._change(of, future.result)

    def _change(self, revision: int, read: Callable[[], _Loaded]) -> None:
        try:
            self._place, self.models = read()
        except SnapshotError as error:
            _log.error(
                "models of revision %d refused, still serving %s: %s", revision, self.models[0].version, error
            )
        self._revision = revision

    def _read(self) -> _Loaded:
        return self._waits.learner(self._try)

    def _insist(self) -> _Loaded:
        return self._waits.learner(self._try_usable)

    def _try_usable(self) -> _Loaded:
        try:
            return self._try()
        except SnapshotError as error:
            raise InfrastructureError(
                f"the models that were published cannot be used, scoring waits for others: {error}"
            ) from error

    def _try(self) -> _Loaded:
        for _ in range(_ROSTER_TRIES):
            sealed = self._waits.redis(self._store.roster)
            if sealed is None and self.models:
                raise StateLostError(
                    "Redis has lost the roster of models; nothing was written, and the start anew looks at"
                    " what there is"
                )
            if sealed is None:
                raise InfrastructureError("no model has been published yet: start a learner")
            roster = decode_roster(sealed, self._signing_key)
            self._refuse_older(roster)
            members = sorted(roster.members, key=lambda member: member.version != roster.champion)
            snapshots = [self._waits.redis(self._store.snapshot, member.key) for member in members]
            served = [
                self._open(member, snapshot)
                for member, snapshot in zip(members, snapshots, strict=True)
                if snapshot is not None
            ]
            if len(served) == len(members):
                return roster.place, tuple(served)
        raise InfrastructureError(
            f"the roster names snapshots that are not there, {_ROSTER_TRIES} times running: if it evicts"
            " keys, set its maxmemory-policy to noeviction"
        )

    def _refuse_older(self, roster: Roster) -> None:
        if self.models and roster.place < self._place:
            raise SnapshotError(
                f"the roster is an older one, {roster.place} after {self._place}: somebody has put it back"
            )

    def _open(self, member: Member, snapshot: bytes) -> Served:
        # Before it is looked into: whoever put another there has signed nothing.
        if not compare_digest(digest_of(snapshot), member.digest):
            raise SnapshotError(
                f"the snapshot {member.key} is not the one that the roster names: it was replaced, or damaged"
            )
        return Served(
            member.version, member.snapshot, decode_snapshot(snapshot, self._signing_key, SCHEMA)[1]
        )
