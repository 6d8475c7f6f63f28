# Entry point for people and for CI. `make` alone tells what there is.

PROFILE ?= release
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR
OUT = $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

# Where `make install` puts things, below DESTDIR.
BINDIR = /usr/bin
LIBEXECDIR = /usr/libexec
UNITDIR = /usr/lib/systemd/system
SYSUSERSDIR = /usr/lib/sysusers.d
TMPFILESDIR = /usr/lib/tmpfiles.d
DBUSDIR = /usr/share/dbus-1
CATALOGDIR = /usr/lib/systemd/catalog
POLKITDIR = /usr/share/polkit-1/actions
GENERATORDIR = /usr/lib/systemd/system-generators
MANDIR = /usr/share/man
BASHDIR = /usr/share/bash-completion/completions
ZSHDIR = /usr/share/zsh/vendor-completions
FISHDIR = /usr/share/fish/vendor_completions.d
CONFIGDIR = /etc/spectrum2

# Debian packages that are needed beside Rust, and nowhere else listed. What the test container holds: tests/container.py.
BUILD_PACKAGES = build-essential pkg-config libpurple-dev libsqlite3-dev
TEST_PACKAGES = mmdebstrap systemd systemd-container util-linux python3-pytest
DEB_PACKAGES = debhelper systemd
RUN_PACKAGES = prosody lua-sec ngircd openssl python3-slixmpp python3-slixmpp-lib
SCREEN_PACKAGES = ngircd openssl python3-slixmpp python3-slixmpp-lib iproute2 dino-im gstreamer1.0-plugins-good \
    adwaita-icon-theme librsvg2-common fonts-dejavu-core dbus xvfb openbox xdotool imagemagick pngquant

# Where `make deb` puts packages, and what it compiles for them.
DEBS = $(abspath $(CARGO_TARGET_DIR))/debian

# How the test container gets the programs: by `make install`, or as Debian packages (INSTALL=deb).
INSTALL ?= files
INSTALL_files = make --silent --no-print-directory install PROFILE=$(PROFILE)
INSTALL_deb = tests/install-debs.sh $(DEBS)

# What pytest is to run, with its options: make test TESTS='-k messages -x'
TESTS ?=
FUZZ_SECONDS ?= 60
BENCH ?= ../shared/bench

.PHONY: help build packages lint test unit e2e shell run screenshots fuzz bench bench-clients bench-rooms install deb clean

help:
	@echo 'make run      start a transport on this machine, watch a conversation, join in'
	@echo 'make screenshots  the pictures in docs, of a real client at work (as root)'
	@echo 'make build    build the programs (PROFILE=dev for a quick build)'
	@echo 'make test     unit tests, then the scenarios with Debian packages in a container with systemd (as root)'
	@echo 'make unit     unit tests alone'
	@echo "make e2e      the scenarios alone; TESTS='-k messages' chooses some, INSTALL=deb tests the packages"
	@echo 'make shell    a shell in the test container'
	@echo 'make lint     formatting and lints'
	@echo 'make fuzz     every fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make bench    our figures beside those of Spectrum 2, with the harness in BENCH ($(BENCH))'
	@echo 'make bench-clients  the memory of 5000 idle clients in server mode'
	@echo 'make bench-rooms  rooms of 5000, net-splits, and 100 users in one channel, with the same harness'
	@echo 'make install  install programs and units below DESTDIR'
	@echo 'make deb      Debian packages, into $(DEBS)'
	@echo 'make clean    remove what was built'

build:
	@tests/install-packages.sh $(BUILD_PACKAGES)
	cargo build --locked --workspace --bins --profile $(PROFILE)
	$(OUT)/spectrum2-config-manual <man/spectrum2.conf.5.in >$(OUT)/spectrum2.conf.5
	for shell in bash zsh fish; do $(OUT)/spectrum2_manager completions $$shell >$(OUT)/completions.$$shell; done

packages:
	@tests/install-packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES)

lint:
	@tests/install-packages.sh $(BUILD_PACKAGES)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings

test: packages unit
	$(MAKE) --no-print-directory e2e INSTALL=deb

unit:
	@tests/install-packages.sh $(BUILD_PACKAGES) python3-pytest mandoc
	cargo test --locked --workspace --quiet
	/usr/bin/python3 -B -m pytest -q tests/source

e2e: PROFILE = dev
e2e: packages $(if $(filter deb,$(INSTALL)),deb,build)
	tests/container.py --install '$(INSTALL_$(INSTALL))' python3 -m pytest -q /tests $(TESTS)

