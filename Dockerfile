# One image for all roles; `command` picks the program. `make image` writes the same without Docker.
#   docker build -t rocketkube:dev .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    e2e/binaries /image

FROM scratch
LABEL org.opencontainers.image.title="RocketKube" \
      org.opencontainers.image.description="Message broker for RocketMQ clients: broker, name server, operator, rkctl" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
USER 65532:65532
