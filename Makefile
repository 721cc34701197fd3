# Everything here needs only Go, except where a line says otherwise.
SHELL    := /bin/bash
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.DEFAULT_GOAL := help
.PHONY: help build run cluster cluster-stop test race fuzz soak lint alerts gen clients realrun sim browser browser-jaeger
.PHONY: bench bench-cluster bench-failover bench-tracing bench-kafka jaeger jaeger-stop jaeger-test trace-demo demo
.PHONY: browser-jaeger compat compat-full chaos chaos-reference test-root helm release release-check check-clean clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## one static binary, bin/chronik
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/chronik ./server/chronik

run: build ## build and run one node with its data in ./data (ARGS="--http …" to add flags)
	@exec ./bin/chronik serve --data-dir ./data $(ARGS)

cluster: build ## three nodes on 127.0.0.1:8081 to 8083, logs side by side, data in ./data/cluster
	@exec ./deploy/cluster up

cluster-stop: ## end them
	@./deploy/cluster down

test: ## every test that needs nothing but Go
	go test ./...

race: ## the same under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 15m ./...

fuzz: ## each decoder's fuzz target for FUZZTIME (10s)
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*_test.go:func | |' | sort -u | \
	while read -r dir name; do echo "== $$dir $$name"; \
	go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -parallel 2 "$$dir" || exit 1; done

soak: ## crashes of the storage engine at random moments, for FUZZTIME (10s)
	go test -run '^TestSoak$$' -v -timeout 0 -parallel 4 ./storage/plog -soak $(FUZZTIME)

bench: build ## compare with the machine's limits and with NATS (BENCH_SHORT=1 for two minutes)
	cd server/bench && go run . -chronik ../../bin/chronik

bench-cluster: build ## three nodes against one and against NATS R3 (BENCH_SHORT=1 for under three minutes)
	cd server/bench && go run . -cluster -chronik ../../bin/chronik

bench-tracing: build ## what tracing costs: off, 1 %, every request (BENCH_SHORT=1 for one minute)
	cd server/bench && go run . -tracing -chronik ../../bin/chronik

bench-kafka: build ## the Kafka listener against Apache Kafka (needs a JDK, Maven; BENCH_SHORT=1 for four minutes)
	cd server/bench && go run . -kafka -chronik ../../bin/chronik

bench-failover: ## SIGKILL to the first acknowledged record, 20 times per kind of victim (about two minutes)
	CHRONIK_FAILOVER=$${CHRONIK_FAILOVER:-20} go test -count=1 -timeout 30m -v -run '^TestFailover$$' ./server/chaos

lint: ## gofmt, vet, staticcheck; server/tidy keeps the rest in "make test"
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt -w: $$out"; exit 1; }
	go vet ./... && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	cd server/bench && go vet . && go test . && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 .

