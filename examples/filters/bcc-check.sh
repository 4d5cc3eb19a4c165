#!/bin/sh
# Refuses messages with a Bcc header that would tell recipients of each other: there may be none, or one that names the only recipient
# of the message, as mail programs write that send each hidden recipient a message of its own. For --filter.
bcc=$(sed '/^\r*$/q' "$1" | tr -d '\r' | awk '
	/^[ \t]/ { if (on) text = text $0; next }
	{ on = tolower($0) ~ /^bcc[ \t]*:/ }
	on { sub(/^[^:]*:/, ""); text = text "," $0 }
	END {
		# A comma in a name in quotes makes two of one: refused rather than guessed.
		n = split(text, parts, ",")
		for (i = 1; i <= n; i++) {
			if (match(parts[i], /<[^<>]*>/)) address = substr(parts[i], RSTART + 1, RLENGTH - 2)
			else address = parts[i]
			gsub(/[ \t]/, "", address)
			if (address != "") print tolower(address)
		}
	}')
[ -n "$bcc" ] || exit 0
recipients=$(sed -n 's/^X-MailRelay-To-Remote: //p' "$2" | tr -d '\r' | tr 'A-Z' 'a-z')
# More than one of either is more than one line, and differs.
lines=$(printf '%s\n' "$bcc" | wc -l)
if [ "$lines" -eq 1 ] && [ "$bcc" = "$recipients" ]; then
	exit 0
fi
echo "<<550 5.7.1 bcc error>>"
echo "<<the Bcc header is not for the one recipient>>"
exit 1
