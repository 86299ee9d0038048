#!/bin/bash
# Stand-in of the entrypoint of PostgreSQL's own image: it makes a cluster once, runs the scripts that
# are mounted, and serves as the first process. https://github.com/docker-library/postgres
set -euo pipefail
export PGDATA=/var/lib/postgresql/18/docker PATH=$PGBIN:$PATH
if [[ $(id -u) == 0 ]]; then
    mkdir -p "$PGDATA"
    chown -R postgres /var/lib/postgresql
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
# The image's command: postgres, or options for it.
[[ ${1:-} != postgres ]] || shift
if [[ ! -e $PGDATA/PG_VERSION ]]; then
    read -ra given <<< "${POSTGRES_INITDB_ARGS:-}"
    initdb -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-host=scram-sha-256 \
        --auth-local=trust "${given[@]}"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl --wait -o "-c listen_addresses= -c unix_socket_directories=/tmp" start
    for script in /docker-entrypoint-initdb.d/*.sh; do
        PGHOST=/tmp bash "$script"
    done
    pg_ctl --wait --mode fast stop
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
