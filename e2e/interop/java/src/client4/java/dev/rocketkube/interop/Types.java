package dev.rocketkube.interop;

import java.util.Set;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What the other line of the client has under another package or signature; elsewhere {@code var} hides the difference. */
final class Types {
    static final MessageModel BROADCASTING = MessageModel.BROADCASTING;

    private Types() {}

    static SubscriptionGroupConfig consumerGroup(String name) {
        var config = new SubscriptionGroupConfig();
        config.setGroupName(name);
        return config;
    }

    static void createTopic(DefaultMQAdminExt admin, String key, String topic, int queues) throws MQClientException {
        admin.createTopic(key, topic, queues);
    }

    static void deleteRoute(Server server, String topic) throws Exception {
        server.admin().deleteTopicInNameServer(Set.of(server.namesrv()), topic, server.cluster());
    }

    static void resetQueue(Server server, String group, String topic, int queue, long offset) throws Exception {
        server.admin().updateConsumeOffset(server.brokerAddr(), group, server.queue(topic, queue), offset);
    }
}
