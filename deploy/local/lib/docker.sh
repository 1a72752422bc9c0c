# shellcheck shell=bash
# The same services as containers, for where the tools are missing and cannot be installed. Same ports, the settings of conf/.

docker_setup() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

# One set of containers for each folder.
docker_container() { printf 'saga-%s-%s\n' "$(printf '%s' "$state" | cksum | cut -d ' ' -f 1)" "$1"; }

docker_alive() {
  [[ $(docker inspect -f '{{.State.Running}}' "$(docker_container "$1")" 2>/dev/null) == true ]]
}

docker_launch() { # NAME
  local container
  container=$(docker_container "$1")
  docker rm -f "$container" >/dev/null 2>&1 || true # a stopped one; its volume stays
  "docker_run_$1" docker run -d --name "$container" >>"$(log_file "$1")" 2>&1
}

docker_run_postgres() { # DOCKER RUN...
  local options=() option
  while read -r option; do options+=(-c "$option"); done < <(postgres_options)
  "$@" -p "127.0.0.1:$(port_of postgres):5432" -v "$(docker_container postgres):/var/lib/postgresql/data" \
    -e POSTGRES_USER=saga -e POSTGRES_DB=saga -e POSTGRES_HOST_AUTH_METHOD=trust \
    -e POSTGRES_INITDB_ARGS='-E UTF8 --no-locale' "postgres:$POSTGRES_MAJOR" postgres "${options[@]}"
}

docker_run_redis() {
  "$@" -p "127.0.0.1:$(port_of redis):6379" -v "$(docker_container redis):/data" \
    -v "$conf/redis.conf:/etc/redis.conf:ro" "redis:$REDIS_MAJOR" redis-server /etc/redis.conf
}

docker_run_kafka() {
  local port settings=() setting
  port=$(port_of kafka)
  while read -r setting; do settings+=(-e "$setting"); done < <(kafka_environment)
  "$@" -p "127.0.0.1:$port:9092" -v "$(docker_container kafka):/var/lib/kafka/data" "${settings[@]}" \
    -e KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093 \
    -e KAFKA_ADVERTISED_LISTENERS="PLAINTEXT://127.0.0.1:$port" \
    -e KAFKA_CONTROLLER_QUORUM_VOTERS=1@127.0.0.1:9093 \
    -e KAFKA_LOG_DIRS=/var/lib/kafka/data "apache/kafka:$KAFKA_VERSION"
}

# The image takes the property a.b.c from the variable KAFKA_A_B_C.
kafka_environment() {
  local name value
  while IFS='=' read -r name value; do
    name=${name//./_}
    printf 'KAFKA_%s=%s\n' "${name^^}" "$value"
  done < <(grep -E '^[a-z.]+=' "$conf/kafka.properties")
}

docker_psql() { docker exec "$(docker_container postgres)" psql -h 127.0.0.1 -U saga "$@"; }

docker_stop() { docker stop -t 30 "$(docker_container "$1")" >/dev/null 2>&1 || true; }

docker_kill() { docker kill "$(docker_container "$1")" >/dev/null 2>&1 || true; }

docker_delete() {
  docker rm -f "$(docker_container "$1")" >/dev/null 2>&1 || true
  docker volume rm -f "$(docker_container "$1")" >/dev/null 2>&1 || true
}

docker_label() { printf 'container %s\n' "$(docker_container "$1")"; }

docker_log_end() { tail -n 5 "$(log_file "$1")"; docker logs --tail 20 "$(docker_container "$1")" 2>&1; }
