# wiretape as a container: the daemon in the foreground, its state in the volume /state, cassettes in /cassettes.
#
#   docker build -t wiretape .
#   docker run --rm wiretape demo

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY addons addons
COPY cassette cassette
COPY config config
COPY proxy_cli proxy_cli
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels wiretape \
    && useradd --create-home --uid 10001 wiretape \
    && install --directory --owner wiretape --group wiretape --mode 0700 /state \
    && install --directory --owner wiretape --group wiretape --mode 0755 /ca \
    && install --directory --owner wiretape --group wiretape --mode 0755 /cassettes
USER wiretape
ENV WIRETAPE_HOME=/state WIRETAPE_LOG_FORMAT=json PYTHONDONTWRITEBYTECODE=1
WORKDIR /cassettes
VOLUME ["/state", "/cassettes"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s CMD ["wiretape", "status", "--ready"]
ENTRYPOINT ["wiretape"]
CMD ["daemon", "--foreground"]
