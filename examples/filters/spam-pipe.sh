#!/bin/sh
# Marks spam by a pipe through spamc, which passes the message to spamd. For --filter.
#
# In the service this needs the drop-in examples/systemd/network.conf. A message that cannot be checked goes through unmarked.
# Arguments for spamc may be given by a wrapper or by exec: in front of the two paths; without -d and -p it asks localhost:783.
while [ $# -gt 2 ]; do
	options="$options $1"
	shift
done
content="$1"
new="$content.tmp"
trap 'rm -f "$new"' EXIT
# -x: an exit code when spamd cannot be asked, rather than the message unchanged.
# shellcheck disable=SC2086
if spamc -x $options <"$content" >"$new" && [ -s "$new" ]; then
	chmod 660 "$new"
	mv "$new" "$content" || exit 1
fi
exit 0
