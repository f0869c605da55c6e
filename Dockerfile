# A small image that runs as nobody: docker build -t hubgate .
# docs/deploy.md says how it is run.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# What `hubgate --version` tells of the commit: the repository itself is no part of the build.
ARG HUBGATE_COMMIT=
ARG HUBGATE_COMMIT_DATE=
# Kept between builds: the WebAssembly compiler takes minutes.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked -p hubgate && cp target/release/hubgate /hubgate
# A new volume takes its owner from what it covers.
RUN mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /hubgate /usr/local/bin/hubgate
# Plugin state and caches; mount a volume here to keep them. The configuration's own folder may be read-only.
COPY --from=build --chown=65532:65532 /data /data
ENV STATE_DIRECTORY=/data
WORKDIR /data
EXPOSE 8888 8889
# Asks the admin listener at its default address.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/hubgate", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/hubgate"]
CMD ["serve", "--config", "/etc/hubgate/hubgate.toml"]
