# Slim, not root, weights inside.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
# The CPU build of torch; another index for a GPU: --build-arg TORCH_INDEX_URL=...
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG EXTRAS=onnx,otel,postgres,uvloop
RUN python -m venv /opt/bandit-router \
    && /opt/bandit-router/bin/pip install --no-cache-dir --constraint constraints.txt \
        --extra-index-url "$TORCH_INDEX_URL" ".[$EXTRAS]"

FROM python:3.11-slim
COPY --from=build /opt/bandit-router /opt/bandit-router
RUN useradd --create-home --uid 10001 router && mkdir /data && chown router /data
USER 10001
WORKDIR /data
# Machine code for every processor of this architecture: made for the builder's own, it would be made
# again at every start on a host unlike it.
ENV PATH=/opt/bandit-router/bin:$PATH NUMBA_CPU_NAME=generic
# It and the 8-bit weights go to the user's cache, where they are found again: as another user they
# would be made at every start.
RUN bandit-router precompile
VOLUME /data
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
# Anybody who reaches the port may use it until `bandit-router keys add` has made a key; publish it
# to 127.0.0.1 only, as compose.yaml does.
ENTRYPOINT ["bandit-router"]
CMD ["serve", "--host", "0.0.0.0", "--allow-open", "--db", "/data/router.db"]
