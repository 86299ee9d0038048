"""The rules of each role, as a table."""

from ledger.settings import Settings
from ledger.streaming import access
from ledger.streaming.access import ANYTHING, EVERYBODY, AccessRule, Operation, Pattern, Resource
from ledger.streaming.topics import topics

SETTINGS = Settings()


def allowed(role: str, operation: Operation, name: str) -> bool:
    """As Kafka's authorizer takes the rules: exact names and prefixes."""
    return any(
        rule.role == role
        and rule.operation == operation
        and rule.resource == Resource.TOPIC
        and (rule.name == name or (rule.pattern == Pattern.PREFIXED and name.startswith(rule.name)))
        for rule in access.role_rules(SETTINGS)
    )


def test_nobody_but_a_producer_asks_and_nobody_but_the_service_answers() -> None:
    for topic in topics(SETTINGS).all():
        writers = {role for role in access.ROLES if allowed(role, Operation.WRITE, topic.name)}
        asked = {
            "ledger.transactions": {"producer", "api"},
            "ledger.reference": {"finance"},
            "ledger.statements": {"finance"},
            # Tokens are made by the admin, for whom there are no rules: nobody gives himself one.
            "ledger.access": set(),
            "ledger.audit-log": {"api"},
        }
        assert writers == asked.get(topic.name, {"service"}), topic.name


def test_the_api_reads_what_is_public_and_the_log() -> None:
    unread = {
        topic.name
        for topic in topics(SETTINGS).all()
        if not allowed("api", Operation.READ, topic.name)
    }
    assert unread == {"ledger.stripes", "ledger.stripes-changelog"}


def test_tokens_are_for_those_who_check_them_and_who_read_everything() -> None:
    readers = {role for role in access.ROLES if allowed(role, Operation.READ, "ledger.access")}
    assert readers == {"api", "finance", "service"}


def test_a_backend_reads_no_transactions() -> None:
    seen = {
        topic.name.removeprefix("ledger.")
        for topic in topics(SETTINGS).all()
        if allowed("backend", Operation.READ, topic.name)
    }
    assert seen == {"balances", "coverage", "breaks", "progress", "reference"}


def test_who_starts_on_topics_or_answers_for_them_sees_their_settings() -> None:
    for topic in topics(SETTINGS).all():
        seen = {r for r in access.ROLES if allowed(r, Operation.DESCRIBE_CONFIGS, topic.name)}
        assert seen == {"finance", "service"}, topic.name


def test_another_ledgers_topics_are_not_ours() -> None:
    for role in access.ROLES:
        assert not allowed(role, Operation.READ, "ledger2.balances")
        assert not allowed(role, Operation.WRITE, "ledger2.transactions")


def test_what_everybody_may_is_taken_back_where_it_is_about_the_ledger_alone() -> None:
    def everybody(resource: Resource, name: str, pattern: Pattern = Pattern.LITERAL) -> AccessRule:
        return AccessRule(EVERYBODY, Operation.READ, resource, name, pattern)

    ours = (
        everybody(Resource.TOPIC, "ledger.transactions"),
        everybody(Resource.TOPIC, "ledger.", Pattern.PREFIXED),
        everybody(Resource.GROUP, "ledger-stream"),
    )
    further = (
        everybody(Resource.TOPIC, ANYTHING),
        everybody(Resource.TOPIC, "led", Pattern.PREFIXED),
        everybody(Resource.CLUSTER, "kafka-cluster"),
    )
    assert not any(access.reaches_further(SETTINGS, rule) for rule in ours)
    assert all(access.reaches_further(SETTINGS, rule) for rule in further)
    assert all(access._reaches_ledger(SETTINGS, rule) for rule in (*ours, *further))
    assert not access._reaches_ledger(SETTINGS, everybody(Resource.TOPIC, "ledger2.balances"))
    assert "kafka-acls --remove --allow-principal 'User:*'" in access.described(further[0])
