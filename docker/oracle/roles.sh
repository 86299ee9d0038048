#!/bin/bash
# Makes the ledger's roles, when the image of Oracle Database Free makes a new database.
#
# Passwords are in /run/secrets, a file for each role. Tables and rights are made by
# `faust-ledger setup`, as ledger_owner, who owns the schema.
set -euo pipefail

create() {  # role, what it may do beside connecting
    # On standard input: everybody sees a process's arguments.
    sqlplus -s -L / as sysdba <<SQL
WHENEVER SQLERROR EXIT FAILURE
WHENEVER OSERROR EXIT FAILURE
ALTER SESSION SET CONTAINER = FREEPDB1;
CREATE USER $1 IDENTIFIED BY "$(cat "/run/secrets/$1.password")";
GRANT CREATE SESSION$2 TO $1;
SQL
}

create ledger_owner ", CREATE TABLE"
create ledger_service ""
create ledger_finance ""
sqlplus -s -L / as sysdba <<'SQL'
WHENEVER SQLERROR EXIT FAILURE
ALTER SESSION SET CONTAINER = FREEPDB1;
ALTER USER ledger_owner QUOTA UNLIMITED ON users;
SQL
