"""The examination: everything in the order in which it should be mended."""

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from stream.clock import Clock
from stream.doctor.configuration import check_configuration
from stream.doctor.finding import Finding, wrong
from stream.doctor.installation import check_installation, check_kernel
from stream.doctor.kafka import check_kafka
from stream.doctor.redis import check_redis
from stream.errors import SettingsError
from stream.settings import load_settings


def examine(
    environment: Mapping[str, str],
    clock: Clock,
    *,
    timeout_seconds: float = 5.0,
    broker: str | None = None,
    redis: str | None = None,
) -> Iterator[Finding]:
    """Yield one finding after the other, as they are made.

    Parameters
    ----------
    environment
        Where the settings are read from, for names that nobody reads.
    clock
        The present.
    timeout_seconds
        How long a service may take for each answer.
    broker, redis
        Take precedence over the settings.
    """
    yield from check_installation()
    yield check_kernel()
    try:
        settings = load_settings(broker=broker, redis=redis)
    except SettingsError as error:
        yield wrong("settings", str(error))
        return
    yield from check_configuration(settings, environment)
    yield from check_kafka(settings, timeout_seconds=timeout_seconds)
    yield from check_redis(settings, clock, timeout_seconds=timeout_seconds)
    for further in sorted(entry_points(group="fraudstream.doctor"), key=lambda found: found.name):
        yield from further.load()(settings, timeout_seconds=timeout_seconds)
