import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Print the balances of some accounts, or of all, and then every change: ACCOUNT...
 *
 * <pre>
 * mvn -q compile dependency:copy-dependencies
 * java -cp 'target/classes:target/dependency/*' BalanceReader liabilities:deposits:2378
 * </pre>
 *
 * Prints account, currency, posted, pending and status: `reconciled` once the general ledger agrees.
 */
public final class BalanceReader {
    static final String TOPIC = "ledger.balances";
    /** Without a group: every process reads everything, from the beginning. */
    static final Map<String, Object> SETTINGS = Map.of(
        "auto.offset.reset", "earliest",
        "enable.auto.commit", "false",
        "key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer",
        "value.deserializer", "io.apicurio.registry.serde.avro.AvroKafkaDeserializer",
        "apicurio.registry.use-id", "contentId",
        "apicurio.registry.id-handler", "io.apicurio.registry.serde.Default4ByteIdHandler");

    private final Map<String, GenericRecord> balances = new HashMap<>();
    private final Set<String> accounts;
    private boolean reachedEnd;

    BalanceReader(String... accounts) {
        this.accounts = Set.copyOf(List.of(accounts));
    }

    public static void main(String[] args) throws Exception {
        try (var consumer = new KafkaConsumer<String, GenericRecord>(Connection.with(SETTINGS))) {
            new BalanceReader(args).follow(consumer);
        }
    }

    void follow(KafkaConsumer<String, GenericRecord> consumer) {
        List<TopicPartition> partitions = consumer.partitionsFor(TOPIC).stream()
            .map(each -> new TopicPartition(TOPIC, each.partition())).toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        while (true) {
            consumer.poll(Duration.ofSeconds(1)).forEach(this::take);
            if (reachedEnd) continue;
            reachedEnd = ends.entrySet().stream()
                .allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
            if (reachedEnd) balances.values().forEach(this::show);
        }
    }

    void take(ConsumerRecord<String, GenericRecord> message) {
        GenericRecord balance = message.value();
        if (balance == null) {
            balances.remove(message.key()); // withdrawn, whatever its version: take what follows
            return;
        }
        GenericRecord known = balances.get(message.key());
        if (known != null && (long) balance.get("version") < (long) known.get("version")) {
            return; // an older one, which came late
        }
        balances.put(message.key(), balance);
        if (reachedEnd) show(balance);
    }

    void show(GenericRecord balance) {
        if (!accounts.isEmpty() && !accounts.contains(balance.get("account").toString())) return;
        System.out.printf("%s %s %s %s %s%n", balance.get("account"), balance.get("currency"),
            balance.get("posted"), balance.get("pending"), balance.get("status"));
    }
}
