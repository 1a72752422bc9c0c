# shellcheck shell=bash
# What every script here needs: where things are, how to speak, the lock.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd -P)
conf=$root/deploy/local/conf
# One folder is one set of services: their data, logs, ports and process ids.
state=$(realpath -m -- "${SAGA_LOCAL_DIR:-$root/.local}")
cache=${SAGA_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/saga-orchestrator}
start_timeout=${SAGA_START_TIMEOUT:-120}

# shellcheck source=deploy/versions.env
. "$root/deploy/versions.env"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
usage_error() { say "error: $*"; say "See $0 --help"; exit 2; }

# A reader never sees half a file, whenever this script is killed.
write_file() { # FILE, the text on standard input
  local new=$1.new.$BASHPID
  cat >"$new" && mv -f "$new" "$1"
}

# One script at a time works on a folder. Daemons must not inherit the descriptor: `spawn` closes it.
lock_state() {
  exec 9>"$state/lock"
  flock -w "$start_timeout" 9 || die "another script is still working on $state"
}
