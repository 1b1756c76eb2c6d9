# syntax=docker/dockerfile:1
# Builds personas. From the top of the repository:
#
#   docker build -f docker/build.Dockerfile -t persona-factory-build .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/personas:/personas:ro" -v "$PWD/out:/factory" \
#     persona-factory-build build /personas/concise.yaml
#
# For an NVIDIA GPU: `--build-arg HARDWARE=gpu`, and `docker run --gpus all`. Without one, TORCH_INDEX is the
# address of a package index with CPU builds of torch, as for `make`.

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
# Any user id works: caches are below HOME, models from a hub stay with what is built from them, and USER is
# what torch calls a user without an entry in /etc/passwd.
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    USER=factory \
    PYTHONUNBUFFERED=1 \
    FACTORY_HOME=/factory \
    HF_HOME=/factory/hub
USER 10001
VOLUME /factory
WORKDIR /factory
ENTRYPOINT ["factory"]
CMD ["--help"]
