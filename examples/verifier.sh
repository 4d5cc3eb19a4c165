#!/bin/sh
# An address verifier: --address-verifier=/usr/local/lib/emailrelay/verifier.sh
#
# Accepts the recipients that are listed in a file, in lines of an address, and behind a blank the name of a mailbox if
# the recipient is delivered here instead of being forwarded:
#
#   bob@example.com bob
#   sales@example.com
#
# It is called for every recipient, with six arguments: recipient, sender, client's address and port, our own domain, and
# how and as whom the client authenticated ("none" if it did not). It prints two lines and says by its exit code what they
# are:
#
#   0  local: full name (for VRFY), name of the mailbox
#   1  remote: anything, address to forward to
#   2  no such mailbox: text for the client, reason for the log (both may be left out)
#   3  not now: as 2
#   100  close the connection
list=/etc/emailrelay/recipients

if [ ! -r "$list" ]; then
    printf 'try again later\ncannot read %s\n' "$list"
    exit 3
fi
# The address is data, never a pattern: awk compares it as text.
ADDRESS=$1 awk '
    /^#/ || NF == 0 { next }
    tolower($1) == tolower(ENVIRON["ADDRESS"]) {
        if (NF > 1) { print $2; print $2; exit(10) }
        print $1; print $1; exit(11)
    }' "$list"
case $? in
    10) exit 0 ;;
    11) exit 1 ;;
    *) printf 'mailbox unavailable\nnot in %s\n' "$list"; exit 2 ;;
esac
