import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData.EnumSymbol;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/**
 * Publish deposits, one a line of standard input: ID TIME ACCOUNT AMOUNT CURRENCY [ORDERING_KEY].
 *
 * <pre>
 * mvn -q compile dependency:copy-dependencies
 * echo "dep-1 $(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" |
 *   java -cp 'target/classes:target/dependency/*' Publisher
 * </pre>
 *
 * Prints the id, the shard and the offset of each. Run again with the same lines, it changes nothing.
 */
public final class Publisher {
    static final String TOPIC = "ledger.transactions";
    static final int ATTEMPTS = 5;
    /** The default partitioner is the right one: set none. */
    static final Map<String, Object> SETTINGS = Map.ofEntries(
        Map.entry("acks", "all"),
        Map.entry("enable.idempotence", "true"),
        Map.entry("compression.type", "lz4"),
        Map.entry("key.serializer", "org.apache.kafka.common.serialization.StringSerializer"),
        Map.entry("value.serializer", "io.apicurio.registry.serde.avro.AvroKafkaSerializer"),
        // The schema that is registered as ledger.transactions-value, its id in four bytes.
        Map.entry("apicurio.registry.auto-register", "false"),
        Map.entry("apicurio.registry.find-latest", "true"),
        Map.entry("apicurio.registry.artifact-resolver-strategy",
            "io.apicurio.registry.serde.strategy.TopicIdStrategy"),
        Map.entry("apicurio.registry.use-id", "contentId"),
        Map.entry("apicurio.registry.id-handler", "io.apicurio.registry.serde.Default4ByteIdHandler"),
        Map.entry("apicurio.registry.headers.enabled", "false"));

    /** A transaction of two entries. Its id and its times are those of the event, never new ones. */
    static GenericRecord deposit(Schema schema, String line) {
        String[] field = line.split(" ");
        long time = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.parse(field[1]));
        Schema entry = schema.getField("entries").schema().getElementType();
        return new GenericRecordBuilder(schema)
            .set("transaction_id", field[0]).set("kind", "deposit")
            .set("effective_at", time).set("created_at", time)
            .set("ordering_key", field.length > 5 ? field[5] : null)
            .set("entries", List.of(
                leg(entry, "assets:cash:settlement", "debit", field[3], field[4]),
                leg(entry, field[2], "credit", field[3], field[4])))
            .build();
    }

    /** The amount is text from end to end: no double. */
    static GenericRecord leg(Schema entry, String account, String side, String amount, String currency) {
        return new GenericRecordBuilder(entry)
            .set("account", account).set("side", new EnumSymbol(entry.getField("side").schema(), side))
            .set("amount", amount).set("currency", currency).build();
    }

    public static void main(String[] args) throws Exception {
        Schema schema = new Schema.Parser().parse(Publisher.class.getResourceAsStream("/Transaction.avsc"));
        var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8)).lines();
        List<GenericRecord> waiting = lines.map(line -> deposit(schema, line)).toList();
        try (var producer = new KafkaProducer<String, GenericRecord>(Connection.with(SETTINGS))) {
            for (int attempt = 0; attempt < ATTEMPTS; attempt++) waiting = publish(producer, waiting);
        }
        if (waiting.isEmpty()) return;
        System.err.println("Not known whether all arrived: run it again with the same lines.");
        System.exit(1);
    }

    /** Those of which it is not known whether they arrived: again, under the same ids. */
    static List<GenericRecord> publish(KafkaProducer<String, GenericRecord> producer,
            List<GenericRecord> transactions) throws InterruptedException {
        Map<GenericRecord, Future<RecordMetadata>> reports = new LinkedHashMap<>();
        for (GenericRecord each : transactions) {
            Object key = each.get("ordering_key") == null ? each.get("transaction_id") : each.get("ordering_key");
            reports.put(each, producer.send(new ProducerRecord<>(TOPIC, key.toString(), each)));
        }
        List<GenericRecord> unknown = new java.util.ArrayList<>();
        for (var each : reports.entrySet()) {
            try {
                RecordMetadata sent = each.getValue().get();
                System.out.println(each.getKey().get("transaction_id") + " " + sent.partition() + " " + sent.offset());
            } catch (ExecutionException error) {
                System.err.println(each.getKey().get("transaction_id") + " " + error.getCause());
                unknown.add(each.getKey());
            }
        }
        return unknown;
    }
}
