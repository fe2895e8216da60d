#!/usr/bin/env bash
# Buffers between the network card and the node, and the media ports' place among all ports.
#
# Left out: net.core.rmem_default and wmem_default (the node asks for what it needs), net.ipv4.udp_mem (a share of the
# machine's memory, larger than all workers' buffers on anything with 1 GiB; the doctor tells when it was not).
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

settings() {
  local buffer=4194304
  file_setting /proc/sys/net/core/rmem_max net.core.rmem_max $buffer \
    'a stock buffer holds 92 packets of 1,200 bytes, 4 MiB holds 3,640: bursts then wait instead of being lost' least
  file_setting /proc/sys/net/core/wmem_max net.core.wmem_max $buffer \
    'a key frame to every viewer leaves at once; a full buffer refuses trains, which costs retransmissions' least
  file_setting /proc/sys/net/core/netdev_max_backlog net.core.netdev_max_backlog 10000 \
    'packets that wait for a core when the card spreads them in software (RPS) or on loopback; not measured here' least
  reserve_ports
}

# Only where the kernel could give a media port to another program.
reserve_ports() {
  local low high range now wanted name=net.ipv4.ip_local_reserved_ports path=/proc/sys/net/ipv4/ip_local_reserved_ports
  range=$(cat "$root/proc/sys/net/ipv4/ip_local_port_range" 2>/dev/null) || { not_here "$name" 'no such file'; return; }
  read -r low high <<<"$range"
  if ((port_last < low || port_base > high)); then
    say ok "$name" "ports $port_base to $port_last lie outside $low to $high"
    return
  fi
  now=$(cat "$root$path" 2>/dev/null) || { not_here "$name" 'no such file'; return; }
  wanted=$port_base
  ((port_last > port_base)) && wanted=$port_base-$port_last
  # The kernel sorts and joins ranges, so what is written differs from what is read: look for the ports themselves.
  local reserved
  reserved=$(cores_of "${now:-0}")
  if [[ -z $(comm -23 <(seq "$port_base" "$port_last" | sort) <(sort <<<"$reserved")) ]]; then
    say ok "$name" "$now"
    return
  fi
  setting file "$root$path" "$name" "$now" "${now:+$now,}$wanted" \
    'worker i must find UDP port base + i free at every start, and the kernel gives these to any program'
}

main "$@"
