#!/bin/sh
# Refuses messages by the address of the client that brings them. For --filter.
#
# The first text is what the client is told, with its SMTP code; the second goes to the log.
client=$(sed -n 's/^X-MailRelay-Client: //p' "$2" | tr -d '\r')
case "$client" in
	192.0.2.* | 127.0.0.13)
		echo "<<554 5.7.1 no mail from your network>>"
		echo "<<client $client is on the list>>"
		exit 1
		;;
esac
exit 0
