#!/bin/sh
# Has urgent messages sent on at once rather than with the next poll. For --filter.
#
# Exit code 103: accept the message, and forward what is in the spool.
if sed '/^\r*$/q' "$1" | grep -qi '^Priority: *urgent'; then
	exit 103
fi
exit 0
