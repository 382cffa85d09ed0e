package dev.rocketkube.interop;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** {@code DefaultMQPullConsumer}: the application chooses the offsets. */
final class PullCases {
    private PullCases() {}

    static List<Case> all() {
        return List.of(
                new Case("pull-statuses", PullCases::statuses),
                new Case("pull-tag-filter", PullCases::tagFilter),
                new Case("pull-blocks-until-found", PullCases::blocks),
                new Case("pull-commits-offset", PullCases::commits),
                new Case("pull-limits-count", PullCases::limits),
                new Case("offsets-of-a-queue", PullCases::offsets),
                new Case("offset-by-time", PullCases::byTime));
    }

    private static void statuses(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        Check.equal("queues", List.of(queue), List.copyOf(server.reader().fetchSubscribeMessageQueues(queue.getTopic())));
        Check.equal("empty queue", PullStatus.NO_NEW_MSG, server.reader().pull(queue, "*", 0, 32).getPullStatus());
        server.send(queue.getTopic(), 5);
        server.read(queue.getTopic(), 5);

        var found = server.reader().pull(queue, "*", 2, 32);
        Check.equal("inside", PullStatus.FOUND, found.getPullStatus());
        Check.equal("found", List.of(2L, 3L, 4L),
                found.getMsgFoundList().stream().map(MessageExt::getQueueOffset).toList());
        Check.equal("next", 5L, found.getNextBeginOffset());
        Check.equal("min", 0L, found.getMinOffset());
        Check.equal("max", 5L, found.getMaxOffset());

        var end = server.reader().pull(queue, "*", 5, 32);
        Check.equal("at the end", PullStatus.NO_NEW_MSG, end.getPullStatus());
        Check.equal("next at the end", 5L, end.getNextBeginOffset());
        var beyond = server.reader().pull(queue, "*", 9, 32);
        Check.equal("beyond the end", PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus());
        Check.equal("next beyond the end", 5L, beyond.getNextBeginOffset());
    }

    private static void tagFilter(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        for (var tag : List.of("a", "b", "a", "c")) {
            server.producer().send(new Message(queue.getTopic(), tag, tag.getBytes()));
        }
        server.read(queue.getTopic(), 4);
        var found = server.reader().pull(queue, "a||c", 0, 32);
        Check.equal("offsets of a and c", List.of(0L, 2L, 3L),
                found.getMsgFoundList().stream().map(MessageExt::getQueueOffset).toList());
        Check.equal("next", 4L, found.getNextBeginOffset());
        var none = server.reader().pull(queue, "z", 0, 32);
        Check.equal("no such tag", PullStatus.NO_MATCHED_MSG, none.getPullStatus());
        Check.equal("next after no match", 4L, none.getNextBeginOffset());
    }

    private static void blocks(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        var waiting = CompletableFuture.supplyAsync(() -> {
            try {
                return server.reader().pullBlockIfNotFound(queue, "*", 0, 32);
            } catch (Exception failure) {
                throw new IllegalStateException(failure);
            }
        });
        server.send(queue.getTopic(), 1);
        var result = waiting.get(Check.DEADLINE.toSeconds(), TimeUnit.SECONDS);
        Check.equal("status", PullStatus.FOUND, result.getPullStatus());
        Check.equal("messages", 1, result.getMsgFoundList().size());
    }

    private static void commits(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        var reader = server.reader();
        Check.equal("offset on an empty queue", -1L, reader.fetchConsumeOffset(queue, true));
        server.send(queue.getTopic(), 3);
        Check.becomes("offset of a new group on a young queue", 0L, () -> reader.fetchConsumeOffset(queue, true));
        for (var offset : List.of(2L, 1L)) {
            // Going back is allowed.
            reader.getOffsetStore().updateConsumeOffsetToBroker(queue, offset, false);
            Check.becomes("committed offset", offset, () -> reader.fetchConsumeOffset(queue, true));
        }
    }

    private static void limits(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        server.send(queue.getTopic(), 40);
        server.read(queue.getTopic(), 40);
        Check.equal("asked for 3", 3, server.reader().pull(queue, "*", 0, 3).getMsgFoundList().size());
        var many = server.reader().pull(queue, "*", 0, 40);
        Check.equal("next follows the last", many.getNextBeginOffset(), (long) many.getMsgFoundList().size());
    }

    private static void offsets(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(2), 1);
        Check.equal("max of an empty queue", 0L, server.admin().maxOffset(queue));
        Check.equal("min of an empty queue", 0L, server.admin().minOffset(queue));
        Check.equal("earliest of an empty queue", -1L, server.admin().earliestMsgStoreTime(queue));
        for (var index = 0; index < 3; index++) {
            server.producer().send(new Message(queue.getTopic(), "x".getBytes()), queue);
        }
        Check.becomes("max", 3L, () -> server.admin().maxOffset(queue));
        Check.equal("min", 0L, server.admin().minOffset(queue));
        var first = server.read(queue.getTopic(), 3).get(0);
        Check.equal("earliest", first.getStoreTimestamp(), server.admin().earliestMsgStoreTime(queue));
    }

    private static void byTime(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(1), 0);
        for (var index = 0; index < 3; index++) {
            var sent = System.currentTimeMillis();
            server.send(queue.getTopic(), 1);
            Check.eventually("the clock to go on", System::currentTimeMillis, now -> now > sent + 5);
        }
        var stored = server.read(queue.getTopic(), 3);
        var admin = server.admin();
        for (var message : stored) {
            var offset = message.getQueueOffset();
            Check.equal("at its time", offset, admin.searchOffset(queue, message.getStoreTimestamp()));
            Check.equal("just after", offset + 1, admin.searchOffset(queue, message.getStoreTimestamp() + 1));
        }
        Check.equal("long before", 0L, admin.searchOffset(queue, stored.get(0).getStoreTimestamp() - 60_000));
        Check.equal("in the future", 3L, admin.searchOffset(queue, System.currentTimeMillis() + 60_000));
    }
}
