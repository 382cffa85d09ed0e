package dev.rocketkube.interop;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/** Large and compressed bodies, and where they stop. */
final class BodyCases {
    private static final int MIB = 1024 * 1024;
    private static final int LIMIT = 4 * MIB;
    private static final int SYSTEM_ERROR = 1;
    private static final int MESSAGE_ILLEGAL = 13;

    private BodyCases() {}

    static List<Case> all() {
        return List.of(
                new Case("body-4mib", BodyCases::largest),
                new Case("body-over-limit", BodyCases::overLimit),
                new Case("body-over-client-limit", BodyCases::overClientLimit),
                new Case("body-compressed", BodyCases::compressed),
                new Case("body-compressed-pushed", BodyCases::compressedPushed),
                new Case("batch-over-limit", BodyCases::batchOverLimit),
                new Case("properties-over-limit", BodyCases::propertiesOverLimit));
    }

    private static byte[] noise(int size) {
        var body = new byte[size];
        new Random(size).nextBytes(body);
        return body;
    }

    private static void largest(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var producer = session.producer();
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        var body = noise(LIMIT);
        Check.equal("status", SendStatus.SEND_OK, producer.send(new Message(topic, body)).getSendStatus());
        Check.that(Arrays.equals(body, server.read(topic, 1).get(0).getBody()), "4 MiB come back unchanged");
    }

    private static void overLimit(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var producer = session.producer();
        producer.setMaxMessageSize(2 * LIMIT);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        Check.refused("a body of 4 MiB and one byte", MESSAGE_ILLEGAL,
                () -> producer.send(new Message(topic, noise(LIMIT + 1))));
        Check.equal("stored", 0L, server.admin().maxOffset(server.queue(topic, 0)));
        // The refusal must not have cost the connection.
        producer.send(new Message(topic, "small".getBytes()));
        server.read(topic, 1);
    }

    private static void overClientLimit(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        Check.refused("a body over the client's own limit", MESSAGE_ILLEGAL,
                () -> server.producer().send(new Message(topic, noise(LIMIT + 1))));
    }

    private static void compressed(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var body = "the same words again and again ".repeat(40_000).getBytes();
        server.producer().send(new Message(topic, body));
        var stored = server.read(topic, 1).get(0);
        Check.that(Arrays.equals(body, stored.getBody()), "the body comes back unchanged");
        Check.that(stored.getStoreSize() < body.length / 10, "it was stored compressed: " + stored.getStoreSize());
    }

    private static void compressedPushed(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var inbox = new Inbox();
        session.pushConsumer(Server.fresh("group"), topic, "*", inbox).start();
        var body = "pushed and compressed ".repeat(10_000);
        server.producer().send(new Message(topic, body.getBytes()));
        inbox.awaitExactly(List.of(body));
    }

    private static void batchOverLimit(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var producer = session.producer();
        producer.setMaxMessageSize(2 * LIMIT);
        producer.start();
        var batch = List.of(new Message(topic, noise(LIMIT / 2)), new Message(topic, noise(LIMIT / 2 + 1)));
        // Apache answers 1, after an exception of its own; 13 says the same more plainly.
        Check.refused("two bodies of 4 MiB and one byte", Set.of(SYSTEM_ERROR, MESSAGE_ILLEGAL), () -> producer.send(batch));
        Check.equal("stored", 0L, server.admin().maxOffset(server.queue(topic, 0)));
    }

    private static void propertiesOverLimit(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var message = new Message(topic, "small".getBytes());
        message.putUserProperty("long", "x".repeat(32_768));
        Check.refused("32 KiB of properties", MESSAGE_ILLEGAL, () -> server.producer().send(message));
        Check.equal("stored", 0L, server.admin().maxOffset(server.queue(topic, 0)));
    }
}
