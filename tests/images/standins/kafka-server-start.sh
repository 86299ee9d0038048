#!/bin/bash
# Stand-in of the script in Kafka's own image.
read -ra heap <<< "${KAFKA_HEAP_OPTS:-}"
exec /opt/jre/bin/java "${heap[@]}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -cp "$(cat /opt/classpath)" kafka.Kafka "$@"
