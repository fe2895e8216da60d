#!/bin/sh
# Chromium ahead of the other processes of a test: a publisher that is short of CPU sends late, takes its own lateness
# for a congested network and halves its bitrate, which says nothing about the node.
exec nice -n -10 "${CHROMIUM:-/usr/bin/chromium}" "$@"
