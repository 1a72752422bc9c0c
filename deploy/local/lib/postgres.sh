# shellcheck shell=bash
# Postgres. Its server refuses to run as root: then it is the user postgres, who must be able to reach the data.

postgres_stop_signal=INT # "fast": TERM would wait until every client has gone

as_postgres=()
if ((EUID == 0)); then
  # Becomes the command in place (runuser would stay between), so the pid that we write is the server's.
  as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

# The folder with the server's programs, of the wanted major version or else a newer one.
postgres_bin() {
  local dir major
  for dir in "/usr/lib/postgresql/$POSTGRES_MAJOR/bin" "$(pg_config --bindir 2>/dev/null)" \
    "$(dirname "$(readlink -f "$(command -v postgres || echo /none/none)")")" /usr/lib/postgresql/*/bin; do
    [[ -x $dir/postgres && -x $dir/initdb && -x $dir/psql ]] || continue
    major=$("$dir/postgres" --version | grep -oE '[0-9]+' | head -n 1)
    if ((major >= POSTGRES_MAJOR)); then
      printf '%s\n' "$dir"
      return
    fi
  done
  return 1
}

# data/postgres, or a link to a folder elsewhere when the user postgres cannot get to it (a home of mode 0700).
postgres_home() {
  local home=$state/data/postgres parent
  if [[ ! -d $home ]]; then
    if [[ -L $home ]]; then
      say "postgres: $(readlink "$home") has been cleaned away, beginning with empty data"
      rm "$home"
    fi
    if ((EUID != 0)); then
      mkdir "$home"
    elif "${as_postgres[@]}" test -x "$state/data"; then
      mkdir "$home"
      chown postgres: "$home"
    else
      for parent in "${TMPDIR:-/var/tmp}" /var/tmp /tmp; do
        if "${as_postgres[@]}" test -x "$parent"; then break; fi
      done
      parent=$(mktemp -d "$parent/saga-postgres.XXXXXX")
      chown postgres: "$parent"
      ln -s "$parent" "$home"
    fi
  fi
  # A disk that somebody mounted there belongs to root.
  if ((EUID == 0)) && [[ $(stat -Lc %u "$home") == 0 ]]; then chown postgres: "$home/"; fi
  realpath "$home"
}

postgres_prepare() {
  local home bin
  home=$(postgres_home)
  bin=$(postgres_bin)
  if [[ ! -d $home/cluster ]]; then
    rm -rf "$home/new" # left by a run that was killed
    {
      "${as_postgres[@]}" "$bin/initdb" -D "$home/new" -U saga -A trust -E UTF8 --no-locale
      "${as_postgres[@]}" "$bin/postgres" --single -D "$home/new" postgres <<<'CREATE DATABASE saga'
    } >>"$(log_file postgres)" 2>&1
    mv "$home/new" "$home/cluster"
  fi
  postgres_clear_lock "$home/cluster"
}

# A killed server leaves postmaster.pid. The next one sees that the process is gone, unless another process of the
# same user has got the number: then it would refuse for ever. Children of the killed server are waited for.
postgres_clear_lock() { # CLUSTER
  local pid deadline=$((SECONDS + 30))
  while postgres_works_in "$1"; do
    ((SECONDS < deadline)) || return 0 # let the server say it
    sleep 0.05
  done
  if read -r pid 2>/dev/null <"$1/postmaster.pid" && [[ -e /proc/$pid ]]; then rm -f "$1/postmaster.pid"; fi
}

# Every process of a cluster has its folder as working directory.
postgres_works_in() { # CLUSTER
  [[ $'\n'$(readlink /proc/[0-9]*/cwd 2>/dev/null)$'\n' == *$'\n'"$1"$'\n'* ]]
}

postgres_options() {
  sed -nE 's/^([a-z_]+) *= *(.*)$/\1=\2/p' "$conf/postgres.conf"
}

postgres_launch() {
  local options=() option
  while read -r option; do options+=(-c "$option"); done < <(postgres_options)
  # No socket file: its path may be too long, and everybody comes by TCP.
  spawn postgres "${as_postgres[@]}" "$(postgres_bin)/postgres" -D "$(postgres_home)/cluster" \
    -c listen_addresses=127.0.0.1 -p "$(port_of postgres)" -c unix_socket_directories= "${options[@]}"
}

native_psql() { "$(postgres_bin)/psql" -h 127.0.0.1 -p "$(port_of postgres)" -U saga "$@"; }

postgres_answers() { "${backend}_psql" -qAtX -d saga -c 'SELECT 1' >/dev/null 2>&1; }

# The children of a killed server end by themselves, a moment later.
postgres_after_kill() { postgres_clear_lock "$(postgres_home)/cluster"; }

postgres_url() { printf 'postgres://saga@127.0.0.1:%s/saga\n' "$(port_of postgres)"; }

postgres_delete() {
  local home=$state/data/postgres
  if [[ -L $home ]]; then rm -rf -- "$(readlink "$home")"; fi
  rm -rf -- "$home"
}
