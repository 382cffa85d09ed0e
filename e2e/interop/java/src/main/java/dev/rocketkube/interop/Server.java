package dev.rocketkube.interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * The server under test and the clients that all cases share because they keep no state between calls:
 * each client of its own costs some thirty threads and seconds to shut down.
 */
record Server(
        String namesrv,
        DefaultMQProducer producer,
        DefaultMQPullConsumer reader,
        DefaultMQAdminExt admin,
        String cluster,
        String brokerName,
        String brokerAddr) {

    private static final int READ_WRITE = 6;
    private static final Duration SHOWN = Duration.ofSeconds(5);
    private static final int ATTEMPTS = 5;

    static Server connect(String namesrv) throws Exception {
        var producer = producer(namesrv);
        producer.start();
        var reader = tuned(new DefaultMQPullConsumer(fresh("interop-reader")), namesrv);
        reader.start();
        var admin = tuned(new DefaultMQAdminExt(), namesrv);
        admin.start();
        var clusters = Check.eventually("a broker in the cluster", admin::examineBrokerClusterInfo,
                info -> !info.getBrokerAddrTable().isEmpty());
        var broker = clusters.getBrokerAddrTable().values().iterator().next();
        return new Server(namesrv, producer, reader, admin, broker.getCluster(), broker.getBrokerName(),
                broker.getBrokerAddrs().get(0L));
    }

    /** Short periods where a stock client's race would otherwise cost a case 30 s; nothing else is changed. */
    static <C extends ClientConfig> C tuned(C client, String namesrv) {
        client.setNamesrvAddr(namesrv);
        client.setInstanceName(fresh("instance"));
        client.setHeartbeatBrokerInterval(1000);
        client.setPollNameServerInterval(1000);
        client.setPersistConsumerOffsetInterval(1000);
        return client;
    }

    /** A producer, not started, with time enough for a busy test machine: the default is 3 s for all tries together. */
    static DefaultMQProducer producer(String namesrv) {
        var producer = tuned(new DefaultMQProducer(fresh("interop-producer")), namesrv);
        producer.setSendMsgTimeout(15_000);
        return producer;
    }

    /** A name no other case or run uses. */
    static String fresh(String stem) {
        return stem + "-" + Long.toHexString(ThreadLocalRandom.current().nextLong());
    }

    static TopicConfig config(String topic, int queues) {
        return new TopicConfig(topic, queues, queues, READ_WRITE);
    }

    /** A new topic with this many queues, known to the name server. */
    String topic(int queues) throws Exception {
        var topic = fresh("interop");
        publish(config(topic, queues));
        Check.becomes("queues of a new topic", queues, () -> producer.fetchPublishMessageQueues(topic).size());
        return topic;
    }

    /**
     * Creates or changes a topic and waits until its route says so.
     *
     * <p>When two topics of Apache's broker change at once, both registrations may carry the version of the second,
     * and its name server drops the one that comes later as known. Only another change of that topic helps, so one
     * that does not show is made again by way of one queue more. Where no registration is lost, this never happens.
     */
    void publish(TopicConfig config) throws Exception {
        for (var attempt = 1; ; attempt++) {
            if (attempt > 1) {
                var detour = new TopicConfig(config.getTopicName(), config.getReadQueueNums() + 1,
                        config.getWriteQueueNums() + 1, config.getPerm());
                admin.createAndUpdateTopicConfig(brokerAddr, detour);
            }
            admin.createAndUpdateTopicConfig(brokerAddr, config);
            try {
                Check.within(SHOWN, "route of " + config, () -> routed(config.getTopicName()),
                        seen -> seen.equals(List.of(config.getReadQueueNums(), config.getWriteQueueNums(), config.getPerm())));
                return;
            } catch (AssertionError notShown) {
                if (attempt == ATTEMPTS) {
                    throw notShown;
                }
            }
        }
    }

    /** Read queues, write queues and permission, as the name server tells clients. */
    private List<Integer> routed(String topic) throws Exception {
        var queues = admin.examineTopicRouteInfo(topic).getQueueDatas().get(0);
        return List.of(queues.getReadQueueNums(), queues.getWriteQueueNums(), queues.getPerm());
    }

    MessageQueue queue(String topic, int id) {
        return new MessageQueue(topic, brokerName, id);
    }

    /** All queues of a topic that has {@code count}. */
    List<MessageQueue> queues(String topic, int count) {
        return IntStream.range(0, count).mapToObj(id -> queue(topic, id)).toList();
    }

    /** Sends {@code count} small messages, round robin, and returns their bodies in the order of sending. */
    List<String> send(String topic, int count) throws Exception {
        var stem = fresh("body");
        var bodies = IntStream.range(0, count).mapToObj(index -> stem + "-" + index).toList();
        for (var body : bodies) {
            producer.send(new Message(topic, body.getBytes()));
        }
        return bodies;
    }

    /** Waits until the topic holds {@code count} messages and returns them by queue, then by offset. */
    List<MessageExt> read(String topic, int count) throws Exception {
        return Check.eventually(count + " messages in " + topic, () -> readOnce(topic), found -> found.size() >= count);
    }

    private List<MessageExt> readOnce(String topic) throws Exception {
        var found = new ArrayList<MessageExt>();
        for (var queue : reader.fetchSubscribeMessageQueues(topic)) {
            var result = reader.pull(queue, "*", 0, 32);
            while (result.getPullStatus() == PullStatus.FOUND) {
                found.addAll(result.getMsgFoundList());
                result = reader.pull(queue, "*", result.getNextBeginOffset(), 32);
            }
        }
        found.sort(Comparator.comparing(MessageExt::getQueueId).thenComparing(MessageExt::getQueueOffset));
        return found;
    }
}
