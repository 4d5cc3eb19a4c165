# E-MailRelay: build, try, test, install.
#
#   make                    build with optimisation
#   make run                serve SMTP on 127.0.0.1:2525 out of ./spool; SMARTHOST=host:port forwards
#   make check              all tests
#   make reference          writes docs/reference.md from the option tables
#   make bench              compares speed and memory with postfix and dovecot; benches/compare.py says what it needs
#   make install            PREFIX (/usr/local), SYSCONFDIR (/etc), DESTDIR
#   make install-sendmail  the names sendmail, mailq and newaliases for emailrelay-submit; the same variables
#   make uninstall          the same variables; configuration and mail are kept

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
DOCDIR ?= $(PREFIX)/share/doc/emailrelay
UNITDIR ?= $(LIBDIR)/systemd/system
MANDIR ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

CARGO ?= cargo
INSTALL ?= install
# Where cargo puts what it builds; BUILT can name another directory of finished programs.
CARGO_TARGET_DIR ?= target
BUILT ?= $(CARGO_TARGET_DIR)/release

SBIN_PROGRAMS := emailrelay emailrelay-smtp emailrelay-forward emailrelay-pop emailrelay-admin emailrelay-passwd \
	emailrelay-notify emailrelay-resubmit emailrelay-queue emailrelay-poke
