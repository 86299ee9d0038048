#!/bin/bash
# Makes the secrets of a compose file, each in a file: passwords, settings with passwords, keys.
#
#   docker/make-secrets.sh            docker/secrets, for compose.yaml
#   docker/make-secrets.sh --secure   docker/secrets-secure, for compose.three-centres.yaml: also an
#                                     authority, certificates, and users of Kafka and the registry
#   docker/make-secrets.sh --oracle   docker/secrets-oracle, for compose.yaml with compose.oracle.yaml
#
# It needs openssl. A directory that is there is left as it is. The files may be read by everybody,
# because each container reads its own as another user; the directory is closed instead.
set -euo pipefail
umask 077

here=$(cd "$(dirname "$0")" && pwd)
secure="" oracle=""
case ${1:-} in
    "") made=$here/secrets ;;
    --secure) made=$here/secrets-secure secure=yes ;;
    --oracle) made=$here/secrets-oracle oracle=yes ;;
    *)
        echo "usage: $0 [--secure | --oracle]" >&2
        exit 2
        ;;
esac
if [[ -e $made ]]; then
    echo "$made is there: nothing was changed. Remove it for new secrets." >&2
    exit 1
fi
# All of them or none: an interrupted run leaves no directory under this name.
partial=$(mktemp -d "$here/.secrets.XXXXXX")
trap 'rm -rf "$partial"' EXIT
cd "$partial"

password() { openssl rand -hex 24; }

database() {  # role: the general ledger's address as this role
    local scheme=postgresql+psycopg place=postgres:5432/ledger
    [[ -z $secure ]] || place+="?sslmode=verify-full&sslrootcert=ca.pem"
    if [[ -n $oracle ]]; then
        scheme=oracle place="oracle:1521/?service_name=FREEPDB1"
        [[ $1 == ledger_owner ]] || place+="&schema=ledger_owner"
    fi
    echo "$scheme://$1:$(cat "$1.password")@$place"
}

settings() {  # file, user, database role, posting role or none: the settings of a kind of container
    local service=none
    [[ $4 == none ]] || service=$(database "$4")
    {
        echo "database_url = \"$(database "$3")\""
        echo "service_database_url = \"$service\""
        if [[ -n $oracle ]]; then
            # History is kept in PostgreSQL alone.
            echo 'history = "off"'
        fi
        if [[ -n $secure ]]; then
            echo 'ca_file = "ca.pem"'
            echo 'kafka_security_protocol = "SASL_SSL"'
            echo "kafka_user = \"$2\""
            echo "kafka_password_file = \"$2.password\""
            echo "registry_user = \"$2\""
            echo "registry_password_file = \"$2.password\""
        fi
    } > "$1"
}

certificate() {  # name: its key, and its certificate by the authority for this name, in one file
    local extensions="subjectAltName=DNS:$1,DNS:localhost,IP:127.0.0.1
basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
    openssl req -new -key key.pem -subj "/CN=$1" -out request.pem
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 397 \
        -set_serial "0x$(openssl rand -hex 15)" -extfile <(echo "$extensions") -out certificate.pem \
        2>/dev/null
    cat key.pem certificate.pem > "$1.pem"
    rm key.pem request.pem certificate.pem
}

broker() {  # number: what only this broker has, and the password with which brokers connect
    cat <<END
node.id=$1
broker.rack=dc$1
listeners=SASL_SSL://:9092,CONTROLLER://:9093
advertised.listeners=SASL_SSL://kafka-$1:9092
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="broker" password="$(cat broker.password)";
ssl.keystore.location=/run/secrets/kafka-$1.pem
END
}

registry_users() {  # the registry's certificate, its users, and who may write
    local subjects="/apis/ccompat/v7/subjects/*" user role
    cat <<END
quarkus.http.insecure-requests=disabled
quarkus.http.ssl-port=8443
quarkus.http.ssl.certificate.files=/run/secrets/registry.pem
quarkus.http.ssl.certificate.key-files=/run/secrets/registry.pem
quarkus.http.auth.basic=true
quarkus.security.users.embedded.plain-text=true
quarkus.http.auth.policy.writing.roles-allowed=writing
quarkus.http.auth.permission.write.paths=/*,$subjects,$subjects/versions
quarkus.http.auth.permission.write.policy=writing
quarkus.http.auth.permission.read.paths=/*,$subjects,$subjects/versions
quarkus.http.auth.permission.read.methods=GET,HEAD,OPTIONS
quarkus.http.auth.permission.read.policy=authenticated
quarkus.http.auth.permission.look-up.paths=$subjects
quarkus.http.auth.permission.look-up.methods=POST
quarkus.http.auth.permission.look-up.policy=authenticated
END
    for user in "${users[@]}"; do
        role=reading
        [[ $user != admin ]] || role=writing
        echo "quarkus.security.users.embedded.users.$user=$(cat "$user.password")"
        echo "quarkus.security.users.embedded.roles.$user=$role"
    done
}

users=(broker admin service producer backend finance api)
for role in postgres ledger_owner ledger_service ledger_finance registry; do
    password > "$role.password"
done
[[ -z $oracle ]] || password > oracle.password
echo "apicurio.datasource.password=$(cat registry.password)" > registry.properties
openssl rand -base64 32 > api.key
if [[ -n $secure ]]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 \
        -subj /CN=faust-ledger -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout ca.key -out ca.pem 2>/dev/null
    for name in kafka-1 kafka-2 kafka-3 registry postgres api-1 api-2; do
        certificate "$name"
    done
    for user in "${users[@]}"; do
        password > "$user.password"
        printf -- '--add-scram\nSCRAM-SHA-512=[name=%s,password=%s]\n' "$user" \
            "$(cat "$user.password")" >> kafka.users
    done
    for number in 1 2 3; do
        broker "$number" > "kafka-$number.properties"
    done
    registry_users >> registry.properties
fi
settings setup.toml admin ledger_owner ledger_service
settings worker.toml service ledger_service ledger_service
settings api.toml api ledger_finance none
chmod 444 ./*
# Nobody but whoever makes new certificates needs it.
[[ -z $secure ]] || chmod 400 ca.key
mv "$partial" "$made"
trap - EXIT
echo "made $made"
