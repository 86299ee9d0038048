#!/bin/bash
# Starts a broker in Kafka's own image: its storage is formatted once, then it runs as PID 1.
#
# server.properties is that of the directory /etc/ledger; what only this broker has, and secrets, is
# in /run/secrets/kafka.properties, and the users of a secure cluster, for the first start, are in
# /run/secrets/kafka.users, as arguments of kafka-storage.sh, one a line. Both may be missing.
set -euo pipefail
umask 077

properties=/tmp/server.properties
cat /etc/ledger/server.properties > "$properties"
if [[ -e /run/secrets/kafka.properties ]]; then
    cat /run/secrets/kafka.properties >> "$properties"
fi
users=()
if [[ -e /run/secrets/kafka.users ]]; then
    # A file, for everybody sees a process's arguments.
    users=(@/run/secrets/kafka.users)
fi
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "$LEDGER_CLUSTER_ID" \
    --config "$properties" "${users[@]}"
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
