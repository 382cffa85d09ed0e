package dev.rocketkube.interop;

import java.util.List;
import java.util.Set;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;

/** Mistakes a user makes, and the code that tells. */
final class RefusalCases {
    private static final int NO_PERMISSION = 16;
    private static final int TOPIC_NOT_EXIST = 17;
    private static final int INVALID_PARAMETER = 29;

    private RefusalCases() {}

    static List<Case> all() {
        return List.of(
                new Case("refuse-topic-names", RefusalCases::topicNames),
                new Case("refuse-system-topics", RefusalCases::systemTopics),
                new Case("refuse-absent-topic", RefusalCases::absentTopic),
                new Case("refuse-absent-queue", RefusalCases::absentQueue),
                new Case("refuse-unreadable-topic", RefusalCases::unreadable),
                new Case("refuse-absent-message", RefusalCases::absentMessage));
    }

    private static void topicNames(Session session) throws Exception {
        var server = session.server();
        for (var name : List.of("bad topic", "bad/topic", "x".repeat(128))) {
            Check.refused("topic " + name, INVALID_PARAMETER,
                    () -> server.admin().createAndUpdateTopicConfig(server.brokerAddr(), Server.config(name, 1)));
        }
    }

    private static void systemTopics(Session session) throws Exception {
        var server = session.server();
        var admin = server.admin();
        Check.refused("creating a system topic", INVALID_PARAMETER,
                () -> admin.createAndUpdateTopicConfig(server.brokerAddr(), Server.config("SCHEDULE_TOPIC_XXXX", 1)));
        Check.refused("deleting a system topic", INVALID_PARAMETER,
                () -> admin.deleteTopicInBroker(Set.of(server.brokerAddr()), "TBW102"));
    }

    private static void absentTopic(Session session) throws Exception {
        var server = session.server();
        var absent = Server.fresh("absent");
        Check.refused("its route", TOPIC_NOT_EXIST, () -> server.admin().examineTopicRouteInfo(absent));
        server.reader().fetchSubscribeMessageQueues(server.topic(1));
        Check.refused("pulling from it", TOPIC_NOT_EXIST, () -> server.reader().pull(server.queue(absent, 0), "*", 0, 1));
        // A read creates nothing.
        Check.refused("its route after the pull", TOPIC_NOT_EXIST, () -> server.admin().examineTopicRouteInfo(absent));
    }

    private static void absentQueue(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(2);
        server.reader().fetchSubscribeMessageQueues(topic);
        Check.refused("sending to queue 2 of 2", INVALID_PARAMETER,
                () -> server.producer().send(new Message(topic, "x".getBytes()), server.queue(topic, 2)));
        Check.refused("pulling from queue 2 of 2", INVALID_PARAMETER,
                () -> server.reader().pull(server.queue(topic, 2), "*", 0, 1));
    }

    private static void unreadable(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        server.reader().fetchSubscribeMessageQueues(topic);
        var config = new TopicConfig(topic, 1, 1, 2);
        server.admin().createAndUpdateTopicConfig(server.brokerAddr(), config);
        Check.refused("pulling without read permission", NO_PERMISSION,
                () -> server.reader().pull(server.queue(topic, 0), "*", 0, 1));
    }

    private static void absentMessage(Session session) throws Exception {
        var server = session.server();
        var topic = server.topic(1);
        var sent = server.producer().send(new Message(topic, "x".getBytes()));
        // The address of the broker with an offset no log reaches.
        var id = sent.getOffsetMsgId().substring(0, 16) + "0FFFFFFFFFFFFFF0";
        Check.refused("an id behind the end of the log", 208, () -> server.admin().viewMessage(topic, id));
    }
}
