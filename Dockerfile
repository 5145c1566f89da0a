# The node alone: no compiler, no npm. Build: docker build -t vtrace .
FROM python:3.11-slim-trixie AS build
WORKDIR /build
RUN python -m venv /opt/vtrace
COPY requirements.lock .
RUN /opt/vtrace/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY node ./node
RUN /opt/vtrace/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-trixie
# pg_dump and pg_restore, for vtrace backup of an index in PostgreSQL.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
# The uid is fixed, so that volumes and secrets can be made for it.
RUN useradd --system --uid 10001 --create-home --home-dir /data vtrace && install -d -o vtrace -g vtrace -m 0700 /backups
COPY --from=build /opt/vtrace /opt/vtrace
ENV PATH=/opt/vtrace/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
    VTRACE_DATA_DIR=/data VTRACE_GRPC=0.0.0.0:50051 VTRACE_HTTP=0.0.0.0:8080
# Without VTRACE_TLS_CERT and VTRACE_TLS_KEY the node refuses these addresses until VTRACE_INSECURE=1 is said.
USER vtrace
VOLUME /data /backups
EXPOSE 50051 8080
CMD ["vtrace", "serve"]