shell: PROFILE = dev
shell: packages $(if $(filter deb,$(INSTALL)),deb,build)
	@tests/container.py --install '$(INSTALL_$(INSTALL))' bash

run: PROFILE = dev
run: build
	@tests/install-packages.sh $(RUN_PACKAGES)
	@/usr/bin/python3 -B tests/demo.py $(OUT)/spectrum2

screenshots: PROFILE = dev
screenshots: build
	@tests/install-packages.sh $(SCREEN_PACKAGES)
	@/usr/bin/python3 -B tests/screenshots.py $(OUT)/spectrum2 docs

fuzz:
	@tests/install-packages.sh $(BUILD_PACKAGES)
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@# libFuzzer's instrumentation is an unstable option of a compiler that otherwise needs none.
	@set -e; for target in $$(cargo fuzz list); do \
	    echo "$$target, $(FUZZ_SECONDS) s"; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS); \
	done

bench: build
	@/usr/bin/python3 -B tests/bench.py $(BENCH) $(OUT)/spectrum2

bench-clients: build
	@/usr/bin/python3 -B tests/bench_clients.py $(OUT)/spectrum2
	@/usr/bin/python3 -B tests/bench_clients.py --silent $(OUT)/spectrum2

bench-rooms: build
	@/usr/bin/python3 -B tests/bench_rooms.py $(BENCH) $(OUT)/spectrum2

install:
	install -D -m 755 -t $(DESTDIR)$(BINDIR) $(OUT)/spectrum2 $(OUT)/spectrum2_manager
	install -D -m 755 -t $(DESTDIR)$(LIBEXECDIR) $(OUT)/spectrum2_backend_launcher $(OUT)/spectrum2_libpurple_backend
	@# Transport files written for Spectrum 2 name this path.
	ln -sf $(LIBEXECDIR)/spectrum2_libpurple_backend $(DESTDIR)$(BINDIR)/spectrum2_libpurple_backend
	install -D -m 644 -t $(DESTDIR)$(UNITDIR) systemd/*.service systemd/*.socket systemd/*.target
	install -D -m 644 systemd/spectrum2.sysusers $(DESTDIR)$(SYSUSERSDIR)/spectrum2.conf
	install -D -m 644 systemd/spectrum2.tmpfiles $(DESTDIR)$(TMPFILESDIR)/spectrum2.conf
	install -D -m 644 -t $(DESTDIR)$(DBUSDIR)/system.d systemd/im.spectrum.Transport1.conf
	install -D -m 644 -t $(DESTDIR)$(DBUSDIR)/interfaces systemd/im.spectrum.Transport1.xml
	install -D -m 644 -t $(DESTDIR)$(POLKITDIR) systemd/im.spectrum.Transport1.policy
	install -D -m 644 -t $(DESTDIR)$(CATALOGDIR) systemd/spectrum2.catalog
	install -D -m 755 -t $(DESTDIR)$(GENERATORDIR) $(OUT)/spectrum2-generator
	install -D -m 644 $(OUT)/completions.bash $(DESTDIR)$(BASHDIR)/spectrum2_manager
	install -D -m 644 $(OUT)/completions.zsh $(DESTDIR)$(ZSHDIR)/_spectrum2_manager
	install -D -m 644 $(OUT)/completions.fish $(DESTDIR)$(FISHDIR)/spectrum2_manager.fish
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man1 man/*.1
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 $(OUT)/spectrum2.conf.5
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man7 man/*.7
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 man/*.8
	install -D -m 644 -t $(DESTDIR)$(CONFIGDIR)/transports man/irc.cfg.example

deb:
	@tests/install-packages.sh $(BUILD_PACKAGES) $(DEB_PACKAGES)
	rm -f $(DEBS)/*.deb
	mkdir -p $(DEBS)
	@# The unit tests are left to `make unit`.
	DEB_BUILD_OPTIONS=nocheck DEBS=$(DEBS) CARGO_TARGET_DIR=$(DEBS) PROFILE=$(PROFILE) \
	dpkg-buildpackage --build=binary --no-sign --post-clean \
	    --buildinfo-file=$(DEBS)/spectrum2.buildinfo --buildinfo-option=-u$(DEBS) \
	    --changes-file=$(DEBS)/spectrum2.changes --changes-option=-u$(DEBS)

clean:
	cargo clean
