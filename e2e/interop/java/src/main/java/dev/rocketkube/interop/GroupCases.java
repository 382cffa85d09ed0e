package dev.rocketkube.interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.common.message.MessageQueue;

/** Members of one consumer group: sharing, leaving, coming back. */
final class GroupCases {
    private GroupCases() {}

    static List<Case> all() {
        return List.of(
                new Case("group-two-share-one-leaves", GroupCases::share),
                new Case("group-restart-resumes", GroupCases::restart),
                new Case("group-more-members-than-queues", GroupCases::crowded));
    }

    /** The client's default strategy, observed: which queues of the topic the member holds now. */
    private static final class Allocation extends AllocateMessageQueueAveragely {
        private final String topic;
        private volatile Set<MessageQueue> held = Set.of();

        Allocation(String topic) {
            this.topic = topic;
        }

        @Override
        public List<MessageQueue> allocate(String group, String client, List<MessageQueue> queues, List<String> clients) {
            var mine = super.allocate(group, client, queues, clients);
            if (queues.get(0).getTopic().equals(topic)) {
                held = Set.copyOf(mine);
            }
            return mine;
        }
    }

    private record Member(DefaultMQPushConsumer consumer, Allocation allocation) {
        static Member start(Session session, String group, String topic, Inbox inbox) throws Exception {
            var consumer = session.pushConsumer(group, topic, "*", inbox);
            var allocation = new Allocation(topic);
            consumer.setAllocateMessageQueueStrategy(allocation);
            consumer.start();
            return new Member(consumer, allocation);
        }

        int queues() {
            return allocation.held.size();
        }
    }

    private static void share(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(8);
        var group = Server.fresh("group");
        var inbox = new Inbox();
        var first = Member.start(session, group, topic, inbox);
        Check.becomes("queues of the only member", 8, first::queues);
        var bodies = new ArrayList<>(server.send(topic, 16));
        inbox.awaitAll(bodies);

        var second = Member.start(session, group, topic, inbox);
        Check.becomes("queues of the first of two", 4, first::queues);
        Check.becomes("queues of the second of two", 4, second::queues);
        var both = new HashSet<>(first.allocation.held);
        both.addAll(second.allocation.held);
        Check.equal("queues of both", 8, both.size());
        bodies.addAll(server.send(topic, 16));
        inbox.awaitAll(bodies);

        second.consumer.shutdown();
        Check.becomes("queues of the member that stayed", 8, first::queues);
        bodies.addAll(server.send(topic, 16));
        inbox.awaitAll(bodies);
    }

    private static void restart(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var group = Server.fresh("group");
        var before = new Inbox();
        var consumer = session.pushConsumer(group, topic, "*", before);
        consumer.start();
        before.awaitExactly(server.send(topic, 20));
        Session.shutdownAfter(consumer, 5, server.queues(topic, 4));

        var missed = server.send(topic, 20);
        var after = new Inbox();
        session.pushConsumer(group, topic, "*", after).start();
        after.awaitExactly(missed);
    }

    private static void crowded(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var group = Server.fresh("group");
        var inbox = new Inbox();
        var members = List.of(
                Member.start(session, group, topic, inbox), Member.start(session, group, topic, inbox));
        Check.becomes("queues of both members", 1, () -> members.stream().mapToInt(Member::queues).sum());
        inbox.awaitAll(server.send(topic, 4));
    }
}
