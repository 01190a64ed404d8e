# SPDX-License-Identifier: Apache-2.0
# Needs Go and GNU make. Everything else is installed, by version, into .tmp/bin.

GOLANGCI_LINT_VERSION := v2.12.2
GOVULNCHECK_VERSION   := v1.6.0

FUZZTIME   ?= 10s
BENCHTIME  ?= 1s
BENCHCOUNT ?= 1

BIN           := $(CURDIR)/.tmp/bin
GOLANGCI_LINT := $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(BIN)/govulncheck-$(GOVULNCHECK_VERSION)

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

.PHONY: bench
bench: ## benchmarks (BENCHTIME=1s BENCHCOUNT=1)
	@test -n "$(bench_packages)" || { echo "no benchmarks"; exit 1; }
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) $(bench_packages)

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
