# What a person or a CI job runs. Every step works in a fresh clone with a Rust toolchain; what else it
# needs comes through ordinary package clients. A missing tool is a visible skip by hand, and an error
# when CI=true.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

RKCTL_RELEASE := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release/rkctl

.PHONY: help
help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## build and start a name server and a broker in one process
	cargo run --release -p rkctl -- dev

# --- Tests: a suite is a target, and a line in .ci/run.

.PHONY: test
test: test-unit test-interop test-crash test-readme ## every test that needs no cluster, official clients included

.PHONY: test-unit
test-unit: ## unit and integration tests; brokers killed under load are among them
	cargo test --workspace

.PHONY: test-interop
test-interop: ## official Java and Go clients against our broker
	e2e/interop/run

.PHONY: test-crash
test-crash: ## 300 kills under load, and 100,000 queues, against a release build
	cargo build --release -p rkctl
	RKCTL=$(RKCTL_RELEASE) ROCKETKUBE_CRASH_CYCLES=300 cargo test -p rkctl --test crash --test scale

.PHONY: test-chart
test-chart: ## what the Helm chart renders and refuses
	PATH="$$(e2e/cluster/run tools):$$PATH" charts/test

.PHONY: test-readme
test-readme: ## what the README says, word for word
	e2e/readme/run

.PHONY: test-long
test-long: ## the same with many more cases and kills, and 20,000 Topics on an API server; hours, needs root
	PROPTEST_CASES=20000 ROCKETKUBE_CRASH_CYCLES=2000 ROCKETKUBE_TEST_TOPICS=20000 \
	  cargo test --release --workspace
	e2e/interop/run
	e2e/scale/run

# --- Lint: what a reviewer should not have to look for.

.PHONY: lint
lint: ## format, clippy, documentation, layers
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
	.ci/layers

.PHONY: crds
crds: ## write the definitions of the Kubernetes API and their reference from the types; a test compares
	cargo run -q -p rocketkube-crds -- crds/generated docs/kubernetes/reference.md
	cp crds/generated/*.yaml charts/rocketkube/files/crds/

# --- Kubernetes.

IMAGE ?= /tmp/rocketkube-image.tar

.PHONY: image
image: ## write the product's image to $(IMAGE), without a container engine
	e2e/image $(IMAGE)

.PHONY: e2e
e2e: ## image, real Kubernetes, chart, official clients in pods; needs root
	python3 -m unittest discover e2e/scenarios/tests
	e2e/scenarios/run

.PHONY: bench
bench: ## compare with Apache's broker on this machine
	bench/run
	bench/start
