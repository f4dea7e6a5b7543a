FROM python:3.12-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
       libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/certsync certsync \
    && install -d -o certsync -g certsync -m 700 /var/lib/certsync/data

WORKDIR /opt/certsync
COPY requirements/runtime.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY workers workers
COPY alembic alembic

ENV PYTHONPATH=/opt/certsync CERTSYNC_DATA_DIR=/var/lib/certsync/data LOGNAME=certsync
USER certsync
VOLUME /var/lib/certsync/data
EXPOSE 8000
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["serve", "--host", "0.0.0.0"]
