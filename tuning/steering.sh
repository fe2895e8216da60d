#!/usr/bin/env bash
# Brings each media port to the queue of its worker's core: rule i sends UDP port base + i to queue i modulo queues,
# whose interrupt tuning/irq.sh puts on core i. A card without such rules gets receive flow steering instead, in software.
#
# Worth: not measured here. A packet taken in on another core costs the crossing of its bytes between caches and a wake-up
# of the worker from afar.
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

set_feature() {
  local device name
  read -r device name <<<"$1"
  ethtool -K "$device" "$name" "$2"
}

# KEY "interface family port", value "queue N", or nothing for no such rule.
set_rule() {
  local device family port number
  read -r device family port <<<"$1"
  if [[ -n $2 ]]; then
    ethtool -N "$device" flow-type "$family" dst-port "$port" action "${2#queue }"
    return
  fi
  number=$(rule_of "$device" "$family" "$port" | cut -d' ' -f1)
  # Gone already: what was wanted.
  [[ -n $number ]] || return 0
  ethtool -N "$device" delete "$number"
}

# rule_of INTERFACE FAMILY PORT: "NUMBER QUEUE" of the rule for exactly this port, if there is one.
rule_of() {
  local title='UDP over IPv4'
  [[ $2 == udp6 ]] && title='UDP over IPv6'
  ethtool -n "$1" 2>/dev/null | awk -v title="$title" -v port="$3" '
    /^Filter:/ { number = $2; type = ""; found = "" }
    /Rule Type:/ { sub(/.*Rule Type: /, ""); type = $0 }
    /Dest port:/ { if ($3 == port && $5 == "0x0") found = 1 }
    /Action: Direct to queue/ { if (found && type == title) { print number, $NF; exit } }'
}

settings() {
  [[ -n $interface ]] || { not_here steering 'no default route: name one with --interface'; return; }
  local features now queues
  features=$(ethtool -k "$interface" 2>/dev/null) || { not_here steering "there is no interface $interface, or no ethtool"; return; }
  now=$(sed -n 's/^ntuple-filters: //p' <<<"$features")
  queues=$(find "$root/sys/class/net/$interface/queues" -maxdepth 1 -name 'rx-*' 2>/dev/null | wc -l)
  ((queues > 0)) || queues=1
  if [[ ${now:-off} == 'off [fixed]' ]]; then
    not_here "ntuple rules" "the driver of $interface has none"
    software
    return
  fi
  if ((queues < 2)); then
    not_here "ntuple rules" "$interface has one receive queue"
    software
    return
  fi
  [[ $now == *'[fixed]'* ]] || setting feature "$interface rx-ntuple-filter" ntuple-filters "$now" on 'the card sorts packets by port'
  local index family port found queue
  for ((index = 0; index < ${#cores[@]}; index++)); do
    for family in udp4 udp6; do
      port=$((port_base + index))
      queue=$((index % queues))
      found=$(rule_of "$interface" "$family" "$port" | cut -d' ' -f2)
      if [[ -n $found && $found != "$queue" ]]; then
        not_here "$family port $port" "a rule that is not ours sends it to queue $found"
      else
        setting rule "$interface $family $port" "$family port $port" "${found:+queue $found}" "queue $queue" \
          "core ${cores[index]} takes in what its worker reads"
      fi
    done
  done
}

# Receive flow steering: the kernel remembers which core last read a flow and takes its packets in there.
software() {
  local directory queues queue each
  directory=$root/sys/class/net/$interface/queues
  queues=$(find "$directory" -maxdepth 1 -name 'rx-*' 2>/dev/null | wc -l)
  if ((${#cores[@]} < 2)); then
    not_here 'receive flow steering' 'one worker: there is nothing to steer'
    return
  fi
  ((queues > 0)) || { not_here 'receive flow steering' "$interface has no queues"; return; }
  file_setting /proc/sys/net/core/rps_sock_flow_entries net.core.rps_sock_flow_entries 32768 \
    'packets are taken in on the core of the worker that reads them; not measured here' least
  each=$((32768 / queues))
  for queue in "$directory"/rx-*; do
    queue=${queue##*/}
    file_setting "/sys/class/net/$interface/queues/$queue/rps_flow_cnt" "$interface $queue flows" "$each" \
      'the flows of which this queue remembers the core' least
    mask_setting "/sys/class/net/$interface/queues/$queue/rps_cpus" "$interface $queue RPS" "$(mask_of "${cores[@]}")" \
      'the cores that may take in packets of this queue'
  done
}

main "$@"
