# syntax=docker/dockerfile:1
# Serves what was built, from $FACTORY_HOME mounted at /factory. From the top of the repository:
#
#   docker build -f docker/serve.Dockerfile -t persona-factory-serve .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD/out:/factory" -p 127.0.0.1:8000:8000 \
#     -e FACTORY_API_KEY --read-only --tmpfs /tmp:exec --shm-size 1g persona-factory-serve
#
# `compose.yaml` does the same, with a chat UI. For GPUs and TORCH_INDEX see build.Dockerfile.

FROM python:3.11-slim-bookworm AS install
ARG HARDWARE=cpu
ARG TORCH_INDEX
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1 make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY factory factory
COPY serve serve
RUN --mount=type=cache,target=/root/.cache/pip \
    make install SERVE="$HARDWARE" EXTRAS=otel TORCH_INDEX="$TORCH_INDEX"

FROM python:3.11-slim-bookworm
# vLLM wants libnuma on a CPU; on a GPU, Triton compiles its kernels with gcc.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /tmp --no-create-home factory \
    && install --directory --owner factory /factory
COPY --from=install /app /app
# Any user id works, and so does a read-only root: all that is written is below /factory (logs, keys) and HOME
# (caches, sockets). USER is what torch calls a user without an entry in /etc/passwd.
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    USER=factory \
    PYTHONUNBUFFERED=1 \
    FACTORY_HOME=/factory \
    HF_HOME=/factory/hub \
    HF_HUB_OFFLINE=1
USER 10001
VOLUME /factory
WORKDIR /factory
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
# No shell in between: SIGTERM reaches the server, which lets running answers finish.
ENTRYPOINT ["factory"]
CMD ["serve", "--host", "0.0.0.0"]
