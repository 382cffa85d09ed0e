package dev.rocketkube.interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** {@code DefaultLitePullConsumer}: subscribe or assign, then poll. */
final class LitePullCases {
    private static final long POLL_MS = 200;

    private LitePullCases() {}

    static List<Case> all() {
        return List.of(
                new Case("lite-pull-subscribe", LitePullCases::subscribe),
                new Case("lite-pull-tag-filter", LitePullCases::tagFilter),
                new Case("lite-pull-assign-seek", LitePullCases::seek),
                new Case("lite-pull-commit", LitePullCases::commit));
    }

    /** Polls until {@code count} messages have come, or the deadline. */
    private static List<MessageExt> poll(DefaultLitePullConsumer consumer, int count) throws Exception {
        var received = new ArrayList<MessageExt>();
        Check.eventually(count + " polled messages", () -> {
            received.addAll(consumer.poll(POLL_MS));
            return received.size();
        }, size -> size >= count);
        return received;
    }

    private static List<String> bodies(List<MessageExt> messages) {
        return messages.stream().map(message -> new String(message.getBody())).sorted().toList();
    }

    private static void subscribe(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var sent = server.send(topic, 20);
        var consumer = session.litePullConsumer(Server.fresh("group"));
        consumer.subscribe(topic, "*");
        consumer.start();
        Check.equal("polled", sent.stream().sorted().toList(), bodies(poll(consumer, 20)));
    }

    private static void tagFilter(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        for (var tag : List.of("a", "b", "c", "a")) {
            server.producer().send(new Message(topic, tag, tag.getBytes()));
        }
        var consumer = session.litePullConsumer(Server.fresh("group"));
        consumer.subscribe(topic, "a || b");
        consumer.start();
        Check.equal("polled", List.of("a", "a", "b"), bodies(poll(consumer, 3)));
    }

    private static void seek(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        server.send(queue.getTopic(), 10);
        server.read(queue.getTopic(), 10);
        var consumer = session.litePullConsumer(Server.fresh("group"));
        consumer.setAutoCommit(false);
        consumer.start();
        consumer.assign(Set.of(queue));
        consumer.seek(queue, 7);
        Check.equal("after seek 7", List.of(7L, 8L, 9L), offsets(poll(consumer, 3)));
        consumer.seekToBegin(queue);
        Check.equal("from the beginning", 0L, offsets(poll(consumer, 10)).get(0));
        consumer.seekToEnd(queue);
        server.send(queue.getTopic(), 1);
        Check.equal("after the end", List.of(10L), offsets(poll(consumer, 1)));
        var first = server.read(queue.getTopic(), 11).get(0);
        Check.equal("offset for time", 0L, consumer.offsetForTimestamp(queue, first.getStoreTimestamp()));
    }

    private static List<Long> offsets(List<MessageExt> messages) {
        return messages.stream().map(MessageExt::getQueueOffset).toList();
    }

    private static void commit(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var sent = server.send(topic, 8);
        var group = Server.fresh("group");
        var first = session.litePullConsumer(group);
        first.setAutoCommit(false);
        first.subscribe(topic, "*");
        first.start();
        Check.equal("polled", sent.stream().sorted().toList(), bodies(poll(first, 8)));
        first.commitSync();
        for (var queue : List.of(server.queue(topic, 0), server.queue(topic, 1))) {
            Check.becomes("committed", 4L, () -> first.committed(queue));
        }
        first.shutdown();

        var later = server.send(topic, 4);
        var second = session.litePullConsumer(group);
        second.subscribe(topic, "*");
        second.start();
        Check.equal("polled by the next member", later.stream().sorted().toList(), bodies(poll(second, 4)));
    }
}
