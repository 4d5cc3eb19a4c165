#!/bin/sh
# Adds lines to the end of each plain-text message. For --filter or --client-filter.
#
# Multipart, encoded and signed messages are left alone: a line at their end would be outside their parts.
content="$1"
head=$(sed '/^\r*$/q' "$content" | tr -d '\r' | tr 'A-Z' 'a-z')
case "$head" in
	*"content-type: multipart"* | *"content-transfer-encoding: base64"* | *"content-transfer-encoding: quoted"*) exit 0 ;;
esac
# A new file that takes the old one's place: the message is whole at every moment, and its size may change. The name belongs to this
# message, in the spool directory, so that the last step is a rename.
new="$content.tmp"
trap 'rm -f "$new"' EXIT
{ cat "$content" && printf -- '-- \r\nSent by way of example.com\r\n'; } >"$new" || exit 1
chmod 660 "$new"
mv "$new" "$content" || exit 1
exit 0
