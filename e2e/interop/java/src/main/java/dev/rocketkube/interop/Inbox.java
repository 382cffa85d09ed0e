package dev.rocketkube.interop;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** Keeps every message a push consumer was given, in the order of arrival. */
final class Inbox implements MessageListenerConcurrently {
    private final Queue<MessageExt> received = new ConcurrentLinkedQueue<>();

    @Override
    public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> messages, ConsumeConcurrentlyContext context) {
        received.addAll(messages);
        return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    List<MessageExt> messages() {
        return List.copyOf(received);
    }

    /** Bodies as text, sorted: queues are read in no particular order. */
    List<String> bodies() {
        return received.stream().map(message -> new String(message.getBody())).sorted().toList();
    }

    /** Waits for exactly these bodies; a repeated one never becomes equal and fails the case. */
    void awaitExactly(Collection<String> expected) throws InterruptedException {
        try {
            Check.becomes("received bodies", expected.stream().sorted().toList(), this::bodies);
        } catch (AssertionError different) {
            throw new AssertionError("received: " + difference(expected));
        }
    }

    private String difference(Collection<String> expected) {
        var missing = new ArrayList<>(expected);
        var surplus = new ArrayList<String>();
        for (var message : received) {
            var body = new String(message.getBody());
            if (!missing.remove(body)) {
                surplus.add(body + " (queue " + message.getQueueId() + " offset " + message.getQueueOffset() + ")");
            }
        }
        return "missing " + missing + ", too many " + surplus;
    }

    /** Waits until each of these has arrived at least once. */
    void awaitAll(Collection<String> expected) throws InterruptedException {
        Check.eventually("received " + expected.size() + " bodies", this::bodies, seen -> seen.containsAll(expected));
    }
}
