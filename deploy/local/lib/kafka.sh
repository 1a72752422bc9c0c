# shellcheck shell=bash
# Apache Kafka: one node that is broker and controller (KRaft), run from its published jars.

kafka_stop_signal=TERM

java_program() {
  local major
  major=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1)
  [[ -n $major ]] && ((major >= 17))
}

# Another version or another pom.xml is another folder, so an old one is never mixed in.
kafka_jars() {
  printf '%s/kafka-%s-%s-%s\n' "$cache" "$KAFKA_VERSION" "$LOG4J_VERSION" "$(cksum <"$conf/pom.xml" | cut -d ' ' -f 1)"
}

kafka_fetch_jars() {
  local jars new log
  jars=$(kafka_jars)
  if [[ -d $jars ]]; then return; fi
  say "fetching Apache Kafka $KAFKA_VERSION"
  mkdir -p "$cache" && new=$(mktemp -d "$cache/new.XXXXXX") || return 1
  if log=$(mvn -q -B -f "$conf/pom.xml" -Dkafka.version="$KAFKA_VERSION" -Dlog4j.version="$LOG4J_VERSION" \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" 2>&1 </dev/null); then
    chmod 755 "$new"
    # Two scripts may have fetched at once: the first one's folder stays.
    mv -T "$new" "$jars" 2>/dev/null || true
  else
    say "$log"
  fi
  rm -rf "$new"
  [[ -d $jars ]]
}

kafka_java=(java -Dlog4j2.configurationFile="$conf/log4j2.properties" -cp "$(kafka_jars)/*")

# SAGA_KAFKA_EDGES, pairs of ports LISTEN:TOLD: the broker listens at each LISTEN too, and who comes there is told to
# go on at TOLD. So a proxy that listens at TOLD keeps its clients, though brokers tell their addresses.
kafka_properties() { # LOG_DIRS
  local port controller edge n=0 listeners='' told='' protocols=''
  port=$(port_of kafka)
  controller=$(port_of kafka-controller)
  for edge in ${SAGA_KAFKA_EDGES:-}; do
    n=$((n + 1))
    listeners+=,EDGE$n://127.0.0.1:${edge%:*}
    told+=,EDGE$n://127.0.0.1:${edge#*:}
    protocols+=,EDGE$n:PLAINTEXT
  done
  cat "$conf/kafka.properties"
  cat <<END
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller$listeners
advertised.listeners=PLAINTEXT://127.0.0.1:$port$told
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$1
# A killed broker may come back only when its session is over: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# 128 MB of the heap by default.
log.cleaner.dedupe.buffer.size=8388608
END
}

kafka_prepare() {
  local data=$state/data/kafka id
  if [[ ! -d $data ]]; then
    rm -rf "$data.new" # left by a run that was killed
    kafka_properties "$data.new" | write_file "$state/kafka.properties"
    # An id may not begin with a dash, which this alphabet has.
    id=S$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)
    "${kafka_java[@]}" kafka.tools.StorageTool format -t "$id" -c "$state/kafka.properties" >>"$(log_file kafka)" 2>&1
    mv "$data.new" "$data"
  fi
  kafka_properties "$data" | write_file "$state/kafka.properties"
}

# The parallel collector: on two cores, the threads of the default one cost a sixth of the broker's time.
kafka_launch() {
  spawn kafka "${kafka_java[@]}" -server -XX:+UseParallelGC -Xms512m -Xmx1g -XX:+ExitOnOutOfMemoryError kafka.Kafka \
    "$state/kafka.properties"
}

# An open port is not yet a broker: ask for the metadata (key 3, version 1, no topics) and look whether the answer,
# after its length and correlation id, counts one broker.
kafka_answers() {
  local port answer
  port=$(port_of kafka)
  answer=$(
    exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf '\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\0' >&3
    timeout 2 head -c 12 <&3 | od -An -v -tx1 | tr -d ' \n'
  ) || return 1
  [[ ${answer:8} == 0000000100000001 ]]
}

kafka_after_kill() { :; }

kafka_url() { printf '127.0.0.1:%s\n' "$(port_of kafka)"; }

kafka_delete() { rm -rf -- "$state/data/kafka" "$state/data/kafka.new" "$state/kafka.properties"; }
