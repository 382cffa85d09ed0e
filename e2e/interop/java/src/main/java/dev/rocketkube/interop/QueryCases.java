package dev.rocketkube.interop;

import java.util.List;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Finding stored messages by id and by key. */
final class QueryCases {
    private QueryCases() {}

    static List<Case> all() {
        return List.of(
                new Case("query-by-offset-id", QueryCases::byOffsetId),
                new Case("query-by-unique-id", QueryCases::byUniqueId),
                new Case("query-by-key", QueryCases::byKey),
                new Case("query-by-time", QueryCases::byTime));
    }

    private static void byOffsetId(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        server.send(topic, 3);
        var result = server.producer().send(new Message(topic, "wanted".getBytes()));
        var found = server.admin().viewMessage(topic, result.getOffsetMsgId());
        Check.equal("body", "wanted", new String(found.getBody()));
        Check.equal("queue offset", 3L, found.getQueueOffset());
        Check.equal("message id", result.getMsgId(), found.getMsgId());
    }

    private static void byUniqueId(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        server.send(topic, 3);
        var result = server.producer().send(new Message(topic, "wanted".getBytes()));
        var found = Check.eventually("message by unique id",
                () -> server.producer().viewMessage(topic, result.getMsgId()), seen -> seen != null);
        Check.equal("body", "wanted", new String(found.getBody()));
        Check.equal("topic", topic, found.getTopic());
    }

    private static List<String> query(Server server, String topic, String key, int max) throws Exception {
        return server.producer().queryMessage(topic, key, max, 0, Long.MAX_VALUE).getMessageList().stream()
                .map(message -> new String(message.getBody()))
                .sorted()
                .toList();
    }

    private static void byKey(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var other = server.topic(1);
        server.producer().send(new Message(topic, "tag", "order-1 customer-7", "one".getBytes()));
        server.producer().send(new Message(topic, "tag", "order-2 customer-7", "two".getBytes()));
        server.producer().send(new Message(topic, "tag", "order-3", "three".getBytes()));
        server.producer().send(new Message(other, "tag", "order-1", "elsewhere".getBytes()));
        Check.becomes("order-1", List.of("one"), () -> query(server, topic, "order-1", 32));
        Check.becomes("customer-7", List.of("one", "two"), () -> query(server, topic, "customer-7", 32));
        Check.becomes("order-3", List.of("three"), () -> query(server, topic, "order-3", 32));
        Check.equal("one of two", 1, query(server, topic, "customer-7", 1).size());
        // NO_MESSAGE, made by the client out of the broker's "not found".
        Check.refused("a key nobody used", 208, () -> query(server, topic, "order-9", 32));
    }

    private static void byTime(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        server.producer().send(new Message(topic, "tag", "key", "body".getBytes()));
        Check.becomes("any time", List.of("body"), () -> query(server, topic, "key", 32));
        MessageExt stored = server.read(topic, 1).get(0);
        var time = stored.getStoreTimestamp();
        // Apache's index keeps whole seconds, rounded down: the bounds stay clear of the rounding.
        var inside = server.producer().queryMessage(topic, "key", 32, time - 2000, time + 2000);
        Check.equal("inside the range", 1, inside.getMessageList().size());
        Check.refused("an earlier range", 208,
                () -> server.producer().queryMessage(topic, "key", 32, time - 600_000, time - 300_000));
    }
}
