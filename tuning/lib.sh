# Shared by the scripts of this folder; not a program. Each script defines `settings`, which calls the functions
# below once per setting, and ends with `main "$@"`.
#
# What a setting was before is kept in a file per theme, written once and before the change, so that applying twice
# and reverting once restores what was there at first. All of it is gone after a reboot, and so are the settings
# (those in /etc excepted, whose state is beside them for that reason).
#
# shellcheck shell=bash disable=SC2034
set -uo pipefail

# Where /proc, /sys and /etc are found; tests point it at a tree of their own.
root=${CORECAST_TUNING_ROOT:-}
state_directory=${CORECAST_TUNING_STATE:-/run/corecast-tuning}
theme=$(basename "$0" .sh)
verb=
dry_run=false
interface=
cores_text=
port_base=
config=
differing=0
failed=0

usage() {
  cat <<HELP
Usage: tuning/$theme.sh check|apply|revert [options]

  check    show each setting: what it is, what it should be, why, and what that is worth; changes nothing
  apply    change what differs, remembering what was there
  revert   put back what was there before the first apply

  --dry-run          with apply or revert: say what would be done and do nothing
  --interface NAME   the network interface of media (default: the default route's)
  --cores LIST       the workers' cores, like 0,2-3 (default: all that are online)
  --port-base PORT   worker i uses UDP PORT + i (default: 20000)
  --config FILE      take cores and port base from the node's configuration file (needs corecast in PATH or
                     in \$CORECAST_BIN)
  --help             this text

Environment: CORECAST_TUNING_STATE, where what was before is kept (default /run/corecast-tuning).
Exit code: 0 done, or all as it should be; 1 check found a difference, or a change failed; 2 wrong usage. A setting that
this machine does not have is reported as "not here" and is neither.
HELP
}

die() { echo "tuning/$theme.sh: $*" >&2; exit 2; }

# --- parameters ---

