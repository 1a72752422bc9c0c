# shellcheck shell=bash
# The services as processes of this machine, and the tools they need.

# Packages that are missing, by what does not work.
missing_packages() {
  postgres_bin >/dev/null || echo "postgresql"
  redis_program || echo "redis-server"
  java_program || echo "default-jre-headless"
  # Needed once, for the jars.
  if [[ ! -d $(kafka_jars) ]] && ! command -v mvn >/dev/null; then echo "maven"; fi
}

install_packages() { # NAME...
  local as_root=()
  command -v apt-get >/dev/null || return 1
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || return 1
    as_root=(sudo -n)
  fi
  say "installing $*"
  # Lists that are missing or old make the first try fail.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  {
    "${apt[@]}" install --no-install-recommends "$@" ||
      { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "$@"; }
  } </dev/null >&2
}

native_setup() {
  local packages
  mapfile -t packages < <(missing_packages)
  if ((${#packages[@]} > 0)); then
    install_packages "${packages[@]}" || say "could not install ${packages[*]}"
    mapfile -t packages < <(missing_packages)
    if ((${#packages[@]} > 0)); then
      say "missing: ${packages[*]}"
      return 1
    fi
  fi
  if ((EUID == 0)) && ! id postgres >/dev/null 2>&1; then
    say "there is no user postgres, whom the server runs as when root starts it"
    return 1
  fi
  kafka_fetch_jars || { say "could not fetch Apache Kafka"; return 1; }
}

native_launch() { # NAME
  "$1_prepare" && "$1_launch"
}

native_stop() { # NAME
  local signal=$1_stop_signal
  signal_and_wait "$1" "${!signal}"
}

native_kill() { # NAME
  signal_and_wait "$1" KILL
  "$1_after_kill"
}

native_delete() { "$1_delete"; }

native_label() { printf 'pid %s\n' "$(native_pid "$1")"; }

native_log_end() { tail -n 20 "$(log_file "$1")"; }
