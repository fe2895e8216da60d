#!/usr/bin/env bash
# tuning/: every script shows, changes and puts back; the unit and the container profile let the node run. Needs root.
#
# The host stays as it is: settings of the network are tried in a network namespace of the test's own, and what the
# kernel has only once (cores, interrupts, /etc) in a tree of files (CORECAST_TUNING_ROOT). The one stand-in is a card
# that takes ntuple rules, which no virtual device does: a small ethtool that keeps rules as the real one prints them.
#
# Usage: tests/tuning/run.sh [PART OF A CASE'S NAME]. The node is $CORECAST_BIN, else target/release/corecast.
set -uo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
node=${CORECAST_BIN:-$tree/target/release/corecast}
scratch=$(mktemp -d)
namespace=corecast-tuning-$$
quiet=corecast-tuning-node-$$
node_pid=
trap 'cleanup' EXIT
passed=0
failures=()

cleanup() {
  [[ -n $node_pid ]] && kill "$node_pid" 2>/dev/null
  ip netns delete "$namespace" 2>/dev/null
  ip netns delete "$quiet" 2>/dev/null
  rm -rf "$scratch"
}

fail() { echo "  FAIL: $*" >&2; return 1; }

# same WHAT BEFORE AFTER
same() { [[ $2 == "$3" ]] || { diff <(echo "$2") <(echo "$3") >&2; fail "$1 changed"; }; }

# contains TEXT PART
contains() { [[ $1 == *"$2"* ]] || fail "\"$2\" is not in: $1"; }

# --- in a network namespace ---

# inside COMMAND...: in the namespace, with its own /sys, without the host's cores and limits.
inside() {
  # shellcheck disable=SC2016
  ip netns exec "$namespace" env CORECAST_TUNING_STATE="$scratch/state" bash -c '
    mount --bind "$1" /sys/devices/system/cpu || exit
    [[ ! -d /etc/security ]] || mount --bind "$1" /etc/security || exit
    shift
    exec "$@"' \
    inside "$scratch/empty" "$@"
}

