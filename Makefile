# netadjust needs Go, make and git, and no C compiler.
export CGO_ENABLED = 0

EXP = experiments/quick.toml
OUT = out/quick

NETADJUST = bin/netadjust
VERSION   = $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: help build test lint smoke gate bench reproduce figures record paper clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1	/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build bin/netadjust
	go build -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(NETADJUST) ./cmd/netadjust

test: lint ## everything that CI checks of the code: lint, all tests, the smoke experiment
	go test ./...
	@$(MAKE) --no-print-directory smoke
	@$(NETADJUST) doctor --device gpu:pocl > /dev/null 2>&1 || \
		echo 'skipped: the GPU device, which is tested with POCL (Debian: pocl-opencl-icd)'
	@command -v g++ > /dev/null || echo 'skipped: the GPU device on a stand-in for CUDA, which needs g++'
	@echo 'skipped: the web page in a browser, which .ci/browser tests (Debian: chromium, npm)'
	@command -v oclgrind > /dev/null || echo 'skipped: data races of GPU kernels, which Oclgrind finds (Debian: oclgrind)'

lint: ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

smoke: build ## run experiments/smoke.toml twice in a temporary folder: the second run has to change nothing
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(NETADJUST) data get experiments/smoke.toml; \
	$(NETADJUST) run experiments/smoke.toml --out "$$dir/out" > "$$dir/log"; \
	cp -R "$$dir/out" "$$dir/first"; \
	$(NETADJUST) run experiments/smoke.toml --out "$$dir/out" > "$$dir/log"; \
	grep '^0 cells finished now' "$$dir/log"; \
	diff -r "$$dir/first" "$$dir/out"

gate: build ## run experiments/gate.toml in a temporary folder and compare its results with the recorded ones
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(NETADJUST) data get experiments/gate.toml; \
	$(NETADJUST) run experiments/gate.toml --out "$$dir/gate" > "$$dir/log" 2>&1 || { cat "$$dir/log"; exit 1; }; \
	$(NETADJUST) compare results/recorded/gate "$$dir/gate"

bench: build ## measure training, evaluation and utilization ratios, and what their time goes to
	$(NETADJUST) bench
	$(NETADJUST) bench --mode fur

reproduce: build ## get the data of an experiment and run it (EXP=experiments/NAME.toml, else quick.toml)
	@exp=$(EXP); \
	$(NETADJUST) data get $$exp || { \
		code=$$?; \
		if [ $$exp != experiments/quick.toml ] || [ $$code != 1 ]; then exit $$code; fi; \
		exp=experiments/quick-mnist.toml; \
		echo "Fashion-MNIST cannot be had, see above: running the same comparison on MNIST instead, $$exp"; \
		$(NETADJUST) data get $$exp || exit; \
	}; \
	$(NETADJUST) run $$exp

figures: build ## draw report and figures again from the records (OUT=out/NAME, else out/quick)
	$(NETADJUST) report $(OUT)

record: build ## keep the records of OUT=out/NAME in results/recorded/NAME, without weights, with report and README
	@set -e; test -f $(OUT)/plan.json; to=results/recorded/$(notdir $(OUT)); rm -rf "$$to/cells"; mkdir -p "$$to"; \
	(cd $(OUT) && tar -cf - plan.json cells/*/record.json) | tar -xf - -C "$$to"; \
	$(NETADJUST) report --readme "$$to"

paper: build ## write the paper's tables beside what the recorded runs gave into results/recorded/paper.md, .csv and .tex
	@set -e; for as in md:markdown csv:csv tex:latex; do \
		$(NETADJUST) paper --format "$${as#*:}" results/recorded/*/ > "results/recorded/paper.$${as%:*}"; \
	done

clean: ## remove bin; data and results stay
	rm -rf bin
