# Trine: `make demo` to try it, `make test` to check it, `make help` for the rest.
PY := .venv/bin/python
PORT ?= 5000
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help setup registry demo up down test lint protos protos-check bench conformance-record clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: ## install Debian packages and .venv (nothing to do: under a second)
	@tools/setup.sh

registry: setup ## a registry on 127.0.0.1:5000 (PORT=…) with hello-world, busybox, debian, httpd
	@$(PY) -m tools.registry start --port $(PORT)

demo: setup ## start everything, run hello-world, say how to go on
	@$(PY) -m tools.stack demo --port $(PORT)

up: setup ## start the stack under ./.state
	@$(PY) -m tools.stack up --port $(PORT)

down: ## stop containers, services, registry; remove bridge, rules, sockets; keep images and containers
	@test ! -x $(PY) || $(PY) -m tools.stack down

test: setup ## all tests
	@$(PY) -m tools.make_images
	$(PY) -m pytest -q $(PYTEST_ARGS)

lint: setup ## ruff, mypy --strict, stubs current, rules of the house
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	$(PY) tools/protos.py --check
	$(PY) -m pytest -q tests/test_house.py

protos: setup ## generate protos/trine/v1/*_pb2* and schema.py
	$(PY) tools/protos.py

protos-check: setup ## fail when they are not current
	$(PY) tools/protos.py --check

bench: setup ## compare with docker, podman and crun (BENCH_ARGS="--only run,ps --json")
	@tools/setup.sh compare
	$(PY) -m bench.run $(BENCH_ARGS)

conformance-record: setup ## run every conformance case on the real Docker and keep what it said
	@tools/setup.sh compare
	$(PY) -m tests.conformance.record

clean: down ## also remove .state, .cache, .venv
	rm -rf .state .cache .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
