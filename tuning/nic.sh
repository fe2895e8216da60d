#!/usr/bin/env bash
# The network card: what it does instead of the processor, how much it holds, and over how many queues.
#
# Left out: interrupt coalescing (drivers adapt it, and a fixed value trades latency for nothing measured here), jumbo
# frames (the internet carries 1,500 bytes), and everything about TCP.
#
# Mind: changing queues or rings takes the link down for a moment with many drivers, and queues bring back the driver's own
# table of hash targets (`ethtool -x`): one that you made by hand is not remembered here.
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

# Keys are "interface what".
set_feature() {
  local device name
  read -r device name <<<"$1"
  ethtool -K "$device" "$name" "$2"
}

set_ring() {
  local device name
  read -r device name <<<"$1"
  ethtool -G "$device" "$name" "$2"
}

set_channels() {
  local device name
  read -r device name <<<"$1"
  ethtool -L "$device" "$name" "$2"
}

# feature KERNEL-NAME WANTED WHY [NAME]: `ethtool -K` takes the kernel's names, `ethtool -k` shows some by older ones.
feature() {
  local now
  now=$(sed -n "s/^[[:space:]]*${4:-$1}: //p" <<<"$features")
  case $now in
    '') not_here "$1" "$interface does not know it" ;;
    *'[fixed]'*)
      if [[ ${now%% *} == "$2" ]]; then say ok "$1" "$now"; else not_here "$1" "${now%% *}, fixed by the driver of $interface"; fi
      ;;
    # What was asked for and cannot be now (another feature is missing) is not ours to change.
    *'[requested'*) not_here "$1" "$now" ;;
    *) setting feature "$interface $1" "$1" "$now" "$2" "$3" ;;
  esac
}

# numbers KIND OPTION NAME LABEL CAP WHY: from ethtool's two lists, maxima first. CAP bounds what is asked for.
numbers() {
  local kind=$1 option=$2 name=$3 label=$4 cap=$5 why=$6 text max now wanted
  text=$(ethtool "$option" "$interface" 2>/dev/null) || { not_here "$name" "the driver of $interface has none to set"; return; }
  max=$(sed -n "s/^$label:[[:space:]]*//p" <<<"$text" | sed -n 1p)
  now=$(sed -n "s/^$label:[[:space:]]*//p" <<<"$text" | sed -n 2p)
  if [[ ! $max =~ ^[0-9]+$ || ! $now =~ ^[0-9]+$ ]] || ((max == 0)); then
    not_here "$name" "the driver of $interface has none to set"
    return
  fi
  wanted=$((max < cap ? max : cap))
  ((now >= wanted)) && wanted=$now
  setting "$kind" "$interface $7" "$name" "$now" "$wanted" "$why"
}

settings() {
  [[ -n $interface ]] || { not_here nic 'no default route: name one with --interface'; return; }
  command -v ethtool >/dev/null || { not_here nic 'ethtool is not installed'; return; }
  local features
  features=$(ethtool -k "$interface" 2>/dev/null) || { not_here nic "there is no interface $interface"; return; }
  # Queues first: drivers make the rings anew for them.
  numbers channels -l "$interface queues" Combined "${#cores[@]}" \
    'a queue for each worker: its packets are then taken in on its own core; not measured here' combined
  feature tx-checksum-ip-generic on 'without it older kernels refuse trains (EIO), and each packet is summed by the processor'
  feature tx-generic-segmentation on \
    'trains pass the stack whole: 284 ns a packet in trains of 16 against 836 one by one (software GSO)' generic-segmentation-offload
  feature tx-udp-segmentation on \
    'the card cuts trains into packets: 77 ns instead of 284 in trains of 16, 121 instead of 294 in trains of 8'
  feature rx-gro on 'segments of signalling TCP arrive merged; UDP of viewers never merges. Not measured here' generic-receive-offload
  feature rx-udp-gro-forwarding off \
    'merged UDP helps receivers that ask for it (74 ns a packet instead of 326); the node does not ask, so the kernel would only cut it up again'
  numbers ring -g "$interface receive ring" RX 4096 \
    'holds a burst while its core is busy with a key frame; a full one loses packets that no socket counts. Not measured here' rx
  numbers ring -g "$interface transmit ring" TX 4096 \
    'a full one makes packets wait above it, where a full queue drops them without an error to the sender (1,966 of 2,000 once)' tx
}

main "$@"
