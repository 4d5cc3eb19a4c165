# What the init script needs of OpenWrt, for busybox ash: reads a UCI file, runs start_service, and prints the words of each
# process, one on a line; behind them in brackets what else procd is told of it. Usage: busybox ash stand-in.sh INIT-SCRIPT UCI-FILE ROOT

init=$1 uci=$2 root=$3

# As OpenWrt's own: the value of a list is its items with blanks between them.
config_load() {
	local kind word1 word2 section='' n
	sections=
	while read -r kind word1 word2; do
		word1=$(unquote "$word1") word2=$(unquote "$word2")
		case "$kind" in
		config) section=$word2 sections="$sections $word2" ;;
		option) eval "value_${section}_$word1=\$word2" ;;
		list)
			eval "n=\${count_${section}_$word1:-0}; n=\$((n + 1)); count_${section}_$word1=\$n"
			eval "item_${section}_${word1}_$n=\$word2"
			eval "value_${section}_$word1=\"\${value_${section}_$word1:+\$value_${section}_$word1 }\$word2\""
			;;
		esac
	done <"$uci"
}

unquote() {
	local text=$1
	text=${text#[\'\"]}
	echo "${text%[\'\"]}"
}

config_foreach() {
	local section
	for section in $sections; do
		"$1" "$section"
	done
}

config_get() {
	eval "$1=\${value_$2_$3:-\${4:-}}"
}

config_get_bool() {
	local found
	config_get found "$2" "$3"
	case "$found" in
	1 | on | true | yes | enabled) eval "$1=1" ;;
	0 | off | false | no | disabled) eval "$1=0" ;;
	*) eval "$1=\$4" ;;
	esac
}

config_list_foreach() {
	local n=1 last item
	eval "last=\${count_$1_$2:-0}"
	while [ "$n" -le "$last" ]; do
		eval "item=\$item_$1_$2_$n"
		"$3" "$item"
		n=$((n + 1))
	done
}

procd_open_instance() { echo "[$1]"; }
procd_close_instance() { :; }
procd_set_param() {
	[ "$1" = command ] || return 0
	shift
	procd_append_param command "$@"
}
procd_append_param() {
	local kind=$1 word
	shift
	for word in "$@"; do
		case "$kind" in
		command) echo "$word" ;;
		*) echo "($kind $word)" ;;
		esac
	done
}

logger() { :; }
chgrp() { :; }

. "$init"
PRIVATE=$root/private
SPOOL=$root/spool
start_service