# Everything that the scripts can change there, as text.
snapshot() {
  inside bash -c '
    ethtool -k media0; ethtool -l media0; ethtool -g media0; ethtool -n media0 2>&1
    grep -r . /sys/class/net/media0/queues/*/{rps_cpus,rps_flow_cnt,xps_cpus} 2>/dev/null
    sysctl -a 2>/dev/null | grep -E "^(net\.core\.|net\.ipv4\.ip_local|kernel\.io_uring)"
    nft list ruleset; ls /etc/security' 2>/dev/null
}

tuning() { inside "$tree/tuning/run" "$@" --interface media0 --cores 0-1 --port-base 40000; }

prepare_namespace() {
  mkdir -p "$scratch/empty"
  ip netns add "$namespace" &&
    ip -n "$namespace" link add media0 numrxqueues 2 numtxqueues 2 type veth peer name peer0 numrxqueues 2 numtxqueues 2 &&
    ip -n "$namespace" link set media0 up && ip -n "$namespace" link set peer0 up &&
    # As a cautious distribution leaves them.
    ip netns exec "$namespace" ethtool -K media0 gro off tx-udp-segmentation off rx-udp-gro-forwarding on
}

check_and_dry_run_change_nothing() {
  local before after text
  before=$(snapshot)
  text=$(tuning check)
  [[ $? == 1 ]] || fail 'check finds differences' || return
  contains "$text" 'differs   tx-udp-segmentation' || return
  contains "$text" '77 ns instead of 284' || return
  contains "$text" 'not here: interrupts of media0' || return
  text=$(tuning apply --dry-run) || fail "dry run: $text" || return
  contains "$text" 'would     rx-gro' || return
  tuning revert --dry-run >/dev/null || fail 'dry revert' || return
  [[ ! -e $scratch/state ]] || fail 'state was written' || return
  after=$(snapshot)
  same 'after check and dry runs, something' "$before" "$after"
}

apply_twice_and_revert_once_restores_everything() {
  local before between after text part
  before=$(snapshot)
  text=$(tuning apply) || fail "apply: $text" || return
  for part in 'applied   tx-udp-segmentation' 'applied   rx-gro' 'applied   notrack of UDP 40000-40001' \
    'applied   net.ipv4.ip_local_reserved_ports' 'applied   media0 tx-0 XPS' 'applied   media0 rx-1 RPS'; do
    contains "$text" "$part" || return
  done
  between=$(snapshot)
  for part in 'tx-udp-segmentation: on' 'generic-receive-offload: on' 'rx-udp-gro-forwarding: off' \
    'udp dport 40000-40001 notrack' 'udp sport 40000-40001 notrack' 'ip_local_reserved_ports = 40000-40001'; do
    contains "$between" "$part" || return
  done
  text=$(tuning apply) || fail "second apply: $text" || return
  [[ $text != *applied* && $text != *failed* ]] || fail "the second apply changed something: $text" || return
  same 'after the second apply, something' "$between" "$(snapshot)" || return
  text=$(tuning check) || fail "check after apply: $text" || return
  # Another time with other parameters: the first state is still the one to go back to.
  inside "$tree/tuning/netfilter.sh" apply --interface media0 --cores 0-3 --port-base 41000 >/dev/null || return
  text=$(tuning revert) || fail "revert: $text" || return
  after=$(snapshot)
  same 'after revert, something' "$before" "$after" || return
  [[ ! -e $scratch/state ]] || fail 'state is left' || return
  text=$(tuning revert) || fail "second revert: $text" || return
  contains "$text" 'nothing was applied'
}

# --- in a tree of files ---

put() { mkdir -p "$(dirname "$1")" && printf '%s\n' "$2" >"$1"; }

# A host with four cores, a card of two queues, a disk, powersave and deep idle states.
make_host() {
  local host=$1 core
  put "$host/proc/sys/net/core/rmem_max" 212992
  put "$host/proc/sys/net/core/wmem_max" 8388608
  put "$host/proc/sys/net/core/netdev_max_backlog" 1000
  put "$host/proc/sys/net/core/busy_poll" 0
  put "$host/proc/sys/net/core/busy_read" 0
  put "$host/proc/sys/net/ipv4/ip_local_port_range" $'32768\t60999'
  put "$host/proc/sys/net/ipv4/ip_local_reserved_ports" ''
  put "$host/proc/sys/kernel/io_uring_disabled" 2
  mkdir -p "$host/etc/security/limits.d"
  put "$host/sys/devices/system/cpu/online" 0-3
  put "$host/sys/devices/system/cpu/isolated" ''
  for core in 0 1 2 3; do
    put "$host/sys/devices/system/cpu/cpu$core/cpufreq/scaling_governor" powersave
    put "$host/sys/devices/system/cpu/cpu$core/cpuidle/state1/latency" 2
    put "$host/sys/devices/system/cpu/cpu$core/cpuidle/state1/disable" 0
    put "$host/sys/devices/system/cpu/cpu$core/cpuidle/state2/latency" 133
    put "$host/sys/devices/system/cpu/cpu$core/cpuidle/state2/disable" 0
    put "$host/sys/devices/system/cpu/cpu$core/cpuidle/state2/name" C6
  done
  put "$host/proc/interrupts" "            CPU0       CPU1       CPU2       CPU3
  30:          0          0          0          0 PCI-MSIX 0-edge      card-config
  31:          0          1          0          0 PCI-MSIX 1-edge      card-TxRx-0
  32:          0          0          1          0 PCI-MSIX 2-edge      card-TxRx-1
  33:          9          0          0          0 PCI-MSIX 1-edge      disk-0"
  for core in 30 31 32; do
    put "$host/sys/class/net/card0/device/msi_irqs/$core" msix
    put "$host/proc/irq/$core/smp_affinity_list" 0-3
  done
  put "$host/proc/irq/33/smp_affinity_list" 0-3
  for core in 0 1; do
    put "$host/sys/class/net/card0/queues/tx-$core/xps_cpus" 00000000,00000000
    put "$host/sys/class/net/card0/queues/rx-$core/rps_cpus" 00000000,00000000
  done
}

# What is in the files, without blanks at the ends of lines.
files() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 grep -r . --with-filename | sort); }

hosted() { CORECAST_TUNING_ROOT=$host CORECAST_TUNING_STATE=$scratch/state "$tree/tuning/$1" "${@:2}" --interface card0 --cores 2-3; }

settings_of_a_whole_machine_are_put_back() {
  local host=$scratch/host before between text theme
  make_host "$host"
  before=$(files "$host")
  for theme in limits buffers cpu irq busypoll; do
    text=$(hosted $theme.sh check) && { fail "$theme: nothing differs: $text" || return; }
    hosted $theme.sh apply --dry-run >/dev/null || fail "$theme: dry run" || return
    same "after looking, $theme" "$before" "$(files "$host")" || return
  done
  for theme in limits buffers cpu irq busypoll; do
    text=$(hosted $theme.sh apply) || fail "$theme: $text" || return
    if [[ $theme == cpu ]]; then contains "$text" 'isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3' || return; fi
  done
  between=$(files "$host")
  for text in rmem_max:4194304 wmem_max:8388608 busy_poll:50 io_uring_disabled:0 cpu2/cpufreq/scaling_governor:performance \
    cpu1/cpufreq/scaling_governor:powersave cpu3/cpuidle/state2/disable:1 cpu3/cpuidle/state1/disable:0 \
    irq/30/smp_affinity_list:0-3 irq/31/smp_affinity_list:2 irq/32/smp_affinity_list:3 irq/33/smp_affinity_list:0-3 \
    queues/tx-0/xps_cpus:00000004 queues/tx-1/xps_cpus:00000008; do
    contains "$between"$'\n' "$text"$'\n' || return
  done
  contains "$(cat "$host/etc/security/limits.d/60-corecast.conf")" $'*\thard\tmemlock\t8192' || return
  for theme in limits buffers cpu irq busypoll; do
    text=$(hosted $theme.sh apply) || fail "$theme, again: $text" || return
    [[ $text != *applied* ]] || fail "$theme applied something twice: $text" || return
  done
  same 'after the second apply, something' "$between" "$(files "$host")" || return
  for theme in busypoll irq cpu buffers limits; do hosted $theme.sh revert >/dev/null || fail "$theme: revert" || return; done
  same 'after revert, something' "$before" "$(files "$host")" || return
  [[ ! -e $scratch/state ]] || fail 'state is left'
}

parameters_come_from_the_nodes_configuration() {
  local host=$scratch/configured text
  make_host "$host"
  printf 'cores = "0"\n[media]\nport_base = 40000\n' >"$scratch/node.toml"
  text=$(CORECAST_BIN=$node CORECAST_TUNING_ROOT=$host "$tree/tuning/buffers.sh" apply --dry-run --config "$scratch/node.toml") ||
    fail "$text" || return
  contains "$text" 'nothing -> 40000' || return
  CORECAST_BIN=$node "$tree/tuning/buffers.sh" check --config "$scratch/none.toml" >/dev/null 2>&1
  [[ $? == 2 ]] || fail 'a configuration that cannot be read is wrong usage'
}

wrong_usage_is_exit_code_2_and_says_what() {
  local text arguments
  for arguments in '' 'check apply' '--cores 3-1 check' '--port-base 0 check' '--port-base' '--nonsense check'; do
    # shellcheck disable=SC2086
    text=$("$tree/tuning/buffers.sh" $arguments 2>&1)
    [[ $? == 2 && $text == *tuning/buffers.sh* ]] || fail "\"$arguments\" gives $text" || return
  done
  for script in "$tree"/tuning/*.sh "$tree/tuning/run"; do
    [[ $script == */lib.sh ]] && continue
    contains "$("$script" --help)" 'check|apply|revert' || return
  done
}

