# shellcheck shell=bash
# Redis, with everything in its append-only file.

redis_stop_signal=TERM

redis_program() {
  local major
  major=$(redis-server --version 2>/dev/null | sed -nE 's/.* v=([0-9]+).*/\1/p')
  [[ -n $major ]] && ((major >= REDIS_MAJOR))
}

redis_prepare() { mkdir -p "$state/data/redis"; }

redis_launch() {
  spawn redis redis-server "$conf/redis.conf" \
    --bind 127.0.0.1 --port "$(port_of redis)" --dir "$state/data/redis" --daemonize no
}

# PONG only once the file has been read in; before that it answers LOADING.
redis_answers() {
  local port answer
  port=$(port_of redis)
  {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'PING\r\n' >&3
    read -r -t 2 answer <&3 || answer=
    exec 3>&-
  } 2>/dev/null
  [[ $answer == +PONG* ]]
}

redis_after_kill() { :; }

redis_url() { printf 'redis://127.0.0.1:%s\n' "$(port_of redis)"; }

redis_delete() { rm -rf -- "$state/data/redis"; }
