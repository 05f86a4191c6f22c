"""The doctor: looks at everything that a deployment stands on, and says what to do about what is wrong.

It only looks: nothing is written to Kafka or Redis, and no consumer group is joined.
"""

from stream.doctor.examination import examine
from stream.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
