# shellcheck shell=bash
# A folder's ports: chosen once, kept until somebody else has them.

port_of() { cat "$state/ports/$1" 2>/dev/null; }

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the range from which the system takes ports for outgoing connections and for "any free port":
# nobody gets one of ours by chance while its service is stopped.
free_port() {
  local port
  for _ in {1..200}; do
    port=$((20000 + RANDOM % 10000))
    if ! port_taken "$port"; then
      printf '%s\n' "$port"
      return
    fi
  done
  die "no free port between 20000 and 30000"
}

claim_port() { # NAME
  local port
  port=$(port_of "$1") || port=
  if [[ -z $port ]] || port_taken "$port"; then
    if [[ -n $port ]]; then say "$1: port $port is taken, choosing another"; fi
    port=$(free_port)
    printf '%s\n' "$port" | write_file "$state/ports/$1"
  fi
}
