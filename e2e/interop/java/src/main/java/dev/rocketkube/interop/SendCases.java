package dev.rocketkube.interop;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** The ways to send, and that what was sent is what is stored. */
final class SendCases {
    private SendCases() {}

    static List<Case> all() {
        return List.of(
                new Case("send-sync", SendCases::sync),
                new Case("send-async", SendCases::async),
                new Case("send-oneway", SendCases::oneway),
                new Case("send-batch", SendCases::batch),
                new Case("send-hash-selector", SendCases::hashSelector),
                new Case("send-creates-topic", SendCases::createsTopic),
                new Case("send-properties", SendCases::properties));
    }

    private static void sync(Session session) throws Exception {
        var server = session.server();
        var queue = server.queue(server.topic(2), 1);
        for (var offset = 0L; offset < 3; offset++) {
            var result = server.producer().send(new Message(queue.getTopic(), "sync".getBytes()), queue);
            Check.equal("status", SendStatus.SEND_OK, result.getSendStatus());
            Check.equal("queue", queue, result.getMessageQueue());
            Check.equal("queue offset", offset, result.getQueueOffset());
            Check.equal("transaction id", result.getMsgId(), result.getTransactionId());
            Check.equal("region", "DefaultRegion", result.getRegionId());
            Check.that(result.isTraceOn(), "tracing is announced");
            Check.equal("length of the offset id", 32, result.getOffsetMsgId().length());
        }
    }

    private static void async(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(4);
        var results = new ConcurrentLinkedQueue<SendResult>();
        var errors = new ConcurrentLinkedQueue<Throwable>();
        var pending = new CountDownLatch(100);
        var callback = new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                results.add(result);
                pending.countDown();
            }

            @Override
            public void onException(Throwable error) {
                errors.add(error);
                pending.countDown();
            }
        };
        for (var index = 0; index < 100; index++) {
            server.producer().send(new Message(topic, ("async-" + index).getBytes()), callback);
        }
        Check.that(pending.await(Check.DEADLINE.toSeconds(), TimeUnit.SECONDS), "every callback was called");
        Check.equal("errors", List.of(), List.copyOf(errors));
        var places = new HashSet<String>();
        results.forEach(result -> places.add(result.getMessageQueue().getQueueId() + "@" + result.getQueueOffset()));
        Check.equal("distinct places", 100, places.size());
        Check.equal("stored", 100, server.read(topic, 100).size());
    }

    private static void oneway(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        for (var index = 0; index < 50; index++) {
            server.producer().sendOneway(new Message(topic, ("oneway-" + index).getBytes()));
        }
        var bodies = new HashSet<String>();
        server.read(topic, 50).forEach(message -> bodies.add(new String(message.getBody())));
        Check.equal("distinct bodies", 50, bodies.size());
    }

    private static void batch(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var sent = IntStream.range(0, 100)
                .mapToObj(index -> new Message(topic, "tag" + index % 3, "key-" + index, ("batch-" + index).getBytes()))
                .toList();
        var result = server.producer().send(sent);
        Check.equal("status", SendStatus.SEND_OK, result.getSendStatus());
        Check.equal("offset ids", 100, result.getOffsetMsgId().split(",").length);
        Check.equal("unique ids", 100, result.getMsgId().split(",").length);
        var stored = server.read(topic, 100);
        Check.equal("bodies in order", sent.stream().map(one -> new String(one.getBody())).toList(),
                stored.stream().map(one -> new String(one.getBody())).toList());
        Check.equal("keys in order", sent.stream().map(Message::getKeys).toList(),
                stored.stream().map(Message::getKeys).toList());
        Check.equal("offsets", LongStream.range(result.getQueueOffset(), result.getQueueOffset() + 100).boxed().toList(),
                stored.stream().map(MessageExt::getQueueOffset).toList());
        Check.equal("queues", 1L, stored.stream().map(MessageExt::getQueueId).distinct().count());
        Check.equal("unique ids in order", List.of(result.getMsgId().split(",")),
                stored.stream().map(MessageExt::getMsgId).toList());
    }

    private static void hashSelector(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(8);
        var queueOf = new HashMap<String, Integer>();
        for (var round = 0; round < 3; round++) {
            for (var key = 0; key < 20; key++) {
                var name = "order-" + key;
                var result = server.producer()
                        .send(new Message(topic, name.getBytes()), new SelectMessageQueueByHash(), name);
                var queue = result.getMessageQueue().getQueueId();
                Check.equal("queue of " + name, queueOf.getOrDefault(name, queue), queue);
                queueOf.put(name, queue);
            }
        }
        Check.that(new HashSet<>(queueOf.values()).size() > 1, "20 keys use more than one queue");
        for (var message : server.read(topic, 60)) {
            Check.equal("stored queue", queueOf.get(new String(message.getBody())), message.getQueueId());
        }
    }

    private static void createsTopic(Session session) throws Exception {
        var server = session.server();
        var topic = Server.fresh("interop-auto");
        var result = server.producer().send(new Message(topic, "first".getBytes()));
        Check.equal("status", SendStatus.SEND_OK, result.getSendStatus());
        var route = Check.eventually("route of an auto-created topic", () -> server.admin().examineTopicRouteInfo(topic),
                seen -> !seen.getQueueDatas().isEmpty());
        var queues = route.getQueueDatas().get(0);
        Check.equal("write queues", 4, queues.getWriteQueueNums());
        Check.equal("read queues", 4, queues.getReadQueueNums());
        Check.equal("permission", 6, queues.getPerm());
        Check.equal("body", "first", new String(server.read(topic, 1).get(0).getBody()));
    }

    private static void properties(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var body = new byte[256];
        IntStream.range(0, 256).forEach(value -> body[value] = (byte) value);
        var sent = new Message(topic, "标签", "key-1 ключ-2", body);
        sent.putUserProperty("city", "Zürich 🚀");
        sent.setFlag(0x1234_5678);
        sent.setBuyerId("buyer");
        var before = System.currentTimeMillis();
        var result = server.producer().send(sent);
        var stored = server.read(topic, 1).get(0);
        Check.that(java.util.Arrays.equals(body, stored.getBody()), "every byte value comes back");
        Check.equal("tags", sent.getTags(), stored.getTags());
        Check.equal("keys", sent.getKeys(), stored.getKeys());
        Check.equal("flag", sent.getFlag(), stored.getFlag());
        Check.equal("user property", "Zürich 🚀", stored.getUserProperty("city"));
        Check.equal("buyer", "buyer", stored.getBuyerId());
        Check.equal("cluster", server.cluster(), stored.getProperty("CLUSTER"));
        Check.equal("region", "DefaultRegion", stored.getProperty("MSG_REGION"));
        Check.equal("message id", result.getMsgId(), stored.getMsgId());
        Check.equal("topic", topic, stored.getTopic());
        Check.equal("reconsume times", 0, stored.getReconsumeTimes());
        Check.that(Math.abs(stored.getStoreTimestamp() - before) < 10_000, "store time is about now");
        Check.equal("born host", "127.0.0.1", stored.getBornHostString());
        Check.equal("broker", server.brokerName(), stored.getBrokerName());
    }
}
