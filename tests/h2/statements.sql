-- Reviewed against Oracle 19c. tests/h2/golden.py has what this file is for.

-- 
ALTER SESSION SET COMMIT_LOGGING = IMMEDIATE
;

-- 
ALTER SESSION SET COMMIT_WAIT = WAIT
;

-- 
ALTER SESSION SET CURRENT_SCHEMA = ledger_owner
;

-- 
ALTER SESSION SET NLS_SORT = BINARY NLS_COMP = BINARY NLS_NUMERIC_CHARACTERS = '.,'
;

-- 
ALTER SESSION SET TIME_ZONE = '+00:00'
;

-- 
CREATE INDEX entries_by_account ON entries (account)
;

-- 
CREATE INDEX stripes_by_shard ON stripes (shard)
;

-- 
CREATE INDEX transactions_by_id ON transactions (transaction_id)
;

-- 
CREATE TABLE alembic_version (
	version_num VARCHAR2(32 CHAR) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
;

-- 
CREATE TABLE currencies (
    code VARCHAR2(32 BYTE) NOT NULL,
    scale NUMBER(2) NOT NULL,
    CONSTRAINT currencies_pk PRIMARY KEY (code),
    CONSTRAINT currencies_scale CHECK (scale BETWEEN 0 AND 18)
)
;

-- 
CREATE TABLE entries (
    shard NUMBER(10) NOT NULL
)
PARTITION BY HASH (shard) PARTITIONS 8
;

-- 
CREATE TABLE entries (
    shard NUMBER(10) NOT NULL,
    log_offset NUMBER(19) NOT NULL,
    entry NUMBER(5) NOT NULL,
    account VARCHAR2(255 BYTE) NOT NULL,
    currency VARCHAR2(32 BYTE) NOT NULL,
    side VARCHAR2(1 BYTE) NOT NULL,
    amount NUMBER(38) NOT NULL,
    CONSTRAINT entries_pk PRIMARY KEY (shard, log_offset, entry),
    CONSTRAINT entries_side CHECK (side IN ('D', 'C')),
    CONSTRAINT entries_amount CHECK (amount > 0),
    CONSTRAINT entries_position CHECK (shard >= 0 AND log_offset >= 0 AND entry >= 0)
)
;

-- 
CREATE TABLE runs (
    shard NUMBER(10) NOT NULL,
    decisions_offset NUMBER(19) NOT NULL,
    start_offset NUMBER(19) NOT NULL,
    end_offset NUMBER(19) NOT NULL,
    follows RAW(32) NOT NULL,
    digest RAW(32) NOT NULL,
    outcomes_digest RAW(32) NOT NULL,
    recorded_until TIMESTAMP(6) WITH TIME ZONE NOT NULL,
    reference_offset NUMBER(19) NOT NULL,
    accepted NUMBER(10) NOT NULL,
    posted_at TIMESTAMP(6) WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
    reference_digest RAW(32),
    CONSTRAINT runs_pk PRIMARY KEY (shard, decisions_offset),
    CONSTRAINT runs_order CHECK (start_offset <= end_offset),
    CONSTRAINT runs_decided_with CHECK (LENGTH(RAWTOHEX(reference_digest)) = 64),
    CONSTRAINT runs_position CHECK (shard >= 0 AND decisions_offset >= 0 AND start_offset >= 0),
    CONSTRAINT runs_accepted CHECK (accepted >= 0 AND accepted <= end_offset - start_offset),
    CONSTRAINT runs_digests CHECK (LENGTH(RAWTOHEX(follows)) = 64 AND LENGTH(RAWTOHEX(digest)) = 64 AND LENGTH(RAWTOHEX(outcomes_digest)) = 64),
    CONSTRAINT runs_times CHECK (EXTRACT(YEAR FROM recorded_until) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM recorded_until) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM recorded_until) = 0 AND EXTRACT(YEAR FROM posted_at) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM posted_at) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM posted_at) = 0)
)
;

-- 
CREATE TABLE shards (
    shard NUMBER(10) NOT NULL,
    decisions_offset NUMBER(19) NOT NULL,
    end_offset NUMBER(19) NOT NULL,
    digest RAW(32) NOT NULL,
    recorded_until TIMESTAMP(6) WITH TIME ZONE NOT NULL,
    CONSTRAINT shards_pk PRIMARY KEY (shard),
    CONSTRAINT shards_digest CHECK (LENGTH(RAWTOHEX(digest)) = 64),
    CONSTRAINT shards_position CHECK (shard >= 0 AND decisions_offset >= 0 AND end_offset >= 0),
    CONSTRAINT shards_times CHECK (EXTRACT(YEAR FROM recorded_until) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM recorded_until) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM recorded_until) = 0)
)
;

