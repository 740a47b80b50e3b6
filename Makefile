# The front door. `make help` lists the targets.

SHELL := /bin/bash
GO ?= go
JOBS ?= $(shell nproc)
BUILD := build
# Where connectors and the worker are looked up in the tree.
export SIXCALL_CONNECTOR_PATH := $(CURDIR)/$(BUILD)/cpp/lib
export SIXCALL_WORKER := $(CURDIR)/$(BUILD)/cpp/bin/sixcall-worker
export SIXCALL_PROBE := $(CURDIR)/$(BUILD)/cpp/libexec/sixcall/sixcall-probe

CMAKE_FLAGS := -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSIXCALL_WERROR=ON
PACKAGES := ./...

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps-build deps-test
deps-build:
	@scripts/install-deps build
deps-test:
	@scripts/install-deps test

# What the connectors of storage systems need to run, from PyPI, pinned by hash, below build/deps.
.PHONY: deps-mooncake deps-nixl deps-infinistore
deps-mooncake deps-nixl deps-infinistore: deps-test ## the client library or server of a connector, into build/deps
	@scripts/deps $(@:deps-%=%)

.PHONY: build
build: deps-build cpp $(BUILD)/sixcall ## build the command and the bundled connectors

.PHONY: cpp
cpp: deps-build
	@cmake -S . -B $(BUILD)/cpp $(CMAKE_FLAGS) >/dev/null
	cmake --build $(BUILD)/cpp -j $(JOBS)

.PHONY: $(BUILD)/sixcall
$(BUILD)/sixcall:
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/sixcall

# The bridge for hosts in Python.
.PHONY: capi
capi: $(BUILD)/capi/libsixcall.so
.PHONY: $(BUILD)/capi/libsixcall.so
$(BUILD)/capi/libsixcall.so: deps-build
	CGO_ENABLED=1 $(GO) build -trimpath -ldflags='-s -w' -buildmode=c-shared -o $@ ./adapters/capi

.PHONY: wheel
wheel: cpp capi ## the Python package with the bridge, the worker and the connectors, in build/wheel
	python3 adapters/python/build_wheel.py $(BUILD)/wheel $(BUILD)/capi/libsixcall.so $(BUILD)/cpp/bin/sixcall-worker $(BUILD)/cpp/lib

.PHONY: install
PREFIX ?= /usr/local
install: build ## install the command, headers and connectors below PREFIX (default /usr/local)
	cmake --install $(BUILD)/cpp --prefix $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(BUILD)/sixcall $(DESTDIR)$(PREFIX)/bin/sixcall

.PHONY: demo
demo: deps-build $(BUILD)/sixcall ## replay KV-cache traffic through the bundled mem connector
	@cmake -S . -B $(BUILD)/cpp $(CMAKE_FLAGS) >/dev/null
	cmake --build $(BUILD)/cpp -j $(JOBS) --target sixcall_mem
	@echo
	$(BUILD)/sixcall inspect mem
	@echo
	$(BUILD)/sixcall replay --requests 2000 --block-bytes 65536 --concurrency 8 \
	  --l2-adapter '{"type":"native_plugin","module_path":"mem","class_name":"mem","adapter_params":{"capacity_bytes":4294967296}}'

.PHONY: test
test: deps-test test-cpp test-go test-race test-asan test-tsan ## install what tests need, run all of them

# In these runs nothing is skipped for want of a server or a package.
test-go test-race: export SIXCALL_REQUIRE := 1

.PHONY: test-go
test-go: build test-libraries ## Go tests without cgo, with real servers
	CGO_ENABLED=0 $(GO) test -timeout 30m $(PACKAGES)

# The connectors' own tests are about C++: the race detector has nothing to say there.
.PHONY: test-race
test-race: build test-libraries ## Go tests under the race detector
	CGO_ENABLED=1 $(GO) test -race -short -timeout 30m $$($(GO) list $(PACKAGES) | grep -v /cconnectors/)

# Libraries that break rules, for the tests of the worker.
.PHONY: test-libraries
test-libraries: deps-test
	@cmake -S . -B $(BUILD)/cpp $(CMAKE_FLAGS) -DSIXCALL_BUILD_TESTS=ON >/dev/null
	cmake --build $(BUILD)/cpp -j $(JOBS)

