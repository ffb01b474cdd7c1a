# Everything real is in scripts/.
.PHONY: demo test soak bench lint fmt

demo: ## a JupyterHub that starts JupyterLab through k8smgr, on this machine; Ctrl-C ends it
	@scripts/demo

test: ## all that CI runs
	@scripts/test

soak: ## a thousand kills and thousands of starts and stops, ten to twenty minutes; SOAK_* say how many
	@scripts/soak

lint: ## formatting, clippy, unused dependencies
	@scripts/lint

fmt:
	@cargo fmt --all

bench: ## the figures that have a bar, beside the floor, on this machine; ARGS="polls starts --runs 3"
	@scripts/bench $(ARGS)