-- 
CREATE TABLE stripes (
    account VARCHAR2(255 BYTE) NOT NULL,
    currency VARCHAR2(32 BYTE) NOT NULL,
    shard NUMBER(10) NOT NULL,
    debits NUMBER(38) NOT NULL,
    credits NUMBER(38) NOT NULL,
    entries NUMBER(19) NOT NULL,
    last_offset NUMBER(19) NOT NULL,
    CONSTRAINT stripes_pk PRIMARY KEY (account, currency, shard),
    CONSTRAINT stripes_position CHECK (shard >= 0 AND entries >= 0 AND last_offset >= 0),
    CONSTRAINT stripes_totals CHECK (debits >= 0 AND credits >= 0)
)
;

-- 
CREATE TABLE transactions (
    shard NUMBER(10) NOT NULL,
    log_offset NUMBER(19) NOT NULL,
    transaction_id VARCHAR2(128 CHAR) NOT NULL,
    kind VARCHAR2(64 CHAR) NOT NULL,
    description VARCHAR2(1000 CHAR),
    effective_at TIMESTAMP(6) WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP(6) WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP(6) WITH TIME ZONE NOT NULL,
    ordering_key VARCHAR2(128 CHAR),
    reverses VARCHAR2(128 CHAR),
    metadata VARCHAR2(4000 BYTE),
    CONSTRAINT transactions_pk PRIMARY KEY (shard, log_offset),
    CONSTRAINT transactions_position CHECK (shard >= 0 AND log_offset >= 0),
    CONSTRAINT transactions_times CHECK (EXTRACT(YEAR FROM effective_at) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM effective_at) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM effective_at) = 0 AND EXTRACT(YEAR FROM recorded_at) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM recorded_at) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM recorded_at) = 0 AND EXTRACT(YEAR FROM created_at) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM created_at) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM created_at) = 0)
)
;

-- 
CREATE TABLE voids (
    shard NUMBER(10) NOT NULL,
    log_offset NUMBER(19) NOT NULL,
    void_offset NUMBER(19) NOT NULL,
    recorded_at TIMESTAMP(6) WITH TIME ZONE NOT NULL,
    run_offset NUMBER(19) NOT NULL,
    decisions_offset NUMBER(19) NOT NULL,
    authority NUMBER(19) NOT NULL,
    reason VARCHAR2(4000 BYTE),
    content BLOB NOT NULL,
    was_posted NUMBER(1) NOT NULL,
    CONSTRAINT voids_pk PRIMARY KEY (shard, log_offset),
    CONSTRAINT voids_was_posted CHECK (was_posted IN (0, 1)),
    CONSTRAINT voids_position CHECK (shard >= 0 AND log_offset >= 0 AND run_offset >= 0),
    CONSTRAINT voids_order CHECK (void_offset > log_offset AND decisions_offset > run_offset),
    CONSTRAINT voids_authority CHECK (authority >= 0),
    CONSTRAINT voids_times CHECK (EXTRACT(YEAR FROM recorded_at) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM recorded_at) = 0 AND EXTRACT(TIMEZONE_MINUTE FROM recorded_at) = 0)
)
;

-- 
GRANT SELECT ON currencies TO ledger_finance
;

-- 
GRANT SELECT ON entries TO ledger_finance
;

-- 
GRANT SELECT ON runs TO ledger_finance
;

-- 
GRANT SELECT ON shards TO ledger_finance
;

-- 
GRANT SELECT ON stripes TO ledger_finance
;

-- 
GRANT SELECT ON transactions TO ledger_finance
;

-- 
GRANT SELECT ON voids TO ledger_finance
;

-- 
GRANT SELECT, INSERT (shard, decisions_offset, start_offset, end_offset, follows, digest, outcomes_digest, recorded_until, reference_offset, accepted, reference_digest) ON runs TO ledger_service
;

-- 
GRANT SELECT, INSERT ON currencies TO ledger_service
;

-- 
GRANT SELECT, INSERT ON entries TO ledger_service
;

