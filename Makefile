# Everything real is in scripts/.
.PHONY: demo test lint fmt bench

demo: ## a JupyterHub that starts JupyterLab through k8smgr, on this machine; Ctrl-C ends it
	@scripts/demo

test: ## all that CI runs
	@scripts/test

lint: ## formatting, clippy, unused dependencies
	@scripts/lint

fmt:
	@cargo fmt --all

bench: ## the figures that have a bar, beside the floor, on this machine; ARGS="polls starts --runs 3"
	@scripts/bench $(ARGS)
