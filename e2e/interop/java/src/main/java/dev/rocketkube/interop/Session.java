package dev.rocketkube.interop;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** The clients one case makes for itself; all are shut down when it ends, the newest first. */
final class Session implements AutoCloseable {
    private final Server server;
    private final Deque<Runnable> shutdowns = new ArrayDeque<>();

    Session(Server server) {
        this.server = server;
    }

    Server server() {
        return server;
    }

    /** A producer that is not started yet, for cases that change its settings. */
    DefaultMQProducer producer() {
        var producer = Server.producer(server.namesrv());
        shutdowns.push(producer::shutdown);
        return producer;
    }

    /**
     * A push consumer, not started, that hands its messages to {@code inbox}.
     *
     * <p>It begins with the first message. With the client's default, the last, whatever arrives between its two
     * questions for a new group's offset ("any stored?", "where is the end?") is skipped, on Apache's broker too.
     */
    DefaultMQPushConsumer pushConsumer(String group, String topic, String tags, Inbox inbox) throws Exception {
        var consumer = Server.tuned(new DefaultMQPushConsumer(group), server.namesrv());
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener(inbox);
        shutdowns.push(consumer::shutdown);
        return consumer;
    }

    /** A lite pull consumer, not started. */
    DefaultLitePullConsumer litePullConsumer(String group) {
        var consumer = Server.tuned(new DefaultLitePullConsumer(group), server.namesrv());
        consumer.setPullThreadNums(2);
        shutdowns.push(consumer::shutdown);
        return consumer;
    }

    /**
     * Shuts the consumer down once it has counted {@code count} messages of each queue as consumed.
     *
     * <p>A listener returns before its message is counted; what is not counted at shutdown comes again, rightly.
     */
    static void shutdownAfter(DefaultMQPushConsumer consumer, long count, List<MessageQueue> queues) throws Exception {
        var offsets = consumer.getDefaultMQPushConsumerImpl().getOffsetStore();
        for (var queue : queues) {
            Check.becomes("consumed of " + queue, count,
                    () -> offsets.readOffset(queue, ReadOffsetType.READ_FROM_MEMORY));
        }
        consumer.shutdown();
    }

    @Override
    public void close() {
        shutdowns.forEach(Runnable::run);
    }
}