-- 
GRANT SELECT, INSERT ON transactions TO ledger_service
;

-- 
GRANT SELECT, INSERT ON voids TO ledger_service
;

-- 
GRANT SELECT, INSERT, UPDATE (debits, credits, entries, last_offset) ON stripes TO ledger_service
;

-- 
GRANT SELECT, INSERT, UPDATE (decisions_offset, end_offset, digest, recorded_until) ON shards TO ledger_service
;

-- :ret_n Variable
INSERT INTO alembic_version (version_num) VALUES ('0001') RETURNING alembic_version.version_num INTO :ret_n
;

-- :account str, :amount int, :currency str, :entry int, :log_offset int, :shard int, :side str
INSERT INTO entries (shard, log_offset, entry, account, currency, side, amount) VALUES (:shard, :log_offset, :entry, :account, :currency, :side, :amount)
;

-- :accepted int, :decisions_offset int, :digest bytes, :end_offset int, :follows bytes, :outcomes_digest bytes, :recorded_until datetime, :reference_digest bytes, :reference_offset int, :shard int, :start_offset int
INSERT INTO runs (shard, decisions_offset, start_offset, end_offset, follows, digest, outcomes_digest, recorded_until, reference_offset, accepted, reference_digest) VALUES (:shard, :decisions_offset, :start_offset, :end_offset, :follows, :digest, :outcomes_digest, :recorded_until, :reference_offset, :accepted, :reference_digest)
;

-- :decisions_offset int, :digest bytes, :end_offset int, :recorded_until datetime, :shard int
INSERT INTO shards (shard, decisions_offset, end_offset, digest, recorded_until) VALUES (:shard, :decisions_offset, :end_offset, :digest, :recorded_until)
;

-- :account str, :credits int, :currency str, :debits int, :entries int, :last_offset int, :shard int
INSERT INTO stripes (account, currency, shard, debits, credits, entries, last_offset) VALUES (:account, :currency, :shard, :debits, :credits, :entries, :last_offset)
;

-- :created_at datetime, :description str, :effective_at datetime, :kind str, :log_offset int, :metadata str, :ordering_key str, :recorded_at datetime, :reverses str, :shard int, :transaction_id str
INSERT INTO transactions (shard, log_offset, transaction_id, kind, description, effective_at, recorded_at, created_at, ordering_key, reverses, metadata) VALUES (:shard, :log_offset, :transaction_id, :kind, :description, :effective_at, :recorded_at, :created_at, :ordering_key, :reverses, :metadata)
;

-- :authority int, :content bytes, :decisions_offset int, :log_offset int, :reason str, :recorded_at datetime, :run_offset int, :shard int, :void_offset int, :was_posted int
INSERT INTO voids (shard, log_offset, void_offset, recorded_at, run_offset, decisions_offset, authority, reason, content, was_posted) VALUES (:shard, :log_offset, :void_offset, :recorded_at, :run_offset, :decisions_offset, :authority, :reason, :content, :was_posted)
;

-- :currency str, :decimals int
MERGE INTO currencies known
USING (SELECT CAST(:currency AS VARCHAR2(32)) AS code, CAST(:decimals AS NUMBER(2)) AS scale
    FROM dual) given
ON (known.code = given.code)
WHEN NOT MATCHED THEN INSERT (code, scale) VALUES (given.code, given.scale)
;

-- :first_offset int, :of_shard int, :past_offset int
MERGE INTO stripes known
USING (
    SELECT account, currency, shard,
        SUM(CASE WHEN side = 'D' THEN amount ELSE 0 END) AS debits,
        SUM(CASE WHEN side = 'C' THEN amount ELSE 0 END) AS credits,
        COUNT(*) AS entries, MAX(log_offset) AS last_offset
    FROM entries
    WHERE shard = :of_shard AND log_offset >= :first_offset AND log_offset < :past_offset
    GROUP BY account, currency, shard
) added
ON (known.account = added.account AND known.currency = added.currency
    AND known.shard = added.shard)
WHEN MATCHED THEN UPDATE SET
    known.debits = known.debits + added.debits, known.credits = known.credits + added.credits,
    known.entries = known.entries + added.entries, known.last_offset = added.last_offset
WHEN NOT MATCHED THEN INSERT
    (account, currency, shard, debits, credits, entries, last_offset)
    VALUES (added.account, added.currency, added.shard, added.debits, added.credits,
        added.entries, added.last_offset)
