# The image needs nothing but a place for the ledger:
#   docker build -t consentry .
#   docker run --read-only -p 8080:8080 -v consentry:/data consentry serve --origin http://host:3000 --listen 0.0.0.0:8080

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# /rootfs/data is copied below so that a volume or tmpfs mounted there starts out writable for any user.
RUN cargo build --release --locked && mkdir -p /rootfs/data && chmod 1777 /rootfs/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/consentry /usr/local/bin/consentry
COPY --from=build /src/LICENSE-MIT /src/LICENSE-APACHE /src/THIRD-PARTY.md /usr/share/doc/consentry/
COPY --from=build --chown=65532:65532 /rootfs/ /
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV CONSENTRY_LEDGER__FILE=/data/ledger.db
EXPOSE 8080 9180
HEALTHCHECK CMD ["/usr/local/bin/consentry", "health"]
ENTRYPOINT ["/usr/local/bin/consentry"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--origin", "http://127.0.0.1:3000"]
