#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# step.sh NUMBER TITLE COMMAND...: run one step of the set-up, show that it moves, and on failure say which and why.
set -u
number=$1 title=$2
shift 2
log=$(mktemp "${TMPDIR:-/tmp}/ros_kd-setup-${number%%/*}-XXXXXX.log")
started=$SECONDS
printf '[%s] %s\n' "$number" "$title"
"$@" >"$log" 2>&1 </dev/null &
child=$!
trap 'kill $child 2>/dev/null; exit 130' INT TERM
while kill -0 $child 2>/dev/null; do
  sleep 1
  (( (SECONDS - started) % 10 == 9 )) && printf '      %3ds  %s\n' $((SECONDS - started)) "$(grep -v '^WARNING' "$log" | tail -n 1 | cut -c1-100)"
done
wait $child
status=$?
if [ $status -ne 0 ]; then
  printf '\nStep %s (%s) failed with exit code %d after %d s. Its last lines:\n\n' "$number" "$title" $status $((SECONDS - started))
  tail -n 15 "$log" | sed 's/^/    /'
  printf '\nThe whole log: %s\nMend the cause and run make again: finished steps are not repeated.\n' "$log"
  exit $status
fi
printf '      done in %d s\n' $((SECONDS - started))
rm -f "$log"