;

-- 
REVOKE UPDATE ON RUNS FROM SOMEBODY
;

-- 
ROLLBACK TO SAVEPOINT sa_savepoint_n
;

-- 
SAVEPOINT sa_savepoint_n
;

-- :log_offset_n int, :shard_n int, :was_posted_n int
SELECT (SELECT count(*) AS count_1
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset >= :log_offset_n AND transactions.log_offset < :log_offset_n) + (SELECT count(*) AS count_2
FROM voids
WHERE voids.shard = :shard_n AND voids.log_offset >= :log_offset_n AND voids.log_offset < :log_offset_n AND voids.was_posted = :was_posted_n) AS anon_n FROM DUAL
;

-- 
SELECT 1 FROM DUAL
;

-- 
SELECT 1.1 FROM DUAL
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- :account_n str, :param_n int, :side_n str
SELECT DISTINCT entries.shard, entries.log_offset, entries.currency, entries.side, entries.account
FROM entries JOIN (SELECT DISTINCT anon_n.shard AS shard, anon_n.log_offset AS log_offset
FROM (SELECT transactions.effective_at AS effective_at, transactions.recorded_at AS recorded_at, entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry, transactions.transaction_id AS transaction_id, transactions.kind AS kind, transactions.description AS description, transactions.reverses AS reverses, entries.currency AS currency, currencies.scale AS scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC) anon_n) anon_n ON entries.shard = anon_n.shard AND entries.log_offset = anon_n.log_offset
;

-- 
SELECT DISTINCT stripes.currency
FROM stripes
;

-- :account_n str, :log_offset_n int, :reverses_n str, :shard_n int
SELECT DISTINCT transactions.transaction_id, transactions.shard, transactions.log_offset, transactions.effective_at, transactions.recorded_at
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE entries.account = :account_n AND transactions.shard = :shard_n AND transactions.log_offset > :log_offset_n AND transactions.log_offset < :log_offset_n AND transactions.reverses = :reverses_n ORDER BY transactions.log_offset
;

-- 
SELECT USER FROM dual
;

-- 
SELECT alembic_version.version_num
FROM alembic_version
;

