#!/usr/bin/env bash
# Media past connection tracking: a table of its own marks the media ports `notrack`, in and out.
#
# Worth: not measured here. Connection tracking looks up every packet in a table that all cores share, and each viewer
# is an entry: 10,000 viewers that come at once fill a stock table and then *every* new connection of the host is dropped.
#
# Mind: a firewall that lets media in by `ct state established` no longer does. It must accept the ports themselves:
#   nft add rule inet filter input udp dport 20000-20007 accept
# On a host that forwards media by NAT (the node behind it in a namespace) do not apply this: NAT needs tracking.
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

table=corecast_notrack

# KEY is the table; the value is "FIRST-LAST", or nothing for no table.
set_table() {
  if [[ -z $2 ]]; then
    nft list table inet "$1" >/dev/null 2>&1 || return 0
    nft delete table inet "$1"
    return
  fi
  # One transaction: the old table, which may not be there, goes with the new one's coming.
  nft -f - <<RULES
add table inet $1
delete table inet $1
table inet $1 {
  chain in {
    type filter hook prerouting priority raw; policy accept;
    udp dport $2 notrack
  }
  chain out {
    type filter hook output priority raw; policy accept;
    udp sport $2 notrack
  }
}
RULES
}

settings() {
  command -v nft >/dev/null || { not_here netfilter 'nft is not installed'; return; }
  if [[ ! -e $root/proc/sys/net/netfilter/nf_conntrack_max ]]; then
    not_here netfilter 'this kernel tracks no connections: there is nothing to go past'
    return
  fi
  local now wanted=$port_base
  ((port_last > port_base)) && wanted=$port_base-$port_last
  now=$(nft list table inet "$table" 2>/dev/null | sed -n 's/.*udp dport \([0-9-]*\) notrack.*/\1/p')
  setting table "$table" "notrack of UDP $wanted" "$now" "$wanted" \
    'no look-up in a shared table for any packet, no entry for any viewer; not measured here'
}

main "$@"
