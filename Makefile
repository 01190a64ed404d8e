# SPDX-License-Identifier: Apache-2.0
# Needs Go and GNU make. Everything else is installed, by version, into .tmp/bin.

GOLANGCI_LINT_VERSION := v2.12.2
GOVULNCHECK_VERSION   := v1.6.0

BENCHSTAT_VERSION     := v0.0.0-20260908200009-22c9c6c9d4da

FUZZTIME    ?= 10s
EVENTS      ?= all# of make chaos: names separated by commas, as "kill -9,node lost"
CELLS       ?=# of make chaos: as tri/application/etcd,dubbo/interface/nacos; none: all twelve
BENCHTIME   ?= 150ms# of each figure in a round
BENCHROUNDS ?= 8
BENCHPAIRS  ?= 25# turns of each side in each cell of real calls
BENCHTURN   ?= 1s
BENCHPAGE   ?= docs/benchmarks.md

BIN           := $(CURDIR)/.tmp/bin
GOLANGCI_LINT := $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(BIN)/govulncheck-$(GOVULNCHECK_VERSION)
BENCHSTAT     := $(BIN)/benchstat-$(BENCHSTAT_VERSION)
RAW           := $(CURDIR)/.tmp/bench

# Packages with functions of a kind; others need no linking.
fuzz_packages  = $(shell grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)
bench_packages = $(shell grep -rlE --include='*_test.go' '^func Benchmark' . | xargs -r -n1 dirname | sort -u)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

.PHONY: all
all: build vet lint race tidy-check vuln ## what CI runs (default)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | sort | awk -F'\t' '{ printf "%-12s %s\n", $$1, $$2 }'

.PHONY: build
build: ## compile everything
	go build ./...

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: test
test: ## all tests
	go test ./...

.PHONY: race
race: ## all tests with the race detector
	go test -race -timeout 30m ./...

# Kitex has a module of its own, whose list of versions follows ours: a copy of it
# takes what has changed since it was tidied.
kitex = cp test/bench/kitex/go.mod $(RAW)/kitex.mod && cp test/bench/kitex/go.sum $(RAW)/kitex.sum && \
  cd test/bench/kitex && go test -mod=mod -modfile=$(RAW)/kitex.mod

# The parts take turns, so that a machine that gets slower for a while slows all.
.PHONY: bench
bench: $(BENCHSTAT) ## all targets beside plain dubbo-go and Kitex, into docs/benchmarks.md (20 minutes)
	@rm -rf $(RAW) && mkdir -p $(RAW)
	go test -c -o $(RAW)/grid.test ./test/bench
	go test -c -o $(RAW)/push.test ./cluster/lossless
	$(kitex) -c -o $(RAW)/kitex.test .
	go test -c -o $(RAW)/share.test ./loadbalance/warmup
	go build -o $(RAW)/calls ./test/bench/calls
	@set -e; for round in $$(seq $(BENCHROUNDS)); do \
	  echo "round $$round of $(BENCHROUNDS)"; \
	  $(RAW)/kitex.test -test.run '^$$' -test.bench . -test.benchtime $(BENCHTIME) >>$(RAW)/kitex.txt; \
	  (cd test/bench && $(RAW)/grid.test -test.run '^$$' -test.bench '^BenchmarkCall$$' -test.benchtime $(BENCHTIME)) >>$(RAW)/call.txt; \
	  (cd test/bench && $(RAW)/grid.test -test.run '^$$' -test.bench '^BenchmarkCall$$/^variant=(floor|graylane|routers)$$' -test.count 5 -test.benchtime $(BENCHTIME)) >>$(RAW)/call.txt; \
	  $(RAW)/push.test -test.run '^$$' -test.bench '^Benchmark(Push|RuleChange)$$' -test.benchtime $(BENCHTIME) >>$(RAW)/push.txt; \
	done
	$(RAW)/grid.test -test.run '^$$' -test.bench 'Plain|Build' -test.benchtime 20ms -test.count 3 >$(RAW)/grid.txt
	$(RAW)/share.test -test.run '^TestShareAccuracy$$' -test.v >$(RAW)/share.txt
	$(RAW)/calls -pairs $(BENCHPAIRS) -turn $(BENCHTURN) >$(RAW)/calls.txt
	go run ./test/bench/report -raw $(RAW) -page '$(BENCHPAGE)' -benchstat $(BENCHSTAT) \
	  -command 'make bench BENCHTIME=$(BENCHTIME) BENCHROUNDS=$(BENCHROUNDS) BENCHPAIRS=$(BENCHPAIRS) BENCHTURN=$(BENCHTURN)'

.PHONY: bench-smoke
bench-smoke: ## every benchmark once, to see that it works
	@test -n "$(bench_packages)" || { echo "no benchmarks"; exit 1; }
	go test -run '^$$' -bench . -benchtime 1x $(filter-out ./test/bench/kitex,$(bench_packages))
	@mkdir -p $(RAW)
	$(kitex) -run '^$$' -bench . -benchtime 1x .
	go run ./test/bench/calls -pairs 1 -turn 50ms -n 3