-- :decisions_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard < :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard >= :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard = :shard_n AND runs.decisions_offset < :decisions_offset_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard = :shard_n AND runs.decisions_offset >= :decisions_offset_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :decisions_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard > :shard_n AND runs.shard < :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard < :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard >= :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard = :shard_n AND runs.decisions_offset < :decisions_offset_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard = :shard_n AND runs.decisions_offset >= :decisions_offset_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :shard_n int
SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard > :shard_n AND runs.shard < :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard < :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.decisions_offset
FROM (SELECT runs.shard AS shard, runs.decisions_offset AS decisions_offset
FROM runs
WHERE runs.shard >= :shard_n ORDER BY runs.shard, runs.decisions_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard < :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard >= :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset < :log_offset_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset >= :log_offset_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard > :shard_n AND transactions.shard < :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard < :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard >= :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset < :log_offset_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset >= :log_offset_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :shard_n int
SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard > :shard_n AND transactions.shard < :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard < :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT transactions.shard AS shard, transactions.log_offset AS log_offset
FROM transactions
WHERE transactions.shard >= :shard_n ORDER BY transactions.shard, transactions.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard < :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard >= :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard = :shard_n AND voids.log_offset < :log_offset_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard = :shard_n AND voids.log_offset >= :log_offset_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard > :shard_n AND voids.shard < :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard < :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard >= :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard = :shard_n AND voids.log_offset < :log_offset_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard = :shard_n AND voids.log_offset >= :log_offset_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :shard_n int
SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard > :shard_n AND voids.shard < :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard < :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.log_offset
FROM (SELECT voids.shard AS shard, voids.log_offset AS log_offset
FROM voids
WHERE voids.shard >= :shard_n ORDER BY voids.shard, voids.log_offset
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard < :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard >= :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard = :shard_n AND entries.log_offset < :log_offset_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard = :shard_n AND entries.log_offset >= :log_offset_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard > :shard_n AND entries.shard < :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard < :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard >= :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard = :shard_n AND entries.log_offset < :log_offset_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard = :shard_n AND entries.log_offset >= :log_offset_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- :shard_n int
SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard > :shard_n AND entries.shard < :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard < :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n UNION ALL SELECT anon_n.shard, anon_n.log_offset, anon_n.entry
FROM (SELECT entries.shard AS shard, entries.log_offset AS log_offset, entries.entry AS entry
FROM entries
WHERE entries.shard >= :shard_n ORDER BY entries.shard, entries.log_offset, entries.entry
 FETCH FIRST n ROWS ONLY) anon_n
 FETCH FIRST n ROWS ONLY
;

-- 
SELECT count(*) AS count_1
FROM currencies
WHERE 0 = 1
;

-- 
SELECT count(*) AS count_1
FROM entries
WHERE 0 = 1
;

-- 
SELECT count(*) AS count_1
FROM runs
WHERE 0 = 1
;

-- 
SELECT count(*) AS count_1
FROM shards
WHERE 0 = 1
;

-- 
SELECT count(*) AS count_1
FROM stripes
WHERE 0 = 1
;

-- 
SELECT count(*) AS count_1
FROM transactions
WHERE 0 = 1
;

-- 
SELECT count(*) AS count_1
FROM voids
WHERE 0 = 1
;

-- 
SELECT currencies.code
FROM currencies
;

-- 
SELECT currencies.code, currencies.scale
FROM currencies
;

-- :code_n_n str
SELECT currencies.code, currencies.scale
FROM currencies
WHERE currencies.code IN (:code_n_n, ...)
;

-- :coalesce_n int, :log_offset_n int, :param_n int, :shard_n int, :side_n str
SELECT entries.account, entries.currency, coalesce(currencies.scale, :coalesce_n) AS coalesce_1, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries LEFT OUTER JOIN currencies ON currencies.code = entries.currency
WHERE entries.shard = :shard_n AND entries.log_offset = :log_offset_n ORDER BY entries.entry
;

-- :account_n str, :account_n_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :account_n_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :account_n_n str, :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :account_n_n str, :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :effective_at_n datetime, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n AND transactions.recorded_at < :recorded_at_n GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.effective_at < :effective_at_n GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :account_n_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :account_n_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset AND voids.recorded_at < :recorded_at_n)) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :account_n_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND (entries.account = :account_n OR (entries.account LIKE :account_n || '%' ESCAPE '/')) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :account_n_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n AND entries.account IN (:account_n_n, ...) GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.account, entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN currencies ON currencies.code = entries.currency JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset
WHERE transactions.recorded_at < :recorded_at_n GROUP BY entries.account, entries.currency, currencies.scale ORDER BY entries.account, entries.currency
;

-- :log_offset_n int, :param_n int, :shard_n int, :side_n str
SELECT entries.account, entries.currency, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1, max(entries.log_offset) AS max_1
FROM entries
WHERE entries.shard = :shard_n AND entries.log_offset < :log_offset_n GROUP BY entries.account, entries.currency
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND entries.currency = :currency_n AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.effective_at < :effective_at_n AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.effective_at < :effective_at_n AND entries.currency = :currency_n AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) AND entries.currency = :currency_n AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.recorded_at < :recorded_at_n AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT entries.currency, currencies.scale, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_1, sum(CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END) AS sum_2, count(*) AS count_1
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE transactions.recorded_at < :recorded_at_n AND entries.currency = :currency_n AND entries.account = :account_n GROUP BY entries.currency, currencies.scale ORDER BY entries.currency
;

-- :coalesce_n int, :log_offset_n int, :shard_n int, :side_n str
SELECT entries.log_offset, entries.account, entries.currency, coalesce(currencies.scale, :coalesce_n) AS coalesce_1, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE -entries.amount END AS anon_n
FROM entries LEFT OUTER JOIN currencies ON currencies.code = entries.currency
WHERE entries.shard = :shard_n AND entries.log_offset BETWEEN :log_offset_n AND :log_offset_n ORDER BY entries.log_offset, entries.entry
;

-- :count_n int, :min_n int
SELECT entries.shard, entries.log_offset, count(*) AS count_1, min(entries.entry) AS min_1, max(entries.entry) AS max_1, count(transactions.shard) AS count_2
FROM entries LEFT OUTER JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset GROUP BY entries.shard, entries.log_offset
HAVING count(transactions.shard) = :count_n OR min(entries.entry) != :min_n OR max(entries.entry) != count(*) - :count_n
 FETCH FIRST n ROWS ONLY
;

