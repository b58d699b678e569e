# `make` shows what there is; CONTRIBUTING.md says when to use it.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv/bin
.DEFAULT_GOAL := help

# Debian's packages that the tests start for real. Under CI=true a test may not be skipped, so all of them are needed.
PACKAGES := nginx haproxy chromium openssl postgresql prometheus prometheus-alertmanager prometheus-blackbox-exporter \
	prometheus-nginx-exporter systemd logrotate curl iproute2 nftables wrk apache2-utils hey certbot pebble sslscan \
	podman buildah runc mmdebstrap uidmap netavark aardvark-dns iptables
UP := $(if $(ENGINE),--engine $(ENGINE)) $(if $(PACK),--pack $(PACK)) $(if $(BALANCER),--balancer $(BALANCER))

# Every target that has a description.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.* \#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start the whole system here; Ctrl-C stops it (ENGINE= PACK= BALANCER= ARGS=)
	@$(PYTHON) -m deploy up $(UP) $(ARGS)

stop: ## end what is left of a run
	@$(PYTHON) -m deploy down

status: ## say what runs
	@$(PYTHON) -m deploy status

clean: ## stop, and delete .run with its data, after asking (ARGS=--yes)
	@$(PYTHON) -m deploy clean $(ARGS)

install: ## make or update .venv from requirements.txt
	@$(PYTHON) -m deploy install

system: ## as root: install what Debian has of nginx, HAProxy, Chromium, PostgreSQL, Prometheus and Alertmanager, with their services off
	@PACKAGES="$(PACKAGES)" sh deploy/system.sh

roll: install ## two full rolls under load (wrk with a photograph): does a request fail, is anybody enrolled twice? (LB=nginx|haproxy STRATEGY=… ROLLS=2)
	@$(VENV)/python -m tests.system.load.roll --lb $(or $(LB),nginx) --strategy $(or $(STRATEGY),least_connections) --rolls $(or $(ROLLS),2)

kill: install ## kill -9 of one backend under load: what fails, and the rate within three seconds (LB=nginx|haproxy)
	@$(VENV)/python -m tests.system.load.kill --lb $(or $(LB),nginx)

freeze: install ## one backend stopped for 30 s under load: who waits, and what the monitor says (LB=nginx|haproxy)
	@$(VENV)/python -m tests.system.load.freeze --lb $(or $(LB),nginx)

tools: install ## kubectl, validators, AWS' stand-in for the tests of deploy/kubernetes and deploy/aws, into .tools (1 GB)
	@$(VENV)/python -m tests.deploy.tools

check: install ## ruff, mypy --strict, the import contracts
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

test: install ## every test, on two processes, then what must run alone, then the browser (WORKERS=2); a part with ARGS="tests/ledger -k merge"
ifeq ($(ARGS),)
	$(VENV)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile -m "not alone and not images"
	$(VENV)/python -m pytest -m alone --ignore=tests/browser
	$(VENV)/python -m pytest tests/browser
else
	$(VENV)/python -m pytest $(ARGS)
endif

render: install ## write the committed configuration below deploy/ anew from deploy/fleet.example.yaml (ARGS=--check shows what differs)
	@$(VENV)/python -m deploy render --fleet deploy/fleet.example.yaml --out deploy --only all $(ARGS)

test-deploy: install ## what takes minutes: images built from the real Dockerfile, compose.yaml up, a review, down, up again
	$(VENV)/python -m pytest -s -m images tests/compose

compose-test: install ## the same with its figures, and what was built is used again (FOLDER=.compose)
	@$(VENV)/python -m tests.compose.run --folder $(or $(FOLDER),.compose)

bench: install ## measure, write docs/benchmarks.json; 1 where an aim is missed (ARGS="--quick", ARGS="--only search")
	$(VENV)/python -m tests.bench $(ARGS)

bench-monitor: install ## the same for the monitor: 1,000 backends beside blackbox_exporter, 90 days of history (ARGS="--quick")
	$(VENV)/python -m tests.bench --monitor $(ARGS)

bench-review: install ## the same for the dashboard: 100 decisions by keyboard in Chromium, each page with 50 backends and 10,000 cases (ARGS="--quick")
	$(VENV)/python -m tests.bench --review $(ARGS)

crash-test: install ## kill -9 under load, then every pair by brute force (KILLS=40 DB=sqlite|postgresql POLICY=flag|reject SEED=…)
	$(VENV)/python -m tests.system.kills --kills $(or $(KILLS),40) --db $(or $(DB),sqlite) --policy $(or $(POLICY),flag) $(if $(SEED),--seed $(SEED))

reembed-test: install ## a change of model under load, one replica killed, rolled back: is anybody missed? (SECONDS=20 DB=sqlite|postgresql SEED=…)
	$(VENV)/python -m tests.system.reembed --seconds $(or $(SECONDS),20) --db $(or $(DB),sqlite) $(if $(SEED),--seed $(SEED))

test-guards: install ## take each guard of the program out in a copy: does the test of each notice? (ARGS="NAME …")
	$(VENV)/python -m tests.guards $(ARGS)

