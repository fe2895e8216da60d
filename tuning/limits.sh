#!/usr/bin/env bash
# Limits of the node's process, and whether it may use io_uring at all.
#
# Under systemd limits come from the unit (tuning/corecast.service) and what is written here counts for nothing; it is
# for a node that is started from a login. Unlike every other setting of this folder the file outlives a reboot.
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

# Its state must live as long as it does.
state_directory=${CORECAST_TUNING_STATE:-/var/lib/corecast-tuning}

limits_file=/etc/security/limits.d/60-corecast.conf

# The whole file on one line, newlines as \n; empty: no file.
set_limits_file() {
  if [[ -z $2 ]]; then rm -f "$1"; else (printf '%b' "$2" >"$1"); fi
}

settings() {
  file_setting /proc/sys/kernel/io_uring_disabled kernel.io_uring_disabled 0 \
    'the node does not start without io_uring, which signalling needs (some distributions forbid it: 2)'
  local wanted now=
  wanted='# Corecast: locked memory in KiB, open files\n*\thard\tmemlock\t8192\n*\tsoft\tmemlock\t8192\n'
  wanted+='root\thard\tmemlock\t8192\nroot\tsoft\tmemlock\t8192\n*\thard\tnofile\t65536\nroot\thard\tnofile\t65536\n'
  if [[ ! -d $root${limits_file%/*} ]]; then
    not_here "$limits_file" 'no PAM limits on this machine: use the unit, or ulimit -l 8192; ulimit -n 65536'
    return
  fi
  [[ -f $root$limits_file ]] && now=$(awk '{ gsub(/\t/, "\\t"); printf "%s\\n", $0 }' "$root$limits_file")
  setting limits_file "$root$limits_file" "$limits_file" "$now" "$wanted" \
    'below 512 KiB of locked memory the node refuses to start; each HTTP connection is an open file. From the next login'
}

main "$@"