-- 
SELECT grantee, table_name, privilege, NULL AS column_name, grantable FROM user_tab_privs_made
UNION ALL
SELECT grantee, table_name, privilege, column_name, grantable FROM user_col_privs_made
;

-- 
SELECT index_name FROM user_indexes
;

-- 
SELECT owner, table_name, privilege, NULL AS column_name FROM user_tab_privs_recd
UNION ALL SELECT owner, table_name, privilege, column_name FROM user_col_privs_recd
;

-- 
SELECT privilege FROM session_privs WHERE privilege <> 'CREATE SESSION'
;

-- :shard_n int
SELECT runs.decisions_offset, runs.start_offset, runs.end_offset, runs.accepted
FROM runs
WHERE runs.shard = :shard_n ORDER BY runs.decisions_offset DESC
 FETCH FIRST n ROWS ONLY
;

-- :decisions_offset_n int, :shard_n int
SELECT runs.decisions_offset, runs.start_offset, runs.end_offset, runs.posted_at
FROM runs
WHERE runs.shard = :shard_n AND runs.decisions_offset >= :decisions_offset_n ORDER BY runs.decisions_offset
 FETCH FIRST n ROWS ONLY
;

-- :posted_at_n datetime
SELECT runs.shard, runs.decisions_offset
FROM runs
WHERE runs.posted_at > CURRENT_TIMESTAMP + interval '1' hour OR runs.posted_at < :posted_at_n
 FETCH FIRST n ROWS ONLY
;

-- :decisions_offset_n int, :shard_n int
SELECT runs.shard, runs.decisions_offset, runs.start_offset, runs.end_offset, runs.follows, runs.digest, runs.outcomes_digest, runs.recorded_until, runs.reference_offset, runs.accepted, runs.reference_digest
FROM runs
WHERE runs.shard = :shard_n AND runs.decisions_offset >= :decisions_offset_n ORDER BY runs.decisions_offset
 FETCH FIRST n ROWS ONLY
;

-- :decisions_offset_n int
SELECT shards.shard
FROM shards LEFT OUTER JOIN runs ON runs.shard = shards.shard AND runs.decisions_offset = shards.decisions_offset - :decisions_offset_n AND runs.end_offset = shards.end_offset AND runs.digest = shards.digest AND runs.recorded_until = shards.recorded_until
WHERE runs.shard IS NULL ORDER BY shards.shard
;

-- :decisions_offset_n int
SELECT shards.shard, runs.posted_at
FROM shards JOIN runs ON runs.shard = shards.shard AND runs.decisions_offset = shards.decisions_offset - :decisions_offset_n ORDER BY shards.shard
;

-- :shard_n int
SELECT shards.shard, shards.decisions_offset, shards.end_offset, shards.digest, shards.recorded_until
FROM shards
WHERE shards.shard = :shard_n ORDER BY shards.shard
;

-- 
SELECT shards.shard, shards.decisions_offset, shards.end_offset, shards.digest, shards.recorded_until
FROM shards ORDER BY shards.shard
;

-- :account_n str, :account_n_n str
SELECT stripes.account, stripes.currency, currencies.scale, sum(stripes.debits) AS sum_1, sum(stripes.credits) AS sum_2, sum(stripes.entries) AS sum_3
FROM stripes JOIN currencies ON currencies.code = stripes.currency
WHERE (stripes.account = :account_n OR (stripes.account LIKE :account_n || '%' ESCAPE '/')) AND stripes.account IN (:account_n_n, ...) GROUP BY stripes.account, stripes.currency, currencies.scale ORDER BY stripes.account, stripes.currency
;

-- :account_n str
SELECT stripes.account, stripes.currency, currencies.scale, sum(stripes.debits) AS sum_1, sum(stripes.credits) AS sum_2, sum(stripes.entries) AS sum_3
FROM stripes JOIN currencies ON currencies.code = stripes.currency
WHERE stripes.account = :account_n OR (stripes.account LIKE :account_n || '%' ESCAPE '/') GROUP BY stripes.account, stripes.currency, currencies.scale ORDER BY stripes.account, stripes.currency
;

-- :account_n_n str
SELECT stripes.account, stripes.currency, currencies.scale, sum(stripes.debits) AS sum_1, sum(stripes.credits) AS sum_2, sum(stripes.entries) AS sum_3
FROM stripes JOIN currencies ON currencies.code = stripes.currency
WHERE stripes.account IN (:account_n_n, ...) GROUP BY stripes.account, stripes.currency, currencies.scale ORDER BY stripes.account, stripes.currency
;

