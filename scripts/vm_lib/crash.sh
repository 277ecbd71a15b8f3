# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Power fails: qemu is killed while several processes change two pools; the next machine finds the
# same persistent memory, checks it, and holds it against what was acknowledged.

# crash_round FOLDER ROUND: a machine that checks what the last one left, then works until it ends.
crash_round() {
    local folder=$1 round=$2 pid deadline=$((SECONDS + minutes * 60))
    rm -f "$folder"/exchange/{loading,status}
    printf '%q ' "$root/scripts/vm_lib/guest_crash" "$round" "$crash_host" "$RANDOM" \
        >"$folder/exchange/command"
    "${qemu[@]}" </dev/null &
    pid=$!
    until [[ -e $folder/exchange/loading ]]; do
        if ((SECONDS > deadline)); then kill "$pid"; fi
        if ! kill -0 "$pid" 2>/dev/null; then
            [[ ! -s $folder/exchange/status ]] || return 1
            tail -n 30 "$folder/console.log" >&2 || true
            fail "machine $round ended without a status"
        fi
        sleep 0.1
    done
    sleep "$((RANDOM % 4)).$((RANDOM % 10))"
    # The load must have gone on until now.
    kill -0 "$pid" 2>/dev/null || fail "machine $round ended by itself"
    [[ ! -s $folder/exchange/status ]] || return 1
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
}

# crash_machines ROUNDS
crash_machines() {
    local round
    new_machine
    qemu_command "$machine"
    for ((round = 0; round < $1; round++)); do
        crash_round "$machine" "$round" || { echo "crash: round $round failed"; exit 1; }
    done
    local status=0
    run_command "$machine" \
        "$(printf '%q ' "$root/scripts/vm_lib/guest_crash" --last "$1" "$crash_host" "$RANDOM")" ||
        status=$?
    local acknowledged=$machine/exchange/acknowledged
    touch "$acknowledged"
    echo "crash: $1 machines ended under load on $crash_host and devdax," \
        "$(awk '{ n += $1 } END { print n + 0 }' "$acknowledged") operations acknowledged," \
        "status $status"
    exit "$status"
}
