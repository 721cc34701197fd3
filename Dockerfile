# One static binary and nothing else: no shell, no libraries, no root.
#
#   docker build -t chronik --build-arg VERSION=$(git describe --tags --always) .
#   docker run -p 8080:8080 -v chronik:/data chronik
#
# Until there are accounts, whoever reaches the ports may do anything: the image
# listens on all addresses of its container only because --insecure says so.
# Publish the ports on 127.0.0.1 or in a network that you trust.
FROM golang:1.26 AS build
ARG VERSION=dev
ARG COMMIT=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	-ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /out/rootfs/chronik ./server/chronik \
	&& mkdir -p /out/rootfs/data /out/rootfs/tmp /out/rootfs/etc/ssl/certs \
	&& cp /etc/ssl/certs/ca-certificates.crt /out/rootfs/etc/ssl/certs/

FROM scratch
COPY --from=build --chown=65532:65532 /out/rootfs/ /
USER 65532:65532
ENV CHRONIK_DATA_DIR=/data \
	CHRONIK_HTTP=0.0.0.0:8080 \
	CHRONIK_KAFKA=0.0.0.0:9092 \
	CHRONIK_PEER=0.0.0.0:7070
VOLUME /data
EXPOSE 8080 9092 7070
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 CMD ["/chronik", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/chronik"]
# Arguments that are given to "docker run" replace these: --insecure has to be said again.
CMD ["serve", "--insecure", "--http-advertise", "127.0.0.1:8080", "--kafka-advertise", "127.0.0.1:9092"]
