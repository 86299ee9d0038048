"""Of Oracle's dictionary what the ledger reads, as H2 can say it."""

DICTIONARY = (
    (
        "CREATE TABLE nls_database_parameters AS SELECT 'NLS_CHARACTERSET' AS parameter,"
        " 'AL32UTF8' AS value FROM dual"
    ),
    (
        "CREATE VIEW user_tables AS SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = CURRENT_SCHEMA AND table_type = 'BASE TABLE'"
    ),
    (
        "CREATE VIEW all_tables AS SELECT table_name, table_schema AS owner"
        " FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    ),
    (
        "CREATE VIEW all_views AS SELECT table_name AS view_name, table_schema AS owner"
        " FROM information_schema.views"
    ),
    (
        "CREATE VIEW user_indexes AS SELECT index_name FROM information_schema.indexes"
        " WHERE index_schema = CURRENT_SCHEMA"
    ),
    (
        "CREATE VIEW all_constraints AS SELECT constraint_schema AS owner, table_name,"
        " constraint_name, 'ENABLED' AS status, 'VALIDATED' AS validated"
        " FROM information_schema.table_constraints"
    ),
    "CREATE VIEW all_users AS SELECT user_name AS username FROM information_schema.users",
    (
        "CREATE VIEW user_tab_privs_made AS SELECT grantee, table_name, privilege_type AS privilege,"
        " is_grantable AS grantable FROM information_schema.table_privileges WHERE FALSE"
    ),
    "CREATE VIEW session_privs AS SELECT 'CREATE SESSION' AS privilege FROM dual",
    (
        "CREATE VIEW user_tab_privs_recd AS SELECT table_schema AS owner, table_name,"
        " privilege_type AS privilege FROM information_schema.table_privileges WHERE FALSE"
    ),
    (
        "CREATE VIEW user_col_privs_recd AS SELECT table_schema AS owner, table_name,"
        " privilege_type AS privilege, column_name FROM information_schema.column_privileges"
        " WHERE FALSE"
    ),
    (
        "CREATE VIEW user_col_privs_made AS SELECT grantee, table_name, column_name,"
        " privilege_type AS privilege, is_grantable AS grantable"
        " FROM information_schema.column_privileges WHERE FALSE"
    ),
)
