#!/bin/sh
# Takes messages from some clients only; all others are accepted and thrown away, and nobody is told. For --filter.
#
# Rather than that, --remote-clients and a firewall keep clients away, and reject-by-client.sh tells them.
client=$(sed -n 's/^X-MailRelay-Client: //p' "$2" | tr -d '\r')
case "$client" in
	127.0.0.1 | ::1 | 192.168.* | /*) exit 0 ;;
esac
# The envelope first: content without one is no message.
rm -f "$2" "$1"
exit 100
