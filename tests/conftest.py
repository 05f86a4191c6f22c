"""What all tests share: an environment that is not the caller's, and services declared by marks."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from stream import kernel
from tests.services.plugin import pytest_configure as configure_services
from tests.services.plugin import (  # noqa: F401 - pytest finds its hooks here
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="numpy"),
        pytest.param(True, id="compiled", marks=pytest.mark.service("kernel")),
    ],
)
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a module's tests without the compiled kernel, and with it."""
    with kernel.using(request.param):
        yield


def pytest_configure(config: pytest.Config) -> None:
    # A developer's own settings must not decide what a test sees.
    for name in [name for name in os.environ if name.startswith("FRAUD_")]:
        del os.environ[name]
    # How long an example takes is the machine's affair.
    hypothesis.settings.register_profile(
        "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("untimed")
    configure_services(config)
