# Tidings in a small image: one binary, the system's certificate authorities, no root.
#
#   docker build --tag tidings .
#
# `cargo nextest run image` executes these steps where no engine can run them.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates
WORKDIR /src
COPY . .
# The names of functions are left out. `-V` names what it was built from, if that is given.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
ARG TIDINGS_BUILT_FROM
RUN cargo build --release --locked --package tidings --bin tidings
RUN install -D target/release/tidings /out/bin/tidings && mkdir /out/data

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/tidings /usr/local/bin/tidings
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
ENV TIDINGS_DATA__DIR=/data
VOLUME /data
EXPOSE 80 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["tidings", "health"]
ENTRYPOINT ["tidings"]
CMD ["serve"]