-- 
SELECT stripes.account, stripes.currency, currencies.scale, sum(stripes.debits) AS sum_1, sum(stripes.credits) AS sum_2, sum(stripes.entries) AS sum_3
FROM stripes JOIN currencies ON currencies.code = stripes.currency GROUP BY stripes.account, stripes.currency, currencies.scale ORDER BY stripes.account, stripes.currency
;

-- :account_n str, :currency_n str, :shard_n int
SELECT stripes.account, stripes.currency, stripes.debits, stripes.credits, stripes.entries, stripes.last_offset
FROM stripes
WHERE stripes.account = :account_n AND stripes.currency = :currency_n AND stripes.shard = :shard_n
;

-- :last_offset_n int, :shard_n int
SELECT stripes.account, stripes.currency, stripes.debits, stripes.credits, stripes.entries, stripes.last_offset
FROM stripes
WHERE stripes.shard = :shard_n AND stripes.last_offset >= :last_offset_n
;

-- :first_offset int, :of_shard int, :past_offset int
SELECT stripes.account, stripes.currency, stripes.debits, stripes.credits, stripes.entries, stripes.last_offset
FROM stripes JOIN (SELECT DISTINCT entries.account AS account, entries.currency AS currency
FROM entries
WHERE entries.shard = :of_shard AND entries.log_offset >= :first_offset AND entries.log_offset < :past_offset) anon_n ON stripes.account = anon_n.account AND stripes.currency = anon_n.currency
WHERE stripes.shard = :of_shard
;

-- :last_offset_n int, :shard_n int
SELECT stripes.account, stripes.currency, stripes.shard
FROM stripes LEFT OUTER JOIN shards ON shards.shard = stripes.shard AND shards.shard BETWEEN :shard_n AND :shard_n
WHERE shards.shard IS NULL OR stripes.last_offset < :last_offset_n OR stripes.last_offset >= shards.end_offset
 FETCH FIRST n ROWS ONLY
;

-- :account_n_n str
SELECT stripes.account, sum(stripes.entries) AS sum_1
FROM stripes
WHERE stripes.account IN (:account_n_n, ...) GROUP BY stripes.account ORDER BY sum(stripes.entries), stripes.account
 FETCH FIRST n ROWS ONLY
;

-- :account_n str
SELECT stripes.currency, currencies.scale, sum(stripes.debits) AS sum_1, sum(stripes.credits) AS sum_2, sum(stripes.entries) AS sum_3
FROM stripes JOIN currencies ON currencies.code = stripes.currency
WHERE stripes.account = :account_n GROUP BY stripes.currency, currencies.scale ORDER BY stripes.currency
;

-- :account_n str, :currency_n str
SELECT stripes.currency, currencies.scale, sum(stripes.debits) AS sum_1, sum(stripes.credits) AS sum_2, sum(stripes.entries) AS sum_3
FROM stripes JOIN currencies ON currencies.code = stripes.currency
WHERE stripes.currency = :currency_n AND stripes.account = :account_n GROUP BY stripes.currency, currencies.scale ORDER BY stripes.currency
;

-- 
SELECT stripes.shard, stripes.account, stripes.currency, stripes.debits, stripes.credits, stripes.entries, stripes.last_offset
FROM stripes ORDER BY stripes.account, stripes.currency, stripes.shard
;

-- 
SELECT table_name FROM user_tables
;

-- :tables_owner str
SELECT table_name, constraint_name FROM all_constraints
WHERE owner = :tables_owner AND status = 'ENABLED' AND validated = 'VALIDATED'
;

-- :owner str, :table_names_n str
SELECT tables_and_views.table_name
FROM (SELECT a_tables.table_name AS table_name, a_tables.owner AS owner
FROM all_tables a_tables UNION ALL SELECT a_views.view_name AS table_name, a_views.owner AS owner
FROM all_views a_views) tables_and_views
WHERE tables_and_views.table_name IN (:table_names_n, ...) AND tables_and_views.owner = :owner
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :currency_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND entries.currency = :currency_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n AND transactions.effective_at < :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :effective_at_n datetime, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.effective_at >= :effective_at_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n AND NOT (EXISTS (SELECT *
FROM voids
WHERE voids.shard = entries.shard AND voids.log_offset = entries.log_offset)) ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n AND transactions.recorded_at < :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :recorded_at_n datetime, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n AND transactions.recorded_at >= :recorded_at_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.effective_at DESC, transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
 FETCH FIRST n ROWS ONLY
