import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * Where Kafka and the registry are, and who connects: from the environment, plain or secure.
 *
 * <p>FAUST_LEDGER_BOOTSTRAP_SERVERS and FAUST_LEDGER_REGISTRY_URL; on a secure ledger also
 * FAUST_LEDGER_CA_FILE, FAUST_LEDGER_KAFKA_USER and FAUST_LEDGER_KAFKA_PASSWORD_FILE.
 */
final class Connection {
    /** For a client of Kafka with Apicurio's serializer or deserializer, and `more` of its own. */
    static Map<String, Object> with(Map<String, Object> more) throws IOException {
        Map<String, Object> found = new HashMap<>(more);
        found.put("bootstrap.servers", setting("BOOTSTRAP_SERVERS"));
        // The setting names the registry's Confluent API; Apicurio's classes use its own.
        String registry = setting("REGISTRY_URL").replace("/ccompat/v7", "/registry/v3");
        found.put("apicurio.registry.url", registry);
        String user = System.getenv("FAUST_LEDGER_KAFKA_USER");
        if (user == null) return found;
        String password = Files.readString(Path.of(setting("KAFKA_PASSWORD_FILE"))).strip();
        found.put("security.protocol", "SASL_SSL");
        found.put("ssl.truststore.type", "PEM");
        found.put("ssl.truststore.location", setting("CA_FILE"));
        found.put("sasl.mechanism", "SCRAM-SHA-512");
        found.put("sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";"
                .formatted(user, password));
        // The registry has the same users and passwords as Kafka.
        found.put("apicurio.registry.auth.username", user);
        found.put("apicurio.registry.auth.password", password);
        found.put("apicurio.registry.tls.truststore.type", "PEM");
        found.put("apicurio.registry.tls.truststore.location", setting("CA_FILE"));
        return found;
    }

    private static String setting(String name) {
        String value = System.getenv("FAUST_LEDGER_" + name);
        if (value == null) throw new IllegalStateException("Set FAUST_LEDGER_" + name);
        return value;
    }
}