.PHONY: chaos
chaos: ## providers die in every way, in all twelve cells; the table in .tmp/chaos.md (EVENTS="node lost", CELLS=…)
	@mkdir -p .tmp
	GRAYLANE_REQUIRE=all go test -count=1 -timeout 180m ./test/chaos -matrix -events '$(EVENTS)' $(if $(CELLS),-cells $(CELLS)) -report $(CURDIR)/.tmp/chaos.md

.PHONY: chaos-baseline
chaos-baseline: ## the same with plain dubbo-go, not judged; the table in .tmp/chaos-baseline.md
	@mkdir -p .tmp
	GRAYLANE_REQUIRE=all go test -count=1 -timeout 180m ./test/chaos -matrix -events '$(EVENTS)' $(if $(CELLS),-cells $(CELLS)) -plain -report $(CURDIR)/.tmp/chaos-baseline.md

.PHONY: soak
soak: ## random events in one cell for half an hour (ARGS="-short": 5 minutes; "-seed 7", "-cells tri/application/etcd")
	GRAYLANE_REQUIRE=all go test -count=1 -v -timeout 60m -run '^TestSoak$$' ./test/chaos -soak 30m $(ARGS)

.PHONY: fuzz
fuzz: ## each fuzz target for a while (FUZZTIME=10s)
	@set -e; for dir in $(fuzz_packages); do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$dir/*_test.go | cut -c6- | sort -u); do \
	    echo "go test -run '^$$' -fuzz '^$$target\$$' -fuzztime $(FUZZTIME) $$dir"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
	  done; \
	done

.PHONY: cover
cover: ## coverage of the short tests: cover.out, coverage.html
	go test -short -coverpkg=./... -coverprofile cover.out ./...
	go tool cover -html cover.out -o coverage.html
	go tool cover -func cover.out | tail -1

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint
	$(GOLANGCI_LINT) config verify
	GOLANGCI_LINT_CACHE=$(CURDIR)/.tmp/lint-cache $(GOLANGCI_LINT) run ./... # findings are cached by path: not shared with other clones

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format all files (gofumpt, gci)
	$(GOLANGCI_LINT) fmt ./...

.PHONY: tidy
tidy: ## go mod tidy
	go mod tidy
	cd test/bench/kitex && go mod tidy

# A difference is printed to stdout and fails; anything else (no network, a
# registry without a module that only some dependency's tests need) skips.
.PHONY: tidy-check
tidy-check: ## go.mod and go.sum are tidy
	@mkdir -p .tmp
	@if go mod tidy -diff >.tmp/tidy.diff 2>.tmp/tidy.err; then echo "go.mod is tidy"; \
	elif [ -s .tmp/tidy.diff ]; then cat .tmp/tidy.diff; echo "go.mod is not tidy: run make tidy" >&2; exit 1; \
	else cat .tmp/tidy.err; echo "SKIPPED: go mod tidy -diff does not work here"; fi

# A scan of the tool's own binary is a cheap first call of the database.
.PHONY: vuln
vuln: $(GOVULNCHECK) ## govulncheck, where its database can be reached
	@$(GOVULNCHECK) -mode binary -scan module $(GOVULNCHECK) >.tmp/vuln.out 2>&1; \
	if grep -q 'fetching vulnerabilities' .tmp/vuln.out; then \
	  cat .tmp/vuln.out; echo "SKIPPED: govulncheck cannot reach its database"; \
	else $(GOVULNCHECK) ./...; fi

.PHONY: generate
generate: ## generated code, from the .proto files
	go generate ./...

.PHONY: samples
samples: ## build the sample programs into .tmp/samples and test them
	@mkdir -p .tmp/samples
	go build -o .tmp/samples/ ./samples/user ./samples/cart ./samples/order ./samples/gateway ./samples/demo
	go test ./samples/...

.PHONY: demo
demo: ## the gray release under load (ARGS="-compare", …)
	go run ./samples/demo $(ARGS)

.PHONY: e2e
e2e: ## tests with real servers and processes; a missing part is a failure
	GRAYLANE_REQUIRE=all go test -count=1 -timeout 20m ./test/... ./samples/...

.PHONY: clean
clean: ## remove tools and outputs
	rm -rf .tmp cover.out coverage.html

$(GOLANGCI_LINT):
	@mkdir -p $(BIN)
	GOFLAGS= GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(BIN)/golangci-lint $@

$(GOVULNCHECK):
	@mkdir -p $(BIN)
	GOFLAGS= GOBIN=$(BIN) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	@mv $(BIN)/govulncheck $@

$(BENCHSTAT):
	@mkdir -p $(BIN)
	GOFLAGS= GOBIN=$(BIN) go install golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION)
	@mv $(BIN)/benchstat $@
