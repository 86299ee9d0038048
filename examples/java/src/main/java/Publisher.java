import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData.EnumSymbol;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

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
    static final Map<String, Object> SETTINGS = Map.of(
        "acks", "all",
        "enable.idempotence", "true",
        "compression.type", "lz4",
        "key.serializer", "org.apache.kafka.common.serialization.StringSerializer",
        "value.serializer", "io.apicurio.registry.serde.avro.AvroKafkaSerializer",
        // The schema that is registered as ledger.transactions-value, its id in four bytes.
        "apicurio.registry.auto-register", "false",
        "apicurio.registry.find-latest", "true",
        "apicurio.registry.artifact-resolver-strategy",
            "io.apicurio.registry.serde.strategy.TopicIdStrategy",
        "apicurio.registry.use-id", "contentId",
        "apicurio.registry.id-handler", "io.apicurio.registry.serde.Default4ByteIdHandler");

    /** A transaction of two entries. Its id and its times are those of the event, never new ones. */
    static GenericRecord deposit(Schema schema, String line) {
        String[] field = line.strip().split("\\s+");
        long time = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.parse(field[1]));
        Schema entry = schema.getField("entries").schema().getElementType();
        return new GenericRecordBuilder(schema)
            .set("transaction_id", field[0]).set("kind", "deposit").set("effective_at", time).set("created_at", time)
            .set("ordering_key", field.length > 5 ? field[5] : null)
            .set("entries", List.of(
                leg(entry, "assets:cash:settlement", "debit", field[3], field[4]),
                leg(entry, field[2], "credit", field[3], field[4]))).build();
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
            producer.partitionsFor(TOPIC); // where Kafka is away, fails once and not for each record
            // Again under the same ids: what had arrived counts once.
            for (int attempt = 0; attempt < ATTEMPTS; attempt++) waiting = publish(producer, waiting);
        }
        if (!waiting.isEmpty()) throw new Exception("Run it again: it is not known whether all arrived.");
    }

    /** Returns those of which it is not known whether they arrived. */
    static List<GenericRecord> publish(
            KafkaProducer<String, GenericRecord> producer, List<GenericRecord> transactions) {
        List<GenericRecord> unknown = Collections.synchronizedList(new ArrayList<>());
        for (GenericRecord each : transactions) {
            Object id = each.get("transaction_id"), orderingKey = each.get("ordering_key");
            String key = (orderingKey == null ? id : orderingKey).toString();
            producer.send(new ProducerRecord<>(TOPIC, key, each), (sent, error) -> {
                if (error == null) {
                    System.out.println(id + " " + sent.partition() + " " + sent.offset());
                } else {
                    System.err.println(id + " " + error);
                    unknown.add(each);
                }
            });
        }
        producer.flush(); // until every record has its report
        return unknown;
    }
}
