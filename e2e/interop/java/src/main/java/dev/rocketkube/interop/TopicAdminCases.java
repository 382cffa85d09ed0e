package dev.rocketkube.interop;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;

/** Topics through {@code DefaultMQAdminExt}. */
final class TopicAdminCases {
    private static final int TOPIC_NOT_EXIST = 17;

    private TopicAdminCases() {}

    static List<Case> all() {
        return List.of(
                new Case("admin-topic-create-update", TopicAdminCases::createUpdate),
                new Case("admin-topic-delete", TopicAdminCases::delete),
                new Case("admin-topic-recreate", TopicAdminCases::recreate),
                new Case("admin-topic-stats", TopicAdminCases::stats),
                new Case("admin-topic-by-producer", TopicAdminCases::byProducer),
                new Case("admin-topic-grows", TopicAdminCases::grows));
    }

    private static void createUpdate(Session session) throws Exception {
        var server = session.server();
        var admin = server.admin();
        var topic = server.topic(4);
        var config = admin.examineTopicConfig(server.brokerAddr(), topic);
        Check.equal("read queues", 4, config.getReadQueueNums());
        Check.equal("write queues", 4, config.getWriteQueueNums());
        Check.equal("permission", 6, config.getPerm());

        server.publish(new TopicConfig(topic, 8, 6, 4));
        Check.becomes("read queues in the broker's list", 8, () -> listed(server).get(topic).getReadQueueNums());
        Check.that(admin.fetchAllTopicList().getTopicList().contains(topic), "the name server lists the topic");
        Check.that(admin.fetchTopicsByCLuster(server.cluster()).getTopicList().contains(topic), "the cluster lists it");
    }

    /** Apache's broker may answer 1 while other topics come and go, so callers ask until it fits. */
    private static Map<String, TopicConfig> listed(Server server) throws Exception {
        return server.admin().getAllTopicConfig(server.brokerAddr(), 5000).getTopicConfigTable();
    }

    /** Deletes as the tools do: on the broker, then at the name server. */
    private static void remove(Server server, String topic) throws Exception {
        server.admin().deleteTopicInBroker(Set.of(server.brokerAddr()), topic);
        Types.deleteRoute(server, topic);
    }

    private static void delete(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        server.send(topic, 2);
        remove(server, topic);
        Check.eventually("no route of a deleted topic", () -> {
            Check.refused("its route", TOPIC_NOT_EXIST, () -> server.admin().examineTopicRouteInfo(topic));
            return true;
        }, gone -> gone);
        Check.becomes("in the broker's list", false, () -> listed(server).containsKey(topic));
        // Deleting what is not there is no error.
        server.admin().deleteTopicInBroker(Set.of(server.brokerAddr()), topic);
    }

    private static void recreate(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var queue = server.queue(topic, 0);
        server.send(topic, 5);
        Check.becomes("max before", 5L, () -> server.admin().maxOffset(queue));
        remove(server, topic);
        server.publish(Server.config(topic, 1));
        Check.becomes("queues again", 1, () -> server.producer().fetchPublishMessageQueues(topic).size());
        Check.equal("offsets begin again", 0L, server.producer().send(new Message(topic, "new".getBytes())).getQueueOffset());
        Check.equal("bodies", List.of("new"),
                server.read(topic, 1).stream().map(message -> new String(message.getBody())).toList());
    }

    private static void stats(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(3);
        for (var count = 0; count < 2; count++) {
            server.producer().send(new Message(topic, "x".getBytes()), server.queue(topic, 1));
        }
        var stored = server.read(topic, 2);
        var table = server.admin().examineTopicStats(topic).getOffsetTable();
        Check.equal("queues", 3, table.size());
        var used = table.get(server.queue(topic, 1));
        Check.equal("max", 2L, used.getMaxOffset());
        Check.equal("min", 0L, used.getMinOffset());
        Check.equal("last update", stored.get(1).getStoreTimestamp(), used.getLastUpdateTimestamp());
        Check.equal("max of an unused queue", 0L, table.get(server.queue(topic, 0)).getMaxOffset());
    }

    private static void byProducer(Session session) throws Exception {
        var server = session.server();
        var topic = Server.fresh("interop");
        // TBW102 is the key under which stock clients find every broker that creates topics.
        Check.eventually("createTopic", () -> {
            Types.createTopic(server.admin(), "TBW102", topic, 5);
            return true;
        }, done -> done);
        Check.becomes("queues", 5, () -> server.producer().fetchPublishMessageQueues(topic).size());
        Check.equal("status", SendStatus.SEND_OK,
                server.producer().send(new Message(topic, "x".getBytes())).getSendStatus());
    }

    private static void grows(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var inbox = new Inbox();
        session.pushConsumer(Server.fresh("group"), topic, "*", inbox).start();
        inbox.awaitExactly(server.send(topic, 1));
        server.publish(Server.config(topic, 4));
        Check.becomes("queues", 4, () -> server.producer().fetchPublishMessageQueues(topic).size());
        for (var queue = 0; queue < 4; queue++) {
            server.producer().send(new Message(topic, ("queue-" + queue).getBytes()), server.queue(topic, queue));
        }
        inbox.awaitAll(List.of("queue-0", "queue-1", "queue-2", "queue-3"));
    }
}
