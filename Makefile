# Short on purpose: meson and ninja do the building, tools/ the rest. `make help` lists the targets.
BUILD ?= build
# A warning is an error where CI builds; elsewhere it is a warning, so that a newer compiler builds a release all the same.
WERROR = $(if $(filter true 1,$(CI)),-Dwerror=true)
JOBS ?= $(shell nproc)
export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := all
.PHONY: all help asan dependencies demo test rows prove lint bench fuzz package fmt clean

help:               ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

all: dependencies   ## the release build, in build/release
	@tools/build $(BUILD)/release $(WERROR)

asan: dependencies  ## the build with ASan and UBSan that the tests use, in build/asan
	@tools/build $(BUILD)/asan -Db_sanitize=address,undefined -Doptimization=1 $(WERROR)

dependencies:
	@tools/dependencies build

demo: all           ## twin and gateway, with what to open and type; ONCE=1 tells the story without a person
	@tools/dependencies demo
	@$(BUILD)/release/postern demo $(if $(ONCE),--once) $(DEMO)

test:               ## everything, from a clean clone
	@tools/dependencies test
	@$(MAKE) --no-print-directory all asan
	@tools/test

rows: all           ## proves mission rows: make rows ROWS="S5 C6"
	@tools/dependencies test
	@tools/rows $(ROWS)

prove: all asan     ## every Must show at its full count: make prove VECTORS=FOLDER
	@tools/dependencies test
	@tools/prove $(VECTORS)

lint:               ## layers, limits, tables, documents
	@tools/lint

bench: all          ## side by side with Postfix; writes build/bench.json
	@tools/dependencies bench
	@tools/bench

fuzz: dependencies  ## the fuzz targets, FUZZ_SECONDS each
	@tools/fuzz

package: dependencies ## the Debian package, in build/
	@tools/dependencies package
	@tools/package

fmt:                ## clang-format over what git knows
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD)
