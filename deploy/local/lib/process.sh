# shellcheck shell=bash
# Daemons: start one, know it again, end it. Process ids are reused by the system, so a pid file holds
# the start time too, and only a process that has both is ours.

pid_file() { printf '%s\n' "$state/pids/$1.pid"; }
log_file() { printf '%s\n' "$state/logs/$1.log"; }

# Clock ticks since boot; nothing for a process that is gone, or a zombie that nobody has reaped yet.
process_start_time() { # PID
  local line fields
  line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The name in the second field may hold spaces and brackets: count from its end.
  read -ra fields <<<"${line##*) }"
  [[ ${fields[0]} != [ZX] ]] || return 1
  printf '%s\n' "${fields[19]}"
}

native_pid() { # NAME -> the pid, if that process is alive and ours
  local pid started
  read -r pid started 2>/dev/null <"$(pid_file "$1")" || return 1
  [[ $(process_start_time "$pid") == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

native_alive() { native_pid "$1" >/dev/null; }

# Start COMMAND so that it outlives this script, its terminal and its session.
spawn() { # NAME COMMAND...
  local name=$1
  shift
  rm -f "$(pid_file "$name")"
  (
    trap '' HUP
    # A daemon with its caller's descriptors would hold locks, and pipes that somebody reads to their end.
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      if ((fd > 2)); then eval "exec $fd>&-"; fi
    done
    # The server may run as a user who cannot read the caller's folder.
    cd /
    # Written by the process itself before it becomes the server: no crash leaves a server without its file.
    self=$BASHPID
    printf '%s %s\n' "$self" "$(process_start_time "$self")" | write_file "$(pid_file "$name")"
    exec setsid "$@"
  ) </dev/null >>"$(log_file "$name")" 2>&1 &
  # Who asks from now on whether it lives gets an answer.
  until [[ -f $(pid_file "$name") ]] || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
}

wait_until_gone() { # NAME SECONDS
  local deadline=$((SECONDS + $2))
  while native_alive "$1"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

signal_and_wait() { # NAME SIGNAL
  local pid
  if pid=$(native_pid "$1"); then
    kill -s "$2" "$pid" 2>/dev/null || true
    if ! wait_until_gone "$1" 30; then
      say "$1 did not stop within 30 s: killing it"
      kill -s KILL "$pid" 2>/dev/null || true
      wait_until_gone "$1" 10 || die "process $pid ($1) does not end"
    fi
  fi
  rm -f "$(pid_file "$1")"
}
