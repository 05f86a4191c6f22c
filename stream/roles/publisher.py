"""The publisher: hands the learner's models to the scorers, as snapshots and a roster that names them."""

import river

from stream.clock import Clock
from stream.features.catalogue import SCHEMA, WIDTH
from stream.pipeline.learning import Learner, Publication
from stream.ports import LearnerStore, Token
from stream.registry.seal import Key
from stream.registry.snapshot import Member, Roster, SnapshotInfo, digest_of, encode_roster, encode_snapshot
from stream.roles.patience import Waits


class Publisher:
    """Publishes what a learner has compiled, and knows what was published last.

    Parameters
    ----------
    store
        The feature store.
    clock
        The present.
    signing_key
        That snapshots and rosters are signed with; None: they are only checksummed.
    waits
        How work waits for whatever is away.
    """

    def __init__(self, store: LearnerStore, clock: Clock, signing_key: Key, waits: Waits) -> None:
        self._store = store
        self._clock = clock
        self._signing_key = signing_key
        self._waits = waits
        self._token = Token(0)
        self._roster: bytes | None = None
        """The last roster published, sealed."""
        self.edition = 0
        """Of that roster, among those of this token."""
        self.published_ms = clock()
        """When that was, milliseconds since 1970; before the first, when this was made."""

    def begin(self, token: Token) -> None:
        """Publish under a token from now on."""
        self._token, self.edition = token, 0

    def publish(self, learner: Learner) -> None:
        """Hand on what the learner has compiled since the last time, if it has.

        Raises
        ------
        FencedError
            Another learner has taken over.
        StoppedError
            The process is to stop.
        """
        publication = learner.publication()
        if publication is None:
            return
        snapshots = {self._key(one): self._snapshot(one, learner.offset) for one in publication}
        members = tuple(
            Member(
                version=one.version,
                recipe=one.recipe,
                snapshot=one.snapshot,
                key=self._key(one),
                digest=digest_of(snapshots[self._key(one)]),
            )
            for one in publication
        )
        self.edition += 1
        roster = Roster(
            roster=learner.roster,
            champion=publication[0].version,
            members=members,
            term=self._token,
            edition=self.edition,
            alarm=learner.alarm,
        )
        sealed = encode_roster(roster, self._signing_key)
        self._waits.redis(self._store.publish, self._token, sealed, snapshots)
        self._roster = sealed
        self.published_ms = self._clock()

    def replaced(self) -> bytes | None:
        """Return the roster that lies in the store in place of the last one published, if another does."""
        found = self._waits.redis(self._store.roster)
        return None if self._roster is None or found == self._roster else found

    def _key(self, one: Publication) -> str:
        # With the token: after a restart a snapshot may carry a number again, learnt anew.
        return f"{one.version}.{one.snapshot}.{self._token}"

    def _snapshot(self, one: Publication, offset: int) -> bytes:
        info = SnapshotInfo(
            model_version=one.version,
            snapshot=one.snapshot,
            recipe=one.recipe,
            parameters=one.parameters,
            parents=(one.parent,) if one.parent else (),
            feature_schema=SCHEMA,
            features=WIDTH,
            label_offset=offset if one.fitted_to is None else one.fitted_to,
            river_version=river.__version__,
            metrics={"learned": float(one.learned), "frauds_learned": float(one.frauds_learned)},
        )
        return encode_snapshot(info, one.compiled, self._signing_key)
