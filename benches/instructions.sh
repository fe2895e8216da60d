#!/bin/sh
# Instructions of the wire and SRTP benches, counted by callgrind: seconds are noisy, instructions are not.
#
#   benches/instructions.sh            prints: count per iteration, bench
#
# Each bench runs twice, with 200 and with 1,200 iterations; the difference divided by 1,000 is one iteration, without
# start-up and set-up. Needs valgrind. valgrind knows no AVX-512, so aws-lc takes its AVX path: compare these counts with
# each other, not with a profile of the machine.
set -eu
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is not installed: apt-get install valgrind" >&2; exit 1; }

build() {
    cargo build --release --quiet --example "$1"
    echo "target/release/examples/$1"
}

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" "$3" 2>&1 | sed -n 's/.*Collected : //p'
}

program=$(build instructions)
for what in $("$program"); do
    few=$(count "$program" "$what" 200)
    many=$(count "$program" "$what" 1200)
    printf '%8d  %s\n' $(((many - few) / 1000)) "$what"
done