# A card with rules: `ethtool -n` prints them as the real one does, `-N` takes and deletes them.
make_card() {
  mkdir -p "$1"
  cat >"$1/ethtool" <<'CARD'
#!/usr/bin/env bash
rules=$(dirname "$0")/rules
touch "$rules"
case $1 in
  -k) echo "ntuple-filters: $(cat "$(dirname "$0")/ntuple" 2>/dev/null || echo off)" ;;
  -K) echo "$4" >"$(dirname "$0")/ntuple" ;;
  -n)
    echo '4 RX rings available'
    while read -r number family port queue; do
      title='UDP over IPv4'
      [[ $family == udp6 ]] && title='UDP over IPv6'
      printf 'Filter: %s\n\tRule Type: %s\n\tSrc port: 0 mask: 0xffff\n\tDest port: %s mask: 0x0\n\tAction: Direct to queue %s\n\n' \
        "$number" "$title" "$port" "$queue"
    done <"$rules"
    ;;
  -N)
    if [[ $3 == delete ]]; then
      sed -i "/^$4 /d" "$rules"
    else
      # flow-type FAMILY dst-port PORT action QUEUE. Numbers are the card's choice, and no two rules have the same.
      number=$((1000 + RANDOM))
      while grep -q "^$number " "$rules"; do number=$((number + 1)); done
      echo "$number $4 $6 $8" >>"$rules"
    fi
    ;;
esac
CARD
  chmod +x "$1/ethtool"
}

each_media_port_gets_a_rule_to_its_cores_queue() {
  local host=$scratch/steered text card=$scratch/card
  make_host "$host"
  make_card "$card"
  # Somebody else's rule, which must survive.
  echo '7 udp4 5000 1' >"$card/rules"
  text=$(PATH=$card:$PATH hosted steering.sh apply) || fail "$text" || return
  [[ $(cut -d' ' -f2- "$card/rules" | sort) == $'udp4 20000 0\nudp4 20001 1\nudp4 5000 1\nudp6 20000 0\nudp6 20001 1' ]] ||
    fail "rules: $(cat "$card/rules")" || return
  text=$(PATH=$card:$PATH hosted steering.sh apply)
  [[ $text != *applied* ]] || fail "applied twice: $text" || return
  PATH=$card:$PATH hosted steering.sh check >/dev/null || fail 'check after apply' || return
  PATH=$card:$PATH hosted steering.sh revert >/dev/null || fail revert || return
  [[ $(cat "$card/rules" "$card/ntuple") == $'7 udp4 5000 1\noff' ]] || fail "left: $(cat "$card/rules" "$card/ntuple")"
}

