"""The doctor: looks at everything that a deployment stands on, and says what to do about what is wrong.

It only looks: nothing is written to Kafka, Redis or PostgreSQL, and no consumer group is joined. Other
packages have it look at more by entry points of the group `fraudstream.doctor`.
"""

from stream.doctor.examination import examine
from stream.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
