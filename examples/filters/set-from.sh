#!/bin/sh
# Gives every message the same From and Reply-To, and no Sender. For --filter or --client-filter.
#
# The return path is in the envelope and stays what it was. A signature over these lines (DKIM) does not hold any more.
from='Our Office <office@example.com>'
content="$1"
new="$content.tmp"
trap 'rm -f "$new"' EXIT
# The header with its empty line, in bytes. What is behind it is copied as it is.
size=$(sed '/^\r*$/q' "$content" | wc -c)
{
	printf 'From: %s\r\nReply-To: %s\r\n' "$from" "$from" &&
		# The lines of a field go with it: those that begin with a blank.
		head -c "$size" "$content" | LC_ALL=C awk '
			/^[ \t]/ { if (!drop) print; next }
			{ drop = tolower($0) ~ /^(from|sender|reply-to)[ \t]*:/ }
			!drop' &&
		tail -c "+$((size + 1))" "$content"
} >"$new" || exit 1
chmod 660 "$new"
mv "$new" "$content" || exit 1
exit 0