BIN_PROGRAMS := emailrelay-submit
# Named by configurations as filters, where older versions had them: links to emailrelay, which the server knows as its own.
FILTERS := emailrelay-filter-copy emailrelay-multicast
FILTERDIR ?= $(LIBDIR)/emailrelay
# Names of the scripts of older versions, below FILTERDIR/examples.
SCRIPTS := emailrelay-notify.sh emailrelay-resubmit.sh emailrelay-multicast.sh emailrelay-sendmail.pl
UNITS := $(notdir $(wildcard systemd/*.target systemd/*.socket systemd/*.service systemd/*.path systemd/*.timer))
CATALOGS := $(notdir $(wildcard systemd/*.catalog))
FAIL2BAN := filter.d/emailrelay.conf filter.d/emailrelay-null-sender.conf jail.d/emailrelay.conf
# Under these names below DOCDIR, so that links between them hold. What is about the source alone stays there.
DOCS := README.md SECURITY.md CHANGELOG.md LICENSE LICENSE-MIT LICENSE-APACHE $(filter-out docs/architecture.md,$(wildcard docs/*.md)) \
	$(wildcard examples/*.sh examples/*.conf examples/*/*)
# And links to it with it.
WITHOUT_SOURCE := -e '/](docs\/architecture\.md)/d' -e 's/\[\([^]]*\)\](\(packaging\/\|fuzz\/\|Cargo\.toml\)[^)]*)/\1/g'

# The units and documents stand in the source with the paths of an installation by the defaults above.
SUBSTITUTE := sed -e 's|/usr/local/sbin/|$(SBINDIR)/|g' -e 's|/usr/local/share/doc/emailrelay|$(DOCDIR)|g' -e 's|/etc/emailrelay|$(SYSCONFDIR)/emailrelay|g'

# Every file that install makes and uninstall removes. The configuration and the accounts are not among them.
INSTALLED := $(SBIN_PROGRAMS:%=$(SBINDIR)/%) $(BIN_PROGRAMS:%=$(BINDIR)/%) $(FILTERS:%=$(FILTERDIR)/%) $(SCRIPTS:%=$(FILTERDIR)/examples/%) $(UNITS:%=$(UNITDIR)/%) \
	$(CATALOGS:%=$(LIBDIR)/systemd/catalog/%) $(LIBDIR)/systemd/system-preset/90-emailrelay.preset \
	$(LIBDIR)/sysusers.d/emailrelay.conf $(LIBDIR)/tmpfiles.d/emailrelay.conf \
	$(FILTERDIR)/emailrelay.auth.in $(FILTERDIR)/init/emailrelay \
	$(DOCS:%=$(DOCDIR)/%) $(DOCDIR)/emailrelay.conf.example $(FAIL2BAN:%=$(DOCDIR)/fail2ban/%)

# Made by `make` with the programs: manual pages and shell completions.
MAN5 := emailrelay.conf.5 emailrelay-spool.5
GENERATED := $(MAN5:%=$(MANDIR)/man5/%) $(foreach p,$(SBIN_PROGRAMS) $(BIN_PROGRAMS) $(FILTERS),$(MANDIR)/man1/$p.1 $(BASHDIR)/$p $(ZSHDIR)/_$p $(FISHDIR)/$p.fish)

.PHONY: all run check reference bench install install-sendmail uninstall
.DELETE_ON_ERROR:

all:
	$(CARGO) build --release --locked --features docs
	$(CARGO) run -q --release --locked --features docs --bin emailrelay-docs -- '$(CARGO_TARGET_DIR)/release/docs'

# Only for `make install` before any `make`: later changes are built by `make`, as the user who owns the files.
$(BUILT)/emailrelay:
	$(MAKE) all

PORT ?= 2525
SPOOL ?= ./spool
SMARTHOST ?=
run: all
	@mkdir -p '$(SPOOL)'
	@echo
	@echo 'SMTP on 127.0.0.1:$(PORT), mail waits in $(SPOOL); stop with Ctrl-C. A first message, from another terminal:'
	@echo
	@echo '  swaks --server 127.0.0.1:$(PORT) --from me@example.com --to you@example.com'
	@echo
	@echo 'or with curl alone:'
	@echo
	@echo '  printf "Subject: first\r\n\r\nHello\r\n" | curl -sS smtp://127.0.0.1:$(PORT) \'
	@echo '      --mail-from me@example.com --mail-rcpt you@example.com --upload-file -'
	@echo
	@$(if $(SMARTHOST),echo 'Messages are sent on to $(SMARTHOST).',echo 'Nothing is sent on; `make run SMARTHOST=host:port` does.')
	@echo
	@user=$$(id -un 2>/dev/null) && set -- --user "$$user"; \
	exec '$(BUILT)/emailrelay' --no-daemon --log --verbose --no-syslog --interface 127.0.0.1 --port '$(PORT)' \
		--spool-dir '$(SPOOL)' "$$@" \
		$(if $(SMARTHOST),--forward-to '$(SMARTHOST)' --forward-on-disconnect --poll 10)

# Needs nothing that is not there: a test without its peer program, or without root, says so and passes.
# With EMAILRELAY_CI=1 it fails instead.
check:
	$(CARGO) test --locked

reference:
	$(CARGO) run -q --locked --features docs --bin emailrelay-docs -- '$(CARGO_TARGET_DIR)/docs'
	cp '$(CARGO_TARGET_DIR)/docs/reference.md' docs/reference.md

# BENCH: its options, for example BENCH='--only intake --rounds 5'.
BENCH ?=
bench: all
	benches/compare.py --built '$(BUILT)' $(BENCH)

install: $(BUILT)/emailrelay
	$(INSTALL) -d $(sort $(dir $(INSTALLED:%=$(DESTDIR)%))) '$(DESTDIR)$(SYSCONFDIR)'
	for f in $(SBIN_PROGRAMS); do $(INSTALL) -m 0755 "$(BUILT)/$$f" '$(DESTDIR)$(SBINDIR)/' || exit; done
	for f in $(BIN_PROGRAMS); do $(INSTALL) -m 0755 "$(BUILT)/$$f" '$(DESTDIR)$(BINDIR)/' || exit; done
	for f in $(FILTERS); do ln -sf '$(SBINDIR)/emailrelay' '$(DESTDIR)$(FILTERDIR)/'"$$f" || exit; done
	for f in notify resubmit; do \
		ln -sf "$(SBINDIR)/emailrelay-$$f" '$(DESTDIR)$(FILTERDIR)/examples/'"emailrelay-$$f.sh" || exit; \
	done
	ln -sf ../emailrelay-multicast '$(DESTDIR)$(FILTERDIR)/examples/emailrelay-multicast.sh'
	ln -sf "$(BINDIR)/emailrelay-submit" '$(DESTDIR)$(FILTERDIR)/examples/emailrelay-sendmail.pl'
	for f in $(UNITS); do \
		$(SUBSTITUTE) "systemd/$$f" >'$(DESTDIR)$(UNITDIR)'/"$$f" && chmod 0644 '$(DESTDIR)$(UNITDIR)'/"$$f" || exit; \
	done
	for f in $(CATALOGS); do $(INSTALL) -m 0644 "systemd/$$f" '$(DESTDIR)$(LIBDIR)/systemd/catalog/' || exit; done
	$(INSTALL) -m 0644 systemd/90-emailrelay.preset '$(DESTDIR)$(LIBDIR)/systemd/system-preset/'
	$(INSTALL) -m 0644 systemd/sysusers.d/emailrelay.conf '$(DESTDIR)$(LIBDIR)/sysusers.d/emailrelay.conf'
	$(INSTALL) -m 0644 systemd/tmpfiles.d/emailrelay.conf '$(DESTDIR)$(LIBDIR)/tmpfiles.d/emailrelay.conf'
	for f in $(DOCS); do \
		if [ -x "$$f" ]; then m=0755; else m=0644; fi; \
		$(SUBSTITUTE) $(WITHOUT_SOURCE) "$$f" >'$(DESTDIR)$(DOCDIR)/'"$$f" && chmod $$m '$(DESTDIR)$(DOCDIR)/'"$$f" || exit; \
	done
	if [ -d '$(BUILT)/docs' ]; then \
		$(INSTALL) -d $(sort $(dir $(GENERATED:%=$(DESTDIR)%))) && \
		$(INSTALL) -m 0644 '$(BUILT)'/docs/man/man1/* '$(DESTDIR)$(MANDIR)/man1/' && \
		$(INSTALL) -m 0644 '$(BUILT)'/docs/man/man5/* '$(DESTDIR)$(MANDIR)/man5/' && \
		$(INSTALL) -m 0644 '$(BUILT)'/docs/completions/bash/* '$(DESTDIR)$(BASHDIR)/' && \
		$(INSTALL) -m 0644 '$(BUILT)'/docs/completions/zsh/* '$(DESTDIR)$(ZSHDIR)/' && \
		$(INSTALL) -m 0644 '$(BUILT)'/docs/completions/fish/* '$(DESTDIR)$(FISHDIR)/'; \
	fi
	for f in $(FAIL2BAN); do $(INSTALL) -m 0644 "packaging/fail2ban/$$f" '$(DESTDIR)$(DOCDIR)/fail2ban/'"$$f" || exit; done
	'$(BUILT)/emailrelay' --generate-sample-config >'$(DESTDIR)$(DOCDIR)/emailrelay.conf.example'
	chmod 0644 '$(DESTDIR)$(DOCDIR)/emailrelay.conf.example'
	test -e '$(DESTDIR)$(SYSCONFDIR)/emailrelay.conf' || \
		$(INSTALL) -m 0644 '$(DESTDIR)$(DOCDIR)/emailrelay.conf.example' '$(DESTDIR)$(SYSCONFDIR)/emailrelay.conf'
	$(SUBSTITUTE) packaging/emailrelay.auth >'$(DESTDIR)$(FILTERDIR)/emailrelay.auth.in'
	chmod 0644 '$(DESTDIR)$(FILTERDIR)/emailrelay.auth.in'
	$(SUBSTITUTE) packaging/sysv/emailrelay >'$(DESTDIR)$(FILTERDIR)/init/emailrelay'
	chmod 0755 '$(DESTDIR)$(FILTERDIR)/init/emailrelay'
	# For the group of the services, once systemd-sysusers has made it.
	test -e '$(DESTDIR)$(SYSCONFDIR)/emailrelay.auth' || { \
		$(INSTALL) -m 0640 '$(DESTDIR)$(FILTERDIR)/emailrelay.auth.in' '$(DESTDIR)$(SYSCONFDIR)/emailrelay.auth' && \
		{ ! getent group emailrelay >/dev/null || chgrp emailrelay '$(DESTDIR)$(SYSCONFDIR)/emailrelay.auth'; }; }
ifeq ($(DESTDIR),)
	@echo 'Installed. Next, as root: systemd-sysusers; systemd-tmpfiles --create; journalctl --update-catalog;'
	@echo 'systemctl daemon-reload; and see "Installation" in $(DOCDIR)/README.md.'
endif

# Apart from install: another mail program may have these names.
install-sendmail:
	ln -s '$(BINDIR)/emailrelay-submit' '$(DESTDIR)$(SBINDIR)/sendmail'
	ln -s '$(BINDIR)/emailrelay-submit' '$(DESTDIR)$(BINDIR)/mailq'
	ln -s '$(BINDIR)/emailrelay-submit' '$(DESTDIR)$(BINDIR)/newaliases'

uninstall:
	for f in '$(DESTDIR)$(SBINDIR)/sendmail' '$(DESTDIR)$(BINDIR)/mailq' '$(DESTDIR)$(BINDIR)/newaliases'; do \
		test "$$(readlink "$$f")" != '$(BINDIR)/emailrelay-submit' || rm -f "$$f" || exit; \
	done
	rm -f $(INSTALLED:%='$(DESTDIR)%') $(GENERATED:%='$(DESTDIR)%')
	for d in /examples /init ''; do \
		if [ -d '$(DESTDIR)$(FILTERDIR)'$$d ]; then rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(FILTERDIR)'$$d; fi; \
	done
	for d in fail2ban/filter.d fail2ban/jail.d fail2ban examples/filters examples/systemd examples docs .; do \
		if [ -d '$(DESTDIR)$(DOCDIR)'/$$d ]; then rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(DOCDIR)'/$${d%.}; fi; \
	done
