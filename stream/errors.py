"""What can go wrong, as a tree.

::

    FraudstreamError
    ├── SettingsError        a setting is missing or wrong; the start stops with its sentence
    ├── TopicError           a topic is missing, or has another shape than asked
    ├── InfrastructureError  Redis or Kafka is away, slow, full or refuses; work waits and tries again
    │   └── AccessError      it does not let us in, or not do this: a password, certificate or right
    ├── FencedError          another worker has taken over this partition; ours must stop
    ├── StateLostError       Redis has less than it had: it was emptied, or went back in time
    ├── OffsetGapError       records between the last one processed and this one are gone
    ├── StalledError         a role does nothing though records wait and no service is away; the process ends
    ├── StoppedError         the process was told to stop while work was waiting for a service
    ├── RecordingError       a recorded file cannot be read on (in ``stream.recording``)
    └── SnapshotError        a snapshot or checkpoint is damaged, forged, or of another version

Bad input is not here: a record that cannot be used is a value, :class:`stream.records.DeadLetter`.
"""


class FraudstreamError(Exception):
    """Every error of ours: its text says what, where, and what to do."""


class SettingsError(FraudstreamError):
    """A setting is missing or wrong. Raised before anything has started."""


class TopicError(FraudstreamError):
    """A topic is missing or has another shape than the settings ask for."""


class InfrastructureError(FraudstreamError):
    """A service is away, slow, full or refusing. The work that met it is to be tried again."""


class AccessError(InfrastructureError):
    """Redis or Kafka does not let us in, or not do this. A start stops with it; work that met it waits.

    It waits since rights are given, and passwords changed, while workers run.
    """


class FencedError(FraudstreamError):
    """Another worker took this partition over. Nothing was written."""


class StateLostError(FraudstreamError):
    """Redis has less than it had. Nothing was written; a start anew looks at what is left, and goes on."""


class OffsetGapError(FraudstreamError):
    """Records between the last one processed and the one received no longer exist, or were skipped."""


class StalledError(FraudstreamError):
    """A role stands still though there is work and nothing that it waits for: only a new start helps."""


class StoppedError(FraudstreamError):
    """The process was told to stop while this work was waiting. It was not done, and will come again."""


class SnapshotError(FraudstreamError):
    """A model snapshot or a checkpoint is not what it claims to be, and was not loaded."""
