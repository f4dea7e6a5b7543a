# The image of the API and of the worker. `make prove-dockerfile` runs these very steps without a container engine.

FROM python:3.11-slim-bookworm AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/certsync
RUN python3 -m venv /opt/certsync/.venv
# What running needs and what sends traces, which nobody could add to the image.
COPY requirements/otel.txt requirements/otel.txt
RUN .venv/bin/pip install --require-hashes --only-binary :all: --requirement requirements/otel.txt \
    && .venv/bin/pip uninstall --yes pip setuptools
COPY alembic alembic
COPY app app
COPY workers workers
RUN .venv/bin/python -m compileall -q alembic app workers


FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="certsync" \
      org.opencontainers.image.description="Keeps teacher licences in a school district's ERP true" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
       libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 certsync \
    && useradd --uid 10001 --gid certsync --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin certsync \
    && install --directory --owner certsync --group certsync --mode 700 /var/lib/certsync
COPY --from=builder /opt/certsync /opt/certsync
COPY LICENSE /opt/certsync/LICENSE

# Beside /var/lib/certsync only /tmp is written: the root file system may be read-only.
ENV PATH=/opt/certsync/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/certsync \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    LOGNAME=certsync \
    CERTSYNC_ENVIRONMENT=production \
    CERTSYNC_DATA_DIR=/var/lib/certsync
WORKDIR /opt/certsync
USER 10001:10001
VOLUME /var/lib/certsync
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["serve", "--host", "0.0.0.0"]