;

-- :account_n str, :param_n int, :side_n str
SELECT transactions.effective_at, transactions.recorded_at, entries.shard, entries.log_offset, entries.entry, transactions.transaction_id, transactions.kind, transactions.description, transactions.reverses, entries.currency, currencies.scale, CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END - CASE WHEN (entries.side = :side_n) THEN entries.amount ELSE :param_n END AS anon_n
FROM entries JOIN transactions ON transactions.shard = entries.shard AND transactions.log_offset = entries.log_offset JOIN currencies ON currencies.code = entries.currency
WHERE entries.account = :account_n ORDER BY transactions.recorded_at DESC, entries.shard DESC, entries.log_offset DESC, entries.entry DESC
;

-- :log_offset_n int, :shard_n int
SELECT transactions.shard, transactions.log_offset, transactions.transaction_id, transactions.kind, transactions.description, transactions.effective_at, transactions.recorded_at, transactions.created_at, transactions.ordering_key, transactions.reverses, transactions.metadata
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset < :log_offset_n AND transactions.log_offset >= :log_offset_n ORDER BY transactions.log_offset
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT transactions.shard, transactions.log_offset, transactions.transaction_id, transactions.kind, transactions.description, transactions.effective_at, transactions.recorded_at, transactions.created_at, transactions.ordering_key, transactions.reverses, transactions.metadata
FROM transactions
WHERE transactions.shard = :shard_n AND transactions.log_offset >= :log_offset_n ORDER BY transactions.log_offset
 FETCH FIRST n ROWS ONLY
;

-- :transaction_id_n str
SELECT transactions.shard, transactions.log_offset, transactions.transaction_id, transactions.kind, transactions.description, transactions.effective_at, transactions.recorded_at, transactions.created_at, transactions.ordering_key, transactions.reverses, transactions.metadata
FROM transactions
WHERE transactions.transaction_id = :transaction_id_n
;

-- :transaction_id_n_n str
SELECT transactions.transaction_id, transactions.shard, transactions.log_offset, transactions.created_at, transactions.recorded_at
FROM transactions
WHERE transactions.transaction_id IN (:transaction_id_n_n, ...)
;

-- 
SELECT username FROM all_users
;

-- 
SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'
;

-- 
SELECT voids.shard
FROM voids
 FETCH FIRST n ROWS ONLY
;

-- :log_offset_n int, :shard_n int
SELECT voids.shard
FROM voids
WHERE voids.shard = :shard_n AND voids.log_offset = :log_offset_n
;

-- :shard_n int
SELECT voids.shard, voids.log_offset, voids.void_offset, voids.recorded_at, voids.run_offset, voids.decisions_offset, voids.authority, voids.reason, voids.content, voids.was_posted
FROM voids
WHERE voids.shard = :shard_n ORDER BY voids.shard, voids.log_offset
;

-- 
SELECT voids.shard, voids.log_offset, voids.void_offset, voids.recorded_at, voids.run_offset, voids.decisions_offset, voids.authority, voids.reason, voids.content, voids.was_posted
FROM voids ORDER BY voids.shard, voids.log_offset
;

-- 
SET TRANSACTION READ ONLY
;

-- :from_decisions int, :from_digest bytes, :from_end int, :of_shard int, :to_decisions int, :to_digest bytes, :to_end int, :to_recorded datetime
UPDATE shards SET decisions_offset=:to_decisions, end_offset=:to_end, digest=:to_digest, recorded_until=:to_recorded WHERE shards.shard = :of_shard AND shards.decisions_offset = :from_decisions AND shards.end_offset = :from_end AND shards.digest = :from_digest
;

-- :less_credits int, :less_debits int, :less_entries int, :of_account str, :of_currency str, :of_shard int, :to_offset int
UPDATE stripes SET debits=(stripes.debits - :less_debits), credits=(stripes.credits - :less_credits), entries=(stripes.entries - :less_entries), last_offset=:to_offset WHERE stripes.account = :of_account AND stripes.currency = :of_currency AND stripes.shard = :of_shard
;

-- 
select sys_context( 'userenv', 'current_schema' ) from dual
;