release: ## dist/: static binaries for Linux and macOS, an SBOM, SHA256SUMS; the same commit gives the same bytes
	@rm -rf dist && mkdir -p dist
	@for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do \
	name=dist/chronik-$(VERSION)-$${platform/\//-}; echo $$name; \
	GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0 \
	go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $$name ./server/chronik || exit 1; done
	@go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 app -json -noserial -licenses=false \
	-main server/chronik -output dist/sbom.cdx.json . 2>/dev/null
	@sed -i.bak '/^ *"timestamp":/d' dist/sbom.cdx.json && rm dist/*.bak && cd dist && sha256sum * >SHA256SUMS && cat SHA256SUMS

release-check: ## two releases of one commit are equal
	@$(MAKE) -s release && cp dist/SHA256SUMS /tmp/chronik-sums.$$$$ && $(MAKE) -s release >/dev/null && \
	cmp dist/SHA256SUMS /tmp/chronik-sums.$$$$; status=$$?; rm -f /tmp/chronik-sums.$$$$; exit $$status

HELM := go run helm.sh/helm/v3/cmd/helm@v3.22.0
helm: ## lint the chart and render it, with Helm built from its module
	$(HELM) lint --strict --kube-version 1.31.0 deploy/helm/chronik --set insecure=true
	@rendered=$$(mktemp) && trap 'rm -f "$$rendered"' EXIT && \
	for values in replicas=3 replicas=5,antiAffinity=required founders=5,replicas=5,shutdownTimeout=60; do echo "$$values"; \
	$(HELM) template --kube-version 1.31.0 c deploy/helm/chronik --set "insecure=true,$$values" >"$$rendered" && \
	CHRONIK_CHART=$$rendered go -C deploy/check test -count=1 . || exit 1; done
	@! $(HELM) template --kube-version 1.31.0 c deploy/helm/chronik --set insecure=true,founders=5 >/dev/null 2>&1 || \
	{ echo "the chart is installed with fewer nodes than founders, which wait for each other"; exit 1; }
	@! $(HELM) template --kube-version 1.31.0 c deploy/helm/chronik --set insecure=true,replica=5 >/dev/null 2>&1 || \
	{ echo "a misspelt value is taken"; exit 1; }
	@! $(HELM) template --kube-version 1.31.0 c deploy/helm/chronik >/dev/null 2>&1 || \
	{ echo "the chart is installed without insecure=true"; exit 1; }

PROMETHEUS := v0.313.5
bin/promtool:
	@go mod download github.com/prometheus/prometheus@$(PROMETHEUS)
	GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0 go -C "$$(go env GOMODCACHE)/github.com/prometheus/prometheus@$(PROMETHEUS)" \
	build -tags remove_all_sd -o "$(CURDIR)/bin/promtool" ./cmd/promtool

alerts: bin/promtool ## alert rules, Prometheus' configuration and the dashboard, tested by promtool (first time: minutes)
	cd deploy/prometheus && ../../bin/promtool check config prometheus.yml && ../../bin/promtool test rules alerts_test.yml
	go test -count=1 -run '^TestPanels$$' ./server/servertest

gen: ## the control plane's server and client from openapi.yaml
	go generate ./api/...

clients: build ## generated TypeScript and Python clients against a live node (needs node, python3)
	bash api/clients/run

realrun: build ## the sources of Go itself through one node, killed half way (REALRUN_SHORT=1)
	go run ./server/realrun -chronik bin/chronik

jaeger: ## a real Jaeger in the background, built from its Go module (minutes the first time)
	@./deploy/jaeger up

jaeger-stop: ## end it
	@./deploy/jaeger down

trace-demo: build jaeger ## three nodes, one record, and where Jaeger shows the trace
	@go run ./server/tracedemo -chronik bin/chronik

jaeger-test: build ## the same as a test: the tree of spans as Jaeger's query API answers it
	jaeger=$$(./deploy/jaeger build) && CHRONIK_JAEGER=$(CURDIR)/$$jaeger go test -count=1 -v -run '^TestTraceInJaeger$$' ./server/tracedemo

sim: ## the simulator, seed after seed, for SIM_TIME (24h) from SIM_FROM on; SIM_SEED=n shows one
	@if [ -n "$$SIM_SEED" ]; then go test -count=1 -v -run '^TestSeed$$' ./server/sim; else \
	SIM_SEEDS=$${SIM_SEEDS:-2000} SIM_TIME=$${SIM_TIME:-24h} go test -count=1 -timeout 25h -v -run '^TestSeeds$$' ./server/sim; fi

browser: ## every screen of the console in headless Chromium (needs one: apt-get install chromium-headless-shell)
	CHRONIK_BROWSER=$${CHRONIK_BROWSER:-1} go test -count=1 -timeout 5m -v -run '^TestBrowser$$' ./web

demo: build ## one node, one record, its trace in a real Jaeger: prints what to open (make jaeger builds one)
	@./deploy/demo

browser-jaeger: build ## the same in a browser: from the record in the console to its trace
	jaeger=$$(./deploy/jaeger build) && CHRONIK_JAEGER=$(CURDIR)/$$jaeger CHRONIK_BROWSER=$${CHRONIK_BROWSER:-1} \
	go test -count=1 -timeout 3m -v -run '^TestBrowserJaeger$$' ./web

compat: ## other people's Kafka clients and their suites (needs npm, a C++ compiler, kcat, a JDK, Maven)
	CHRONIK_COMPAT=short go test -count=1 -timeout 40m -v ./kafka/compat

compat-full: ## the same with everything that takes long
	CHRONIK_COMPAT=full go test -count=1 -timeout 3h -v ./kafka/compat

chaos: ## three nodes, every kind of fault in turn, for CHAOS_TIME (5m); then nodes without a safeguard
	@mkdir -p bin
	CHAOS_TIME=$${CHAOS_TIME:-5m} go test -count=1 -timeout 3h -v -artifacts -outputdir $(CURDIR)/bin \
	-run 'TestNemeses|TestMutants' ./server/chaos

chaos-reference: ## the reference scenario, then 20 kills of each kind of victim under load (CHAOS_ROUNDS)
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-20} go test -count=1 -timeout 1h -v -run 'TestReference|TestVictims' ./server/chaos

test-root: ## a full filesystem, syncs that fail, little memory, the image's root directory (needs root, strace)
	CHRONIK_TEST_ROOT=1 go test -count=1 -v -run 'Full|SyncError|Image|LittleMemory' ./server/chaos ./server/chronik

check-clean: ## fail when the work tree differs from the commit
	@out=$$(git status --porcelain); test -z "$$out" || { echo "not committed:"; echo "$$out"; exit 1; }

clean: ## remove what was built
	rm -rf bin dist
