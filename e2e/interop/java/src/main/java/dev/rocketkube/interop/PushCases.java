package dev.rocketkube.interop;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/** One push consumer, or several that do not share. */
final class PushCases {
    /** A parked pull must be woken by the message, not by the broker's next look around (5 s in Apache's). */
    private static final long WOKEN_MS = 2000;

    private PushCases() {}

    static List<Case> all() {
        return List.of(
                new Case("push-clustering", PushCases::clustering),
                new Case("push-broadcasting", PushCases::broadcasting),
                new Case("push-tag-filter", PushCases::tagFilter),
                new Case("push-wakes-parked-pull", PushCases::wakes),
                new Case("push-new-group-young-queue", PushCases::youngQueue),
                new Case("push-two-topics", PushCases::twoTopics));
    }

    private static void clustering(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var group = Server.fresh("group");
        var inbox = new Inbox();
        var consumer = session.pushConsumer(group, topic, "*", inbox);
        consumer.start();
        inbox.awaitExactly(server.send(topic, 40));
        for (var message : inbox.messages()) {
            Check.that(message.getProperty("MIN_OFFSET") != null, "the pull answer names the first offset");
            Check.that(message.getProperty("MAX_OFFSET") != null, "the pull answer names the last offset");
        }
        Session.shutdownAfter(consumer, 10, server.queues(topic, 4));
        for (var queue : server.queues(topic, 4)) {
            Check.becomes("committed offset of " + queue, 10L, () -> server.admin().examineConsumeStats(group)
                    .getOffsetTable().get(queue).getConsumerOffset());
        }
    }

    private static void broadcasting(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var group = Server.fresh("group");
        var inboxes = List.of(new Inbox(), new Inbox());
        for (var inbox : inboxes) {
            var consumer = session.pushConsumer(group, topic, "*", inbox);
            consumer.setMessageModel(Types.BROADCASTING);
            consumer.start();
        }
        var bodies = server.send(topic, 20);
        for (var inbox : inboxes) {
            inbox.awaitExactly(bodies);
        }
    }

    private static void tagFilter(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var filtered = new Inbox();
        // "Aa" and "BB" have the same hash: the broker hands both over, the client drops the wrong one.
        session.pushConsumer(Server.fresh("group"), topic, "red || Aa", filtered).start();
        var everything = new Inbox();
        session.pushConsumer(Server.fresh("group"), topic, "*", everything).start();
        var wanted = new ArrayList<String>();
        for (var tag : List.of("red", "blue", "Aa", "BB", "RED", "red")) {
            wanted.add(tag);
            server.producer().send(new Message(topic, tag, tag.getBytes()));
        }
        server.producer().send(new Message(topic, "untagged".getBytes()));
        wanted.add("untagged");
        everything.awaitExactly(wanted);
        // The last one of its kind was sent before "untagged" was, so nothing unwanted can be still to come
        // once the end marker of each queue is here.
        filtered.awaitExactly(List.of("red", "Aa", "red"));
    }

    private static void wakes(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var inbox = new Inbox();
        DefaultMQPushConsumer consumer = session.pushConsumer(Server.fresh("group"), topic, "*", inbox);
        consumer.start();
        var sent = new ArrayList<>(server.send(topic, 1));
        inbox.awaitExactly(sent);
        var fastest = Long.MAX_VALUE;
        for (var round = 0; round < 5; round++) {
            var start = System.nanoTime();
            sent.addAll(server.send(topic, 1));
            inbox.awaitExactly(sent);
            fastest = Math.min(fastest, TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
        }
        Check.that(fastest < WOKEN_MS, "a waiting consumer gets a message within " + WOKEN_MS + " ms: " + fastest);
    }

    private static void youngQueue(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var bodies = server.send(topic, 10);
        var inbox = new Inbox();
        var consumer = session.pushConsumer(Server.fresh("group"), topic, "*", inbox);
        // The client's default; on a queue that still has its first message it means "from the first".
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.start();
        inbox.awaitExactly(bodies);
    }

    private static void twoTopics(Session session) throws Exception {
        var server = session.server();
        var first = server.topic(2);
        var second = server.topic(3);
        var inbox = new Inbox();
        var consumer = session.pushConsumer(Server.fresh("group"), first, "*", inbox);
        consumer.subscribe(second, "*");
        consumer.start();
        var bodies = new ArrayList<>(server.send(first, 6));
        bodies.addAll(server.send(second, 6));
        inbox.awaitExactly(bodies);
    }
}