# cores_of LIST: the numbers of 0,2-3, one a line.
cores_of() {
  local part low high
  for part in ${1//,/ }; do
    low=${part%-*} high=${part#*-}
    [[ $low =~ ^[0-9]+$ && $high =~ ^[0-9]+$ && $low -le $high ]] || die "--cores = $1: must be like 0,2-3"
    seq "$low" "$high"
  done
}

read_parameters() {
  if [[ -n $config ]]; then
    local printed
    printed=$("${CORECAST_BIN:-corecast}" check-config --config "$config") || die "--config = $config: corecast refuses it"
    [[ -n $cores_text ]] || cores_text=$(sed -n 's/^cores = "\(.*\)"$/\1/p' <<<"$printed")
    [[ -n $port_base ]] || port_base=$(sed -n 's/^port_base = \([0-9]*\)$/\1/p' <<<"$printed")
  fi
  [[ -n $cores_text ]] || cores_text=$(cat "$root/sys/devices/system/cpu/online" 2>/dev/null || echo 0)
  port_base=${port_base:-20000}
  local list
  list=$(cores_of "$cores_text") || exit 2
  mapfile -t cores <<<"$list"
  [[ $port_base =~ ^[0-9]+$ && $port_base -ge 1 && $((port_base + ${#cores[@]} - 1)) -le 65535 ]] ||
    die "--port-base = $port_base: must be 1 to 65536 - number of cores"
  port_last=$((port_base + ${#cores[@]} - 1))
  [[ -n $interface ]] || interface=$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
  [[ $interface =~ ^[^/[:space:]]{0,15}$ ]] || die "--interface = $interface: is no interface's name"
}

# --- what was before ---

state_file() { echo "$state_directory/$theme"; }

# remember KIND KEY VALUE: unless it is known already. Fields are separated by tabs; values are one line.
remember() {
  local file known
  file=$(state_file)
  known=$(printf '%s\t%s\t' "$1" "$2")
  mkdir -p "$state_directory" || return
  [[ -f $file ]] && awk -v known="$known" 'index($0, known) == 1 { found = 1 } END { exit !found }' "$file" && return
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$file"
}

# --- one setting ---

# say STATE NAME TEXT [DETAIL...]
say() {
  printf '%-9s %-34s %s\n' "$1" "$2" "$3"
  shift 3
  local detail
  for detail in "$@"; do [[ -n $detail ]] && printf '%-9s   %s\n' '' "$detail"; done
  return 0
}

not_here() { [[ $verb == revert ]] || say 'not here:' "$1" "$2"; }

# shown VALUE: for a line of output.
shown() {
  local text=${1:-nothing}
  if ((${#text} > 48)); then text="${text:0:45}..."; fi
  echo "$text"
}

# setting KIND KEY NAME NOW WANTED WHY: does what the verb asks. KIND has functions set_KIND and, for revert, the same.
# The five answers: ok, differs (check), would (dry run), applied, refused.
setting() {
  local kind=$1 key=$2 name=$3 now=$4 wanted=$5 why=$6 error before after
  before=$(shown "$now") after=$(shown "$wanted")
  if [[ $now == "$wanted" ]]; then
    say ok "$name" "$before" "$([[ $verb == check ]] && echo "$why")"
    return
  fi
  case $verb in
    check)
      differing=$((differing + 1))
      say differs "$name" "$before, should be $after" "$why"
      ;;
    apply)
      if $dry_run; then
        say would "$name" "$before -> $after"
        return
      fi
      remember "$kind" "$key" "$now" || { failed=$((failed + 1)); say failed "$name" "$(state_file) cannot be written"; return; }
      if error=$("set_$kind" "$key" "$wanted" 2>&1); then
        say applied "$name" "$before -> $after"
      else
        # Read-only here, or fixed by driver or hypervisor: the machine's business, not a failure.
        forget "$kind" "$key"
        say 'not here:' "$name" "refused (${error##*: }); it stays $before"
      fi
      ;;
  esac
}

# forget KIND KEY: what was remembered for a change that was refused.
forget() {
  local file known
  file=$(state_file)
  known=$(printf '%s\t%s\t' "$1" "$2")
  awk -v known="$known" 'index($0, known) != 1' "$file" >"$file.new" && mv "$file.new" "$file"
  [[ -s $file ]] || rm -f "$file"
}

# Puts back what was before, the last change first; keeps what could not be put back.
revert_all() {
  local file kind key value error kept=()
  file=$(state_file)
  [[ -f $file ]] || { say ok "$theme" 'nothing was applied'; return; }
  while IFS=$'\t' read -r kind key value; do
    if $dry_run; then
      say would "$key" "-> $(shown "$value")"
    elif error=$("set_$kind" "$key" "$value" 2>&1); then
      say reverted "$key" "$(shown "$value")"
    else
      failed=$((failed + 1))
      kept=("$kind"$'\t'"$key"$'\t'"$value" ${kept[@]+"${kept[@]}"})
      say failed "$key" "could not be put back to $(shown "$value") (${error##*: })"
    fi
  done < <(tac "$file")
  $dry_run && return
  if ((${#kept[@]})); then printf '%s\n' "${kept[@]}" >"$file"; else rm -f "$file"; fi
  rmdir "$state_directory" 2>/dev/null || true
}

# --- kinds of settings ---

# A file of one line below /proc or /sys. Written by a subshell, whose error is the kernel's.
set_file() { (printf '%s\n' "$2" >"$1"); }

# file PATH NAME WANTED WHY [least]: `least` leaves a larger number alone.
file_setting() {
  local path=$root$1 name=$2 wanted=$3 why=$4 now
  if ! now=$(cat "$path" 2>/dev/null); then
    not_here "$name" "no $1 on this machine"
    return
  fi
  now=$(tr -s '[:space:]' ' ' <<<"$now")
  now=${now% }
  [[ ${5:-} == least && $now =~ ^[0-9]+$ && $now -ge $wanted ]] && wanted=$now
  setting file "$path" "$name" "$now" "$wanted" "$why"
}

# A mask of cores in /sys, as 32-bit words in hexadecimal. Kernels pad it; zeros in front mean nothing.
mask_setting() {
  local path=$root$1 name=$2 wanted=$3 why=$4 now
  now=$(cat "$path" 2>/dev/null) || { not_here "$name" "no $1 on this machine"; return; }
  [[ $(plain_mask "$now") == "$(plain_mask "$wanted")" ]] && wanted=$now
  setting file "$path" "$name" "$now" "$wanted" "$why"
}

plain_mask() {
  local digits
  digits=$(tr -d ',' <<<"$1" | sed 's/^0*//')
  echo "${digits:-0}"
}

# mask_of CORE...: the mask that has these cores.
mask_of() {
  local core top=0 words=() word text=
  for core in "$@"; do
    word=$((core / 32))
    ((word > top)) && top=$word
    words[word]=$((${words[word]:-0} | 1 << (core % 32)))
  done
  for ((word = top; word >= 0; word--)); do
    text+=$(printf '%08x' "${words[word]:-0}")
    ((word > 0)) && text+=,
  done
  echo "$text"
}

# --- the program ---

main() {
  while (($#)); do
    case $1 in
      check | apply | revert)
        [[ -z $verb ]] || die "one of check, apply and revert, not both $verb and $1"
        verb=$1
        ;;
      --dry-run) dry_run=true ;;
      --interface | --cores | --port-base | --config)
        (($# >= 2)) || die "$1 needs a value"
        case $1 in
          --interface) interface=$2 ;;
          --cores) cores_text=$2 ;;
          --port-base) port_base=$2 ;;
          --config) config=$2 ;;
        esac
        shift
        ;;
      --help | -h) usage; exit 0 ;;
      *) die "unknown argument $1 (--help)" ;;
    esac
    shift
  done
  [[ -n $verb ]] || { usage >&2; exit 2; }
  if [[ $verb != check && $dry_run == false && -z $root && $(id -u) != 0 ]]; then
    die "$verb changes the machine: run it as root (or add --dry-run)"
  fi
  if [[ $verb == revert ]]; then
    revert_all
  else
    read_parameters
    settings
  fi
  ((failed == 0 && differing == 0))
}
