package dev.rocketkube.interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.MessageQueue;

/** Offsets of groups set through {@code DefaultMQAdminExt}, with members online and without. */
final class ResetCases {
    /**
     * Apache's broker tells a waiting consumer at the end of its wait (20 s), and the 4.x client waits 10 s more and
     * for its next rebalance (20 s) before it goes along.
     */
    private static final Duration GOES_ALONG = Duration.ofSeconds(90);

    private static final long END = -1;

    private ResetCases() {}

    static List<Case> all() {
        return List.of(
                new Case("reset-online-group-gets-messages-again", ResetCases::online),
                new Case("reset-offline-group-to-a-time", ResetCases::offline),
                new Case("reset-offline-group-to-the-end", ResetCases::skip),
                new Case("reset-one-queue", ResetCases::oneQueue),
                new Case("reset-refusals", ResetCases::refusals));
    }

    private static void online(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var group = Server.fresh("group");
        var inbox = new Inbox();
        session.pushConsumer(group, topic, "*", inbox).start();
        var bodies = server.send(topic, 12);
        inbox.awaitExactly(bodies);
        // Nobody sends any more: the consumer waits for messages when it is reset.
        Check.equal("new offsets", all(server, topic, 4, 0L),
                server.admin().resetOffsetByTimestamp(topic, group, 0, true));
        Check.within(GOES_ALONG, "each message twice", inbox::bodies, seen -> bodies.stream()
                .allMatch(body -> seen.stream().filter(body::equals).count() >= 2));
        Check.within(GOES_ALONG, "lag of a group that read all again", () -> lag(session, group, topic), lag -> lag == 0);
        // Whatever it committed late, it goes on from there and has not lost its place.
        var more = server.send(topic, 4);
        inbox.awaitAll(more);
    }

    private static void offline(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var group = Server.fresh("group");
        var early = new ArrayList<>(server.send(topic, 4));
        var last = server.read(topic, 4).stream().mapToLong(message -> message.getStoreTimestamp()).max().orElseThrow();
        Check.eventually("the clock goes on", System::currentTimeMillis, now -> now > last + 1);
        var late = server.send(topic, 4);
        var since = server.read(topic, 8).stream().mapToLong(message -> message.getStoreTimestamp())
                .filter(stored -> stored > last).min().orElseThrow();
        early.addAll(late);
        readAll(session, group, topic, 4, early);

        Check.equal("new offsets", all(server, topic, 2, 2L),
                server.admin().resetOffsetByTimestamp(topic, group, since, true));
        Check.equal("lag", 4L, lag(session, group, topic));
        var again = new Inbox();
        session.pushConsumer(group, topic, "*", again).start();
        Check.within(GOES_ALONG, "what was stored since", again::bodies, seen -> seen.equals(late.stream().sorted().toList()));
    }

    private static void skip(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var group = Server.fresh("group");
        readAll(session, group, topic, 2, server.send(topic, 4));
        server.send(topic, 6);
        Check.equal("lag before", 6L, lag(session, group, topic));
        server.admin().resetOffsetNew(group, topic, END);
        Check.equal("lag after", 0L, lag(session, group, topic));
        var next = server.send(topic, 2);
        var inbox = new Inbox();
        session.pushConsumer(group, topic, "*", inbox).start();
        Check.within(GOES_ALONG, "only what came later", inbox::bodies, seen -> seen.equals(next.stream().sorted().toList()));
    }

    private static void oneQueue(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var group = Server.fresh("group");
        readAll(session, group, topic, 4, server.send(topic, 8));
        Types.resetQueue(server, group, topic, 1, 1);
        var offsets = server.admin().examineConsumeStats(group, topic).getOffsetTable();
        Check.equal("offset of the queue", 1L, offsets.get(server.queue(topic, 1)).getConsumerOffset());
        Check.equal("offset of the other one", 4L, offsets.get(server.queue(topic, 0)).getConsumerOffset());
    }

    private static void refusals(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        Check.refused("a group that is not there", 26,
                () -> server.admin().resetOffsetByTimestamp(topic, Server.fresh("group"), 0, true));
        Check.refused("a topic that is not there", 17,
                () -> server.admin().resetOffsetByTimestamp(Server.fresh("topic"), Server.fresh("group"), 0, true));
    }

    /** Has a group read everything in a topic of two queues, and leave. */
    private static void readAll(Session session, String group, String topic, long each, List<String> bodies)
            throws Exception {
        var inbox = new Inbox();
        DefaultMQPushConsumer consumer = session.pushConsumer(group, topic, "*", inbox);
        consumer.start();
        inbox.awaitExactly(bodies);
        Session.shutdownAfter(consumer, each, session.server().queues(topic, 2));
        Check.becomes("lag of the group that left", 0L, () -> lag(session, group, topic));
    }

    private static long lag(Session session, String group, String topic) throws Exception {
        return session.server().admin().examineConsumeStats(group, topic).computeTotalDiff();
    }

    private static Map<MessageQueue, Long> all(Server server, String topic, int queues, long offset) {
        return server.queues(topic, queues).stream().collect(Collectors.toMap(queue -> queue, queue -> offset));
    }
}
