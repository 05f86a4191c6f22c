from pathlib import Path
from typing import get_args

import pytest

from stream.adapters.rights import kafka_acls, kafka_rights, redis_acl, redis_rights, rehearsal
from stream.settings import Party, Settings

RULES = Path(__file__).parents[3] / "docs" / "security"
PARTIES = get_args(Party)


def test_the_documented_rules_are_those_of_the_default_settings() -> None:
    assert (RULES / "redis.acl").read_text().splitlines() == [*redis_acl(Settings(), PARTIES)]
    assert (RULES / "kafka-acls.sh").read_text().splitlines() == [*kafka_acls(Settings(), PARTIES)]


@pytest.mark.parametrize("party", PARTIES)
def test_rights_keep_to_the_namespace_and_the_topics_prefix(party: Party) -> None:
    settings = Settings(namespace="eu", topic_prefix="eu.")
    assert all(right.name.startswith(("eu.", "eu-")) for right in kafka_rights(party, settings))
    rights = redis_rights(party, settings)
    assert rights is None or all(pattern.startswith("eu:") for pattern in rights.written + rights.read)


def test_nobody_may_do_what_is_dangerous_or_write_what_another_role_writes() -> None:
    for party in PARTIES:
        rights = redis_rights(party, Settings())
        if rights is None:
            continue
        assert not {"flushdb", "flushall", "keys", "config", "acl", "eval", "debug"} & {*rights.commands}
        assert all(len(call) > 1 or call[0] in ("time", "dbsize") for call in rehearsal(rights))
    scorer, learner = redis_rights("score", Settings()), redis_rights("learn", Settings())
    assert scorer is not None
    assert learner is not None
    assert "fraud:{learner}:*" not in scorer.written, "it could publish models"
    assert "fraud:{[0-9]*}:*" not in learner.written
