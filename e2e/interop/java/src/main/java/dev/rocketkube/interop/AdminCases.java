package dev.rocketkube.interop;

import java.util.List;
import java.util.Set;

/** Groups, cluster, runtime and progress through {@code DefaultMQAdminExt}. */
final class AdminCases {
    private static final long TIMEOUT_MS = 5000;
    /** Keys of the runtime table that dashboards and exporters read on every refresh. */
    private static final Set<String> RUNTIME_KEYS = Set.of(
            "bootTimestamp", "brokerVersionDesc", "commitLogMaxOffset", "commitLogMinOffset",
            "getTotalTps", "msgPutTotalTodayNow", "msgPutTotalTodayMorning", "msgGetTotalTodayNow", "putTps", "runtime");

    private AdminCases() {}

    static List<Case> all() {
        return List.of(
                new Case("admin-group", AdminCases::group),
                new Case("admin-cluster", AdminCases::cluster),
                new Case("admin-runtime", AdminCases::runtime),
                new Case("admin-broker-config", AdminCases::brokerConfig),
                new Case("admin-consume-stats", AdminCases::consumeStats),
                new Case("admin-consumer-connection", AdminCases::consumerConnection),
                new Case("admin-producer-connection", AdminCases::producerConnection),
                new Case("admin-kv-config", AdminCases::kvConfig));
    }

    private static void group(Session session) throws Exception {
        var server = session.server();
        var admin = server.admin();
        var name = Server.fresh("group");
        var config = Types.consumerGroup(name);
        config.setRetryMaxTimes(3);
        admin.createAndUpdateSubscriptionGroupConfig(server.brokerAddr(), config);
        var stored = admin.examineSubscriptionGroupConfig(server.brokerAddr(), name);
        Check.equal("retries", 3, stored.getRetryMaxTimes());
        config.setRetryMaxTimes(5);
        admin.createAndUpdateSubscriptionGroupConfig(server.brokerAddr(), config);
        var all = admin.getAllSubscriptionGroup(server.brokerAddr(), TIMEOUT_MS).getSubscriptionGroupTable();
        Check.equal("retries in the list", 5, all.get(name).getRetryMaxTimes());
        admin.deleteSubscriptionGroup(server.brokerAddr(), name, true);
        var left = admin.getAllSubscriptionGroup(server.brokerAddr(), TIMEOUT_MS).getSubscriptionGroupTable();
        Check.that(!left.containsKey(name), "the group is gone");
    }

    private static void cluster(Session session) throws Exception {
        var server = session.server();
        var info = server.admin().examineBrokerClusterInfo();
        Check.equal("cluster", "DefaultCluster", server.cluster());
        Check.equal("brokers", Set.of(server.brokerName()), info.getClusterAddrTable().get(server.cluster()));
        Check.equal("name servers", List.of(server.namesrv()), server.admin().getNameServerAddressList());
    }

    private static void runtime(Session session) throws Exception {
        var server = session.server();
        var table = server.admin().fetchBrokerRuntimeStats(server.brokerAddr()).getTable();
        Check.equal("missing keys", Set.of(),
                Set.copyOf(RUNTIME_KEYS.stream().filter(key -> !table.containsKey(key)).toList()));
        Check.that(Long.parseLong(table.get("bootTimestamp")) > 0, "boot time is a number");
        // Rates over the last windows, separated by blanks; Apache's broker has none before its first window ends.
        for (var rate : (table.get("putTps") + " " + table.get("getTotalTps")).trim().split(" +")) {
            Check.that(rate.isEmpty() || Double.parseDouble(rate) >= 0, "a rate is a number: " + rate);
        }
    }

    private static void brokerConfig(Session session) throws Exception {
        var server = session.server();
        var config = server.admin().getBrokerConfig(server.brokerAddr());
        Check.equal("brokerName", server.brokerName(), config.getProperty("brokerName"));
        Check.equal("brokerClusterName", server.cluster(), config.getProperty("brokerClusterName"));
        Check.equal("brokerId", "0", config.getProperty("brokerId"));
    }

    private static void consumeStats(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        var group = Server.fresh("group");
        var inbox = new Inbox();
        var consumer = session.pushConsumer(group, topic, "*", inbox);
        consumer.start();
        inbox.awaitExactly(server.send(topic, 8));
        Check.becomes("lag of a group that read all", 0L, () -> {
            var stats = server.admin().examineConsumeStats(group, topic);
            return stats.getOffsetTable().size() == 2 ? stats.computeTotalDiff() : -1L;
        });
        consumer.shutdown();
        server.send(topic, 4);
        Check.becomes("lag of a group that left", 4L, () -> server.admin().examineConsumeStats(group, topic).computeTotalDiff());
        var queue = server.admin().examineConsumeStats(group, topic).getOffsetTable().get(server.queue(topic, 0));
        Check.equal("broker offset", 6L, queue.getBrokerOffset());
        Check.equal("consumer offset", 4L, queue.getConsumerOffset());
        Check.that(server.admin().queryTopicConsumeByWho(topic).getGroupList().contains(group), "the topic knows its group");
    }

    private static void consumerConnection(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var group = Server.fresh("group");
        var consumer = session.pushConsumer(group, topic, "red", new Inbox());
        consumer.start();
        var seen = Check.eventually("one member", () -> server.admin().examineConsumerConnectionInfo(group),
                connections -> connections.getConnectionSet().size() == 1);
        Check.equal("client id", consumer.buildMQClientId(), seen.getConnectionSet().iterator().next().getClientId());
        Check.equal("subscription", "red", seen.getSubscriptionTable().get(topic).getSubString());
        consumer.shutdown();
        Check.refused("a group nobody is in", 206, () -> server.admin().examineConsumerConnectionInfo(group));
    }

    private static void producerConnection(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var producer = session.producer();
        producer.start();
        producer.send(new org.apache.rocketmq.common.message.Message(topic, "x".getBytes()));
        var seen = Check.eventually("one producer",
                () -> server.admin().examineProducerConnectionInfo(producer.getProducerGroup(), topic),
                connections -> connections.getConnectionSet().size() == 1);
        Check.equal("client id", producer.buildMQClientId(), seen.getConnectionSet().iterator().next().getClientId());
    }

    private static void kvConfig(Session session) throws Exception {
        var server = session.server();
        var space = Server.fresh("space");
        server.admin().createAndUpdateKvConfig(space, "key", "value");
        Check.equal("value", "value", server.admin().getKVConfig(space, "key"));
        server.admin().deleteKvConfig(space, "key");
        Check.refused("a deleted key", 22, () -> server.admin().getKVConfig(space, "key"));
    }
}
