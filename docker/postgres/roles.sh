#!/bin/bash
# Makes the ledger's roles and databases, when PostgreSQL's own image makes a new cluster.
#
# Passwords are in /run/secrets, a file for each role. Tables and rights are made by
# `faust-ledger setup`, as ledger_owner.
set -euo pipefail

for role in ledger_owner ledger_service ledger_finance registry; do
    # psql reads the file itself: everybody sees a process's arguments.
    psql --no-psqlrc --set ON_ERROR_STOP=1 --set role="$role" --username "$POSTGRES_USER" \
        --dbname postgres <<'SQL'
\set file '/run/secrets/' :role '.password'
\set password `cat :file`
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
done
createdb --username "$POSTGRES_USER" --owner ledger_owner ledger
createdb --username "$POSTGRES_USER" --owner registry registry
