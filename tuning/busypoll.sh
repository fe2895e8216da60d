#!/usr/bin/env bash
# Busy polling: a thread that waits for its sockets looks into the card's queue itself for some microseconds before it
# sleeps. It saves the interrupt and the wake-up, and burns the core meanwhile, in every program that waits for sockets.
#
# It serves waits by epoll and poll (`--io mmsg`, and other programs); a ring (`uring`) registers for it itself, which
# the node does not do. So it is worth trying where `mmsg` is used, with latency measured before and after. At 16,000
# packets a second waking up is most of what a packet costs (3,100 ns); what this takes off it was not measured here.
# shellcheck source=tuning/lib.sh
. "$(dirname "$0")/lib.sh"

settings() {
  file_setting /proc/sys/net/core/busy_poll net.core.busy_poll 50 \
    'epoll and poll look for 50 µs before they sleep; not measured here'
  file_setting /proc/sys/net/core/busy_read net.core.busy_read 50 \
    'the same for blocking reads, and what makes sockets take part at all; not measured here'
}

main "$@"