# $(1) name of the flavour, $(2) value of SIXCALL_SANITIZE, $(3) more flags of CMake, $(4) of ctest
define ctest
	cmake -S . -B $(BUILD)/$(1) $(CMAKE_FLAGS) -DSIXCALL_BUILD_TESTS=ON -DSIXCALL_SANITIZE=$(2) $(3) >/dev/null
	cmake --build $(BUILD)/$(1) -j $(JOBS)
	ctest --test-dir $(BUILD)/$(1) $(4) --output-on-failure --no-tests=error
endef
# Sanitized code is slow anyway: let it compile fast. `make test` sanitizes the helper and the connector in memory; the
# -all targets sanitize every connector and the worker, and take their time.
SANITIZED := -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='-O1 -g1' -DCMAKE_C_FLAGS_RELWITHDEBINFO='-O1 -g1'
SANITIZED_PART := -DSIXCALL_CONNECTORS=mem -DSIXCALL_WORKER=OFF

.PHONY: test-cpp test-asan test-tsan
test-cpp: deps-test ## C and C++ tests, header checks, ABI
	$(call ctest,cpp,,,-j $(JOBS))
test-asan: deps-test ## C++ tests under AddressSanitizer and UBSan
	$(call ctest,asan,address$(comma)undefined,$(SANITIZED_PART))
test-tsan: deps-test ## C++ tests under ThreadSanitizer
	$(call ctest,tsan,thread,$(SANITIZED_PART))
.PHONY: test-asan-all test-tsan-all
test-asan-all: deps-test ## all C++ tests under AddressSanitizer and UBSan
	$(call ctest,asan-all,address$(comma)undefined,$(SANITIZED))
test-tsan-all: deps-test ## all C++ tests under ThreadSanitizer
	$(call ctest,tsan-all,thread,$(SANITIZED))
comma := ,

# Long: ten minutes and more for each connector.
.PHONY: check-connectors
check-connectors: build deps-test ## level 3 of `sixcall check` over the bundled connectors
	cmake --build $(BUILD)/cpp -j $(JOBS) --target $(patsubst cconnectors/%/CMakeLists.txt,sixcall_%_twins,$(wildcard cconnectors/*/CMakeLists.txt))
	SIXCALL_REQUIRE=1 SIXCALL_CHECK_LEVEL=3 $(GO) test -count=1 -timeout 3h -run TestBundledConnectorsPass -v ./internal/conformance

# Not part of `make test`: five more versions of LMCache from PyPI.
.PHONY: test-lmcache-versions
test-lmcache-versions: build test-libraries ## the Python package, and plug-ins in Python, on older versions of LMCache
	SIXCALL_REQUIRE=1 SIXCALL_LMCACHE_VERSIONS=1 $(GO) test -count=1 -timeout 30m -run LMCacheVersions -v ./adapters/python ./adapters/config/host

# Not part of `make test`: ten minutes of LMCache's storage manager with faults.
.PHONY: soak-lmcache
SOAK_SECONDS ?= 600
soak-lmcache: build test-libraries ## mixed traffic with faults under LMCache, for SOAK_SECONDS (default 600)
	SIXCALL_REQUIRE=1 SIXCALL_SOAK_SECONDS=$(SOAK_SECONDS) $(GO) test -count=1 -timeout 2h -run TestSoak -v ./adapters/python

# All parts over the connector mem; about 15 minutes. bridge/bench/README.md has shorter and longer runs.
.PHONY: bench bench-guard
bench: build ## the bridge beside a plain C++ program and LMCache's bridge, on the same library
	@mkdir -p $(BUILD)/bench
	bridge/bench/run -out $(CURDIR)/$(BUILD)/bench/results $(BENCH)
bench-guard: build ## a short part of it, which fails when the bridge has become slower or allocates
	bridge/bench/run -parts guard -programs c++,context,events -rounds 5 -seconds 0.15

.PHONY: fuzz
FUZZTIME ?= 20s
fuzz: ## run every fuzz target for FUZZTIME (default 20s)
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
	  done; \
	done

.PHONY: generate
generate: ## regenerate all generated code
	$(GO) generate ./...

.PHONY: lint
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
lint: ## formatting, vet, staticcheck, fresh generated code, other platforms
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./bridge/... ./adapters/...
	GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) generate ./...
	git diff --exit-code -- '*_gen.go' '*_generated.go' '*_generated.h'
	cd bridge/bench && CGO_ENABLED=0 $(GO) vet .
	@! git grep -nE '[[:space:]]+$$' -- '*.go' '*.h' '*.hpp' '*.c' '*.cpp' '*.py' '*.md' Makefile || { echo "trailing blanks"; exit 1; }

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD)
