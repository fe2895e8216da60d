#!/usr/bin/env bash
# The workers' cores: frequency, idle states, and whether anything else runs on them.
#
# Left out: turbo (off makes measurements even and everything slower), hyper-threads (the doctor tells when two workers
# share a physical core; switching siblings off is for the firmware or `nosmt`).
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

# Microseconds to leave an idle state, above which it is switched off.
exit_latency_max=10

settings() {
  local core state latency path found=0 directory=/sys/devices/system/cpu
  for core in "${cores[@]}"; do
    path=$directory/cpu$core/cpufreq/scaling_governor
    [[ -e $root$path ]] || continue
    found=1
    file_setting "$path" "core $core governor" performance \
      'a core that slowed down needs milliseconds to speed up: the first packets of a burst wait. Not measured here'
  done
  ((found)) || not_here governor 'firmware or the hypervisor decides the frequency'
  found=0
  for core in "${cores[@]}"; do
    for state in "$root$directory/cpu$core/cpuidle"/state*; do
      [[ -e $state ]] || continue
      found=1
      latency=$(cat "$state/latency" 2>/dev/null || echo 0)
      ((latency > exit_latency_max)) || continue
      file_setting "${state#"$root"}/disable" "core $core $(cat "$state/name" 2>/dev/null)" 1 \
        "it takes $latency µs to leave, a packet's whole way through the node less than 10. Costs power; not measured here"
    done
  done
  ((found)) || not_here 'idle states' 'the hypervisor decides them'
  isolation
}

# Needs the kernel's command line, so it is looked at and never changed.
isolation() {
  local online isolated outside
  online=$(cores_of "$(cat "$root/sys/devices/system/cpu/online" 2>/dev/null || echo 0)")
  isolated=$(cat "$root/sys/devices/system/cpu/isolated" 2>/dev/null || true)
  outside=$(comm -23 <(printf '%s\n' "${cores[@]}" | sort) <(cores_of "$isolated" | sort) | sort -n | paste -sd, -)
  if [[ -z $outside ]]; then
    say ok isolation "cores $cores_text are isolated"
  elif [[ $(printf '%s\n' "${cores[@]}" | sort -n) == "$(sort -n <<<"$online")" ]]; then
    not_here isolation 'every core has a worker: leave one or more to the rest with --cores'
  else
    say note isolation "core $outside also runs other programs" \
      "for a machine that does nothing else, on the kernel's command line, then reboot:" \
      "isolcpus=managed_irq,domain,$cores_text nohz_full=$cores_text rcu_nocbs=$cores_text" \
      'worth: not measured here; other programs then cannot delay a worker by a time slice (milliseconds)'
  fi
}

main "$@"
