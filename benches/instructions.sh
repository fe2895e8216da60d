#!/bin/sh
# Instructions of parsing, sealing and relaying, counted by callgrind: seconds are noisy, instructions are not.
#
#   benches/instructions.sh            count, and compare with benches/instructions.txt in ratios; exit code 1 when a
#                                      bench takes 5 % more than recorded
#   benches/instructions.sh --save     count, and record
#
# Each bench runs twice, with 200 and with 1,200 iterations; the difference divided by 1,000 is one iteration, without
# start-up and set-up. Needs valgrind. valgrind knows no AVX-512, so aws-lc takes its AVX path: compare these counts with
# each other, not with a profile of the machine.
set -eu
cd "$(dirname "$0")/.."
recorded=benches/instructions.txt
case "${1:-}" in
'') [ -f $recorded ] || { echo "$recorded is missing: benches/instructions.sh --save" >&2; exit 1; } ;;
--save) ;;
*) echo "usage: benches/instructions.sh [--save]" >&2; exit 2 ;;
esac
command -v valgrind >/dev/null || { echo "valgrind is not installed: apt-get install valgrind" >&2; exit 1; }

cargo build --release --quiet --example instructions
program=target/release/examples/instructions

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 | sed -n 's/.*Collected : //p'
}

counted=$(mktemp)
trap 'rm -f "$counted"' EXIT
for what in $("$program"); do
    few=$(count "$what" 200)
    many=$(count "$what" 1200)
    printf '%8d  %s\n' $(((many - few) / 1000)) "$what" >>"$counted"
done
if [ "${1:-}" = --save ]; then
    cp "$counted" $recorded
    cat $recorded
    exit 0
fi
awk 'NR == FNR { before[$2] = $1; next }
    { ratio = $2 in before ? $1 / before[$2] : 0; seen[$2] = 1; worse += ratio > 1.05
      printf "%8d  %-28s %s\n", $1, $2, ratio ? sprintf("%.3f of the recorded", ratio) : "not recorded" }
    END { for (what in before) if (!(what in seen)) { print what " was recorded and is gone"; worse++ }
          exit worse > 0 }' $recorded "$counted"
