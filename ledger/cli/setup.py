"""`faust-ledger setup`: bring servers of your own to what this release needs."""

from ledger.cli.output import AsJson, DataDir, print_json, print_note, run


def set_up(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Create or bring up to date what workers need on servers of your own.

    It runs the database's migrations, registers the schemas, creates topics and corrects their
    settings, grants the rights of Kafka's users where there are users, and writes the first policy.
    `up` does the same for the embedded stack. The roles and the database exist before. Run it as
    the database's owner and Kafka's administrator before the workers of a new release start; a
    repetition changes nothing.

    --json prints {"done": [sentence]}. Exit codes: 0 done, 3 a fault.
    """
    from ledger.cli.output import settings_for
    from ledger.client.shards import as_founded
    from ledger.settings import require_database
    from ledger.stack.prepare import prepare

    settings, done = settings_for(data_dir), list[str]()
    require_database(settings.database_url)
    prepare(run(as_founded(settings)), say=done.append if as_json else print)
    if as_json:
        print_json({"done": done})
    else:
        print_note("Tables, schemas, topics, rights and policy are there.")
