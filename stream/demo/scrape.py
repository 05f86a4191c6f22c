"""A scrape: what a worker's /health and /metrics said at one moment, and what can be computed from it."""

import http.client
import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_SECONDS: Final = 2.0

Labels = frozenset[tuple[str, str]]


class Histogram(NamedTuple):
    """A Prometheus histogram: how many observations were at most each bound."""

    bounds: tuple[float, ...] = ()
    """Ascending; the last one is infinite."""
    counts: tuple[float, ...] = ()
    """Cumulative, of the same length."""

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return the observations made after `earlier` was read."""
        if earlier.bounds != self.bounds:
            return self
        pairs = zip(self.counts, earlier.counts, strict=True)
        return Histogram(self.bounds, tuple(now - then for now, then in pairs))

    def quantile(self, share: float) -> float | None:
        """Estimate a quantile, as PromQL's ``histogram_quantile`` does.

        Parameters
        ----------
        share
            Between 0 and 1.

        Returns
        -------
        float or None
            Interpolated within its bucket, counted from 0 in the first one; the highest finite bound when it
            lies beyond; None without observations.

        Examples
        --------
        >>> Histogram((0.1, 0.2, float("inf")), (50, 100, 100)).quantile(0.75)
        0.15000000000000002
        """
        if not self.counts or self.counts[-1] <= 0:
            return None
        rank = share * self.counts[-1]
        lower, below = 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= rank:
                if math.isinf(bound):
                    return lower
                inside = count - below
                return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
            lower, below = bound, count
        return lower


class Scrape:
    r"""The samples of one /metrics page.

    Parameters
    ----------
    samples
        Name, labels and value of each.

    Examples
    --------
    >>> scrape = Scrape.parse('fraud_labels_total{outcome="joined"} 7\nfraud_labels_total{outcome="x"} 1\n')
    >>> scrape.total("fraud_labels_total"), scrape.by("fraud_labels_total", "outcome")["joined"]
    (8.0, 7.0)
    """

    def __init__(self, samples: Iterable[tuple[str, Labels, float]] = ()) -> None:
        self._samples: dict[str, list[tuple[Labels, float]]] = {}
        for name, labels, value in samples:
            self._samples.setdefault(name, []).append((labels, value))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Prometheus's text format."""
        return cls(
            (sample.name, frozenset(sample.labels.items()), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry `labels`; 0 when there are none."""
        wanted = labels.items()
        return sum((value for has, value in self._samples.get(name, ()) if wanted <= has), 0.0)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the first sample that carries `labels`; None when there is none."""
        wanted = labels.items()
        return next((value for has, value in self._samples.get(name, ()) if wanted <= has), None)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a metric's samples summed by the value of one label."""
        sums: dict[str, float] = {}
        for has, value in self._samples.get(name, ()):
            key = dict(has).get(label, "")
            sums[key] = sums.get(key, 0.0) + value
        return sums

    def histogram(self, name: str) -> Histogram:
        """Return a histogram, its labels summed away."""
        counts = self.by(f"{name}_bucket", "le")
        bounds: Sequence[tuple[float, float]] = sorted((float(le), count) for le, count in counts.items())
        return Histogram(tuple(b for b, _ in bounds), tuple(c for _, c in bounds))


class Endpoint:
    """Where a worker on this machine serves its health and metrics.

    Parameters
    ----------
    port
        On 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def why_not_ready(self) -> str | None:
        """Return what the worker still waits for, in its own words; None when it is ready."""
        answer = self._get("/health/ready")
        if answer is None:
            return "it has not answered yet"
        status, text = answer
        return None if status == http.client.OK else text.strip()

    def scrape(self) -> Scrape | None:
        """Read the metrics; None when the worker does not answer now."""
        answer = self._get("/metrics")
        if answer is None or answer[0] != http.client.OK:
            return None
        return Scrape.parse(answer[1])

    def _get(self, path: str) -> tuple[int, str] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            # Not started yet, busy, or gone: whether it still lives is seen from its process.
            return None
        finally:
            connection.close()