outage-test: install ## PostgreSQL away under load: how soon it is seen, told and used again (SECONDS_AWAY=60 HOW=stop|freeze)
	$(VENV)/python -m tests.system.outage --seconds $(or $(SECONDS_AWAY),60) --how $(or $(HOW),stop)

frozen-test: install ## one of three replicas stopped for a while: what it answers when it goes on (SECONDS=30 DB=sqlite|postgresql)
	$(VENV)/python -m tests.system.frozen --seconds $(or $(SECONDS),30) --db $(or $(DB),sqlite)

erase-test: install ## erase somebody, then search every file of data, snapshots, logs and a backup for her (DB=sqlite|postgresql, default both)
	$(VENV)/python -m tests.system.erase_check $(if $(DB),--db $(DB))

index-test: install ## an index that is damaged, cut short, another's, or from before a restore, on both databases: noticed, built anew, no wrong answer
	$(VENV)/python -m pytest -q tests/ledger/test_snapshots.py tests/ledger/test_gallery.py tests/api/test_quick_start.py

store-test: install ## the contract of both databases: migrations, races, erasures, backups, rotation, scans
	$(VENV)/python -m pytest -q tests/ledger

review-test: install ## several people at one queue in any order, by hypothesis; how often each rule was taken (EXAMPLES=2000 DB=sqlite|postgresql)
	$(VENV)/python -m tests.ledger.review_machine --examples $(or $(EXAMPLES),2000) --db $(or $(DB),sqlite)

reviewers-test: install ## eight reviewers, three replicas, one killed at random: nothing claimed twice, nothing lost (CASES=500 DB=sqlite|postgresql KILLS=… SEED=…)
	$(VENV)/python -m tests.system.reviewers --cases $(or $(CASES),500) --db $(or $(DB),sqlite) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

blindness-test: install ## everybody reads everything before the second decision: does anything tell what the first was?
	$(VENV)/python -m tests.system.blindness

start-test: install ## up and down as a new user meets them: seconds, cases, remains
	$(VENV)/python -m pytest -q -s tests/system/test_fleet_starts.py

fault-test: install ## faults and a review in a real browser, behind nginx, HAProxy and neither: seconds against their bound
	$(VENV)/python -m pytest -q -s tests/system/test_end_to_end.py

browser-test: install ## operators and reviewers in a real Chromium, before real backends and a real monitor (ARGS="-k drain")
	$(VENV)/python -m pytest -q -s tests/browser $(ARGS)

screenshots: install ## every page, light and dark, to docs/screenshots/; 1 where one is missing, too wide, in error, or shows a face (ARGS="--only fleet")
	$(VENV)/python -m tests.browser.screenshots $(ARGS)

accuracy-test: install ## error rates with their limits, and altered copies, of both test packs and the offline engine (ARGS="--only test_mbf")
	$(VENV)/python -m tests.faces.accuracy $(ARGS)

target-test: install ## is a target FPIR met? Thresholds from a calibration, 1,000 probes against 100,000 made impostors, exact limits
	$(VENV)/python -m tests.faces.target_fpir

permissions-test: install ## a request for every call x role x key scope, to running servers, against docs/permissions.md
	@$(VENV)/python -m tests.api.permission_check

refusals-test: install ## stale versions, foreign leases, forged tokens, dead keys, over HTTP: the status and code of each
	@$(VENV)/python -m tests.api.refusals

schema-test: install ## every operation asked at random and along its links, by schemathesis: a 2xx of each, nothing that is not described (SEED=1)
	@$(VENV)/python -m tests.api.schema_check --seed $(or $(SEED),1)

alerts-test: install ## five faults in a local fleet: seconds until each alert fires and ends in Prometheus, Alertmanager, monitor (ARGS=--short)
	@$(VENV)/python -m tests.system.alerts $(ARGS)

alert-chaos: install ## the monitor's alerting killed between transition, claim, send and mark: is every change told once? (ROUNDS=200 DB=sqlite|postgresql, default both, SEED=1)
	@$(VENV)/python -m tests.monitor.alert_chaos --rounds $(or $(ROUNDS),200) --seed $(or $(SEED),1) $(if $(DB),--db $(DB))

input-test: install ## what is answered to bad images, and that nothing is stored
	$(VENV)/python -m pytest -q -s tests/api/test_bad_images.py

hostile-test: install ## files made to do harm, as JSON and as forms: status and type of each, memory after 10 rounds, /live beside bombs (ROUNDS=10)
	@$(VENV)/python -m tests.api.hostile --rounds $(or $(ROUNDS),10)

traffic-test: install ## the detectors of the load distribution over real nginx and HAProxy, three strategies, healthy and with faults (WINDOWS=20 FAULTS=3)
	@$(VENV)/python -m tests.monitor.traffic --windows $(or $(WINDOWS),20) --faults $(or $(FAULTS),3) --seed $(or $(SEED),1)

hostile-targets-test: install ## a monitor that watches servers made to do harm: fault, expected and given code, lateness, memory (SECONDS=60)
	@$(VENV)/python -m tests.monitor.hostile_targets --seconds $(or $(SECONDS),60)

monitor-input-test: install ## every field of the fleet file and of the monitor's API, given wrongly: refused with line, field and reason
	@$(VENV)/python -m tests.monitor.input_check
