#!/usr/bin/env bash
# The network card's interrupts and transmit queues on the cores of the workers they belong to: queue i on core i.
#
# Worth: not measured here. The card's work for a worker's packets is then done on the worker's core, whose cache holds
# them, and by no two cores at once. Left out: other devices' interrupts (`corecast doctor` names those that collide).
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

# queue_interrupts: "NUMBER QUEUE NAME" for each of the card's interrupts that serve packets. Which is which only the
# names tell, and drivers name them as they like: `eth0-TxRx-3`, `mlx5_comp3@pci:…`, `virtio2-input.0`.
queue_interrupts() {
  local device=$root/sys/class/net/$interface/device list number name queue
  for list in "$device/msi_irqs" "$device/../msi_irqs"; do
    [[ -d $list ]] && break
  done
  [[ -d $list ]] || return
  for number in $(find "$list" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n); do
    name=$(awk -v line="$number:" '$1 == line { print $NF }' "$root/proc/interrupts" 2>/dev/null)
    name=${name%%@*}
    case ${name,,} in
      '' | *config* | *control* | *async* | *event* | *mgmnt* | *misc* | *fdir* | *admin* | *pages* | *cmd*) continue ;;
    esac
    queue=$(grep -o '[0-9]*$' <<<"$name")
    [[ -n $queue ]] && echo "$number $((10#$queue)) $name"
  done
}

settings() {
  [[ -n $interface ]] || { not_here irq 'no default route: name one with --interface'; return; }
  [[ -d $root/sys/class/net/$interface ]] || { not_here irq "there is no interface $interface"; return; }
  local found=0 number queue name core now
  while read -r number queue name; do
    found=1
    core=${cores[queue % ${#cores[@]}]}
    file_setting "/proc/irq/$number/smp_affinity_list" "interrupt $number ($name)" "$core" \
      "queue $queue is served where worker $((queue % ${#cores[@]})) runs"
  done < <(queue_interrupts)
  ((found)) || not_here "interrupts of $interface" 'it has none of its own'
  local path index
  for path in "$root/sys/class/net/$interface/queues"/tx-*; do
    [[ -e $path ]] || break
    index=${path##*tx-}
    if ! now=$(cat "$path/xps_cpus" 2>/dev/null); then
      not_here "$interface tx-$index XPS" 'a device with one queue does not choose'
      continue
    fi
    mask_setting "/sys/class/net/$interface/queues/tx-$index/xps_cpus" "$interface tx-$index XPS" \
      "$(queue_cores "$index")" 'workers send through a queue of their own: no lock is shared'
  done
  if [[ -z $root ]] && pgrep -x irqbalance >/dev/null 2>&1; then
    say note irqbalance 'runs and will move interrupts again: systemctl stop irqbalance'
  fi
}

# queue_cores INDEX: the mask of the cores that send through this transmit queue: every queues-th one.
queue_cores() {
  local queues index mine=()
  queues=$(find "$root/sys/class/net/$interface/queues" -maxdepth 1 -name 'tx-*' | wc -l)
  for ((index = $1; index < ${#cores[@]}; index += queues)); do mine+=("${cores[index]}"); done
  # More queues than workers: the rest are nobody's in particular.
  if ((${#mine[@]})); then mask_of "${mine[@]}"; else echo 0; fi
}

main "$@"