# --- unit and container ---

# alone COMMAND...: on a loopback where nobody else has the node's ports.
alone() { ip netns exec "$quiet" "$@"; }

prepare_quiet() { [[ -e /var/run/netns/$quiet ]] || { ip netns add "$quiet" && ip -n "$quiet" link set lo up; }; }

# under FILE OPTION...: the node under that filter, seen ready, asked for a page and a session, and ended.
under() {
  local log=$scratch/node.log waited=0 status
  : >"$log"
  prepare_quiet || return
  # No function in the background: that would be another process, and the node its child.
  STATE_DIRECTORY=$scratch/node-state ip netns exec "$quiet" /usr/bin/python3 "$tree/tests/tuning/under_filter.py" "$@" -- "$node" \
    --https 127.0.0.1:28443 --http 127.0.0.1:28080 --admin 127.0.0.1:28444 --media-port-base 28400 >"$log" 2>&1 &
  node_pid=$!
  until alone curl -sf http://127.0.0.1:28444/readyz >/dev/null; do
    if ! kill -0 $node_pid 2>/dev/null || ((++waited > 300)); then
      wait $node_pid
      status=$?
      node_pid=
      cat "$log"
      return $((status ? status : 1))
    fi
    sleep 0.1
  done
  alone curl -skf https://127.0.0.1:28443/ >/dev/null || fail 'no page' || return
  status=$(alone curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/sdp' \
    --data-binary "@$tree/tests/data/sdp/chromium-play.sdp" http://127.0.0.1:28080/whep/demo)
  [[ $status == 201 ]] || fail "a session is answered by $status" || return
  kill -TERM $node_pid
  wait $node_pid
  status=$?
  node_pid=
  ((status == 0)) || { cat "$log"; fail "it ended with $status"; }
}

the_node_runs_under_the_containers_profile_and_says_why_not_without_io_uring() {
  local text
  under "$tree/tuning/container/seccomp.json" || return
  text=$(under "$tree/tuning/container/seccomp.json" --without io_uring_setup) && { fail 'it started without io_uring' || return; }
  contains "$text" 'seccomp profile'
}

the_node_runs_under_the_units_filter() { under "$tree/tuning/corecast.service"; }

the_unit_is_well_formed_and_exposes_little() {
  local text unit=$scratch/corecast.service
  sed "s|^ExecStart=[^ ]*|ExecStart=$node|" "$tree/tuning/corecast.service" >"$unit"
  text=$(systemd-analyze verify --man=no "$unit" 2>&1) || fail "$text" || return
  [[ -z $text ]] || fail "$text" || return
  text=$(systemd-analyze security --offline=yes --threshold=20 "$unit" 2>&1 | tail -n 1)
  contains "$text" 'OK'
}

scripts_pass_shellcheck() { shellcheck -x -P "$tree/tuning" "$tree"/tuning/*.sh "$tree"/tuning/acme/*.sh \
  "$tree/tuning/run" "$tree/tests/tuning/run.sh" "$tree/tests/tls/run"; }

main() {
  [[ $(id -u) == 0 ]] || { echo 'namespaces need root' >&2; exit 1; }
  local case
  prepare_namespace || exit 1
  for case in scripts_pass_shellcheck wrong_usage_is_exit_code_2_and_says_what check_and_dry_run_change_nothing \
    apply_twice_and_revert_once_restores_everything settings_of_a_whole_machine_are_put_back \
    parameters_come_from_the_nodes_configuration each_media_port_gets_a_rule_to_its_cores_queue \
    the_unit_is_well_formed_and_exposes_little the_node_runs_under_the_units_filter \
    the_node_runs_under_the_containers_profile_and_says_why_not_without_io_uring; do
    [[ $case == *"${1:-}"* ]] || continue
    rm -rf "$scratch/state"
    if $case; then
      passed=$((passed + 1))
      echo "ok   ${case//_/ }"
    else
      failures+=("$case")
      echo "FAIL ${case//_/ }"
    fi
  done
  echo "$passed passed, ${#failures[@]} failed"
  ((${#failures[@]} == 0))
}

main "$@"
