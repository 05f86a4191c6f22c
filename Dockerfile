# syntax=docker/dockerfile:1
# One image for every command: `docker run fraudstream worker --role score`, `... topics create`, and so on.

# The image has no compiler: every dependency must come as a wheel. Here one compiles the kernel.
FROM python:3.12.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Every file that comes from elsewhere has one of the hashes that were locked (`make lock`).
COPY requirements requirements
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --only-binary=:all: --requirement requirements/build.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --require-hashes --only-binary=:all: --wheel-dir /wheels --requirement requirements/image.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY stream stream
COPY producers producers
COPY consumers consumers
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m zipfile -l /wheels/fraudstream-*.whl | grep --quiet kernel/_features

FROM python:3.12.11-slim-bookworm
# LightGBM's wheel brings everything but the OpenMP runtime, which slim images leave out.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
# Faust makes a directory for its tables where it starts, though we have none.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/fraudstream \
    --shell /usr/sbin/nologin fraudstream
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels --only-binary=:all: 'fraudstream[batch,desk]'
ENV PYTHONUNBUFFERED=1 \
    FRAUD_HTTP_HOST=0.0.0.0 \
    FRAUD_HTTP_PORT=8000
USER fraudstream
WORKDIR /var/lib/fraudstream
EXPOSE 8000
# Alive, not ready: a worker that waits for Redis is not mended by a restart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['FRAUD_HTTP_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["fraudstream"]
CMD ["worker"]
