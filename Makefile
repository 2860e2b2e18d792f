# make demo       set up everything, train the finance domain on its sample, print the report
# make test       set up everything, run all tests
# make check      format, vet, lint, generated code
# make parity     the tests in which transformers, peft and tensorboard read what islm wrote
# make build      bin/islm, bin/libexec/islm-torch, bin/plugins/*
# make bootstrap  libtorch and the default base model into ISLM_HOME; GPU=1 adds the CUDA libraries
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: all build bootstrap demo test registry test-pure test-torch race check fmt vet lint generated parity py bench clean help

PLUGINS := finance medical legal industrial
GOFLAGS_BUILD := -trimpath -buildvcs=false
ISLM_HOME ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/islm
export ISLM_HOME
TORCH_PACKAGES := ./core/torch/... ./core/model/... ./core/train/... ./cmd/...
GOLANGCI_LINT_VERSION := v2.15.0
TOOLS := $(ISLM_HOME)/tools

all: build

help:
	@sed -n 's/^# make/make/p' Makefile

bootstrap:
	go run ./scripts/bootstrap $(if $(GPU),-gpu)

# The plugins are locked by the freshly built islm, as a user's install would.
# islm-torch is built as tests are, so that both share the one long compilation of gotch.
build: bootstrap
	@mkdir -p bin/libexec bin/plugins
	go build $(GOFLAGS_BUILD) -o bin/islm ./cmd/islm
	scripts/go build -o bin/libexec/islm-torch ./cmd/islm
	for p in $(PLUGINS); do go build $(GOFLAGS_BUILD) -o bin/plugins/islm-plugin-$$p ./plugins/$$p; done
	bin/islm plugin lock bin/plugins

demo: build
	@out=$$(mktemp -d "$${TMPDIR:-/tmp}/islm-demo.XXXXXX")/model; \
	bin/islm train --domain finance --out "$$out" && printf '\nThe model and its report: %s\n' "$$out"

test: bootstrap registry test-pure test-torch

# Debian's docker-registry, for the tests of sharing. Where it cannot be installed
# they run against a registry of their own and say so.
registry:
	@command -v docker-registry >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry; } >/dev/null 2>&1; } || \
	  echo "docker-registry is not installed: its test is left out"

# Everything that needs no libtorch, with the race detector.
test-pure:
	go test -race -timeout 20m $$(go list ./... | grep -v '/bench/')
	# Under -race core/token looks at a part of its parity lines and at no long texts: all of them here.
	go test ./core/token

# Tensor packages own the machine's threads: one package at a time.
test-torch: build
	scripts/go test -p 1 -timeout 25m $(TORCH_PACKAGES)

check: fmt vet lint generated

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt -w is needed:"; echo "$$out"; exit 1; fi

vet: bootstrap
	go vet ./...
	scripts/go vet $(TORCH_PACKAGES)

$(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS)/tmp go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/tmp/golangci-lint $@

lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
	$< run ./...

# Generated code leaves no diff; tools that are absent are named.
generated:
	scripts/generated

# A pinned Python environment, only to check what islm writes (about 5 GB).
py: $(ISLM_HOME)/py/.complete
$(ISLM_HOME)/py/.complete: scripts/parity/requirements.txt
	rm -rf $(ISLM_HOME)/py.tmp
	python3 -m venv $(ISLM_HOME)/py.tmp
	$(ISLM_HOME)/py.tmp/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check -r $<
	rm -rf $(ISLM_HOME)/py && mv $(ISLM_HOME)/py.tmp $(ISLM_HOME)/py
	cp $< $@

parity: py build
	ISLM_PARITY_PY=$(ISLM_HOME)/py/bin/python scripts/go test -p 1 -count 1 -timeout 25m -run Parity $$(scripts/go list ./... | grep -v '/bench/')

clean:
	rm -rf bin
