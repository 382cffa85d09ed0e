//! Headers of broker administration: topics, consumer groups, progress, statistics.

use super::Str;

headers! {
    /// Request of `UPDATE_AND_CREATE_TOPIC` (17).
    CreateTopic<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Template.
        default_topic: Str<'a> = "defaultTopic";
        /// Queues to read from.
        read_queues: i32 = "readQueueNums";
        /// Queues to write to.
        write_queues: i32 = "writeQueueNums";
        /// Permission bits: 4 read, 2 write, 1 inherit.
        perm: i32 = "perm";
        /// `SINGLE_TAG` or `MULTI_TAG`.
        filter_type: Str<'a> = "topicFilterType";
        /// System flags of the topic.
        topic_sys_flag: Option<i32> = "topicSysFlag";
        /// Whether the topic is ordered.
        order: bool = "order";
        /// `+key=value` and `-key`, joined by commas.
        attributes: Option<Str<'a>> = "attributes";
        /// Whether to overwrite a mapped topic.
        force: Option<bool> = "force";
    }

    /// Request of `UPDATE_AND_CREATE_TOPIC_LIST` (18).
    CreateTopicList {
        /// As in [`CreateTopic`].
        force: Option<bool> = "force";
    }

    /// A topic: requests of `DELETE_TOPIC_IN_BROKER` (215), `GET_TOPIC_STATS_INFO` (202),
    /// `QUERY_TOPIC_CONSUME_BY_WHO` (300), `GET_TOPIC_CONFIG` (351) and, at the name server,
    /// `REGISTER_TOPIC_IN_NAMESRV` (217).
    TopicName<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
    }

    /// Request of `GET_ALL_TOPIC_CONFIG` (21). Old clients send no field.
    GetAllTopicConfig<'a> {
        /// First topic wanted, as a number.
        topic_seq: Option<i32> = "topicSeq";
        /// Data version of the pages before, as JSON.
        data_version: Option<Str<'a>> = "dataVersion";
        /// Most topics in the answer.
        max_topics: Option<i32> = "maxTopicNum";
    }

    /// Answer to `GET_ALL_TOPIC_CONFIG` for clients that page; without it they take the body for
    /// complete.
    AllTopicConfigAnswer {
        /// How many topics there are.
        total: i32 = "totalTopicNum";
    }

    /// Request of `GET_ALL_SUBSCRIPTIONGROUP_CONFIG` (201). Old clients send no field.
    GetAllGroupConfig<'a> {
        /// First group wanted, as a number.
        group_seq: Option<i32> = "groupSeq";
        /// Data version of the pages before, as JSON.
        data_version: Option<Str<'a>> = "dataVersion";
        /// Most groups in the answer.
        max_groups: Option<i32> = "maxGroupNum";
    }

    /// Answer to `GET_ALL_SUBSCRIPTIONGROUP_CONFIG` for clients that page.
    AllGroupConfigAnswer {
        /// How many groups there are.
        total: i32 = "totalGroupNum";
    }

    /// A group: requests of `GET_SUBSCRIPTIONGROUP_CONFIG` (352) and `QUERY_TOPICS_BY_CONSUMER`
    /// (343).
    GroupName<'a> {
        /// Consumer group.
        group: Str<'a> = "group";
    }

    /// Request of `DELETE_SUBSCRIPTIONGROUP` (207).
    DeleteGroup<'a> {
        /// Consumer group.
        group: Str<'a> = "groupName";
        /// Whether to delete its offsets too.
        clean_offset: Option<bool> = "cleanOffset";
    }

    /// Request of `UPDATE_AND_GET_GROUP_FORBIDDEN` (353).
    GroupForbidden<'a> {
        /// Consumer group.
        group: Str<'a> = "group";
        /// Topic.
        topic: Str<'a> = "topic";
        /// What to set; only asked if missing.
        readable: Option<bool> = "readable";
    }

    /// Group and topic: requests of `QUERY_SUBSCRIPTION_BY_CONSUMER` (345) and
    /// `QUERY_CONSUME_TIME_SPAN` (303).
    GroupAndTopic<'a> {
        /// Consumer group.
        group: Str<'a> = "group";
        /// Topic.
        topic: Str<'a> = "topic";
    }

    /// Request of `GET_CONSUME_STATS` (208).
    GetConsumeStats<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// One topic; all the group has offsets for if missing.
        topic: Option<Str<'a>> = "topic";
        /// Topics joined by `;`; goes before `topic`.
        topics: Option<Str<'a>> = "topicList";
    }

    /// Request of `GET_BROKER_CONSUME_STATS` (317).
    BrokerConsumeStats {
        /// Whether orderly groups are meant.
        is_order: bool = "isOrder";
    }

    /// Request of `QUERY_CORRECTION_OFFSET` (308).
    QueryCorrectionOffset<'a> {
        /// Groups to leave out, joined by commas.
        filter_groups: Option<Str<'a>> = "filterGroups";
        /// Group to compare with.
        compare_group: Str<'a> = "compareGroup";
        /// Topic.
        topic: Str<'a> = "topic";
    }

    /// Request of `INVOKE_BROKER_TO_RESET_OFFSET` (222).
    ResetOffset<'a> {
        /// Consumer group.
        group: Str<'a> = "group";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Store time to go to, in milliseconds; -1 for the end.
        timestamp: i64 = "timestamp";
        /// Whether to go forward as well as back.
        is_force: bool = "isForce";
        /// Queue; all if negative or missing.
        queue_id: Option<i32> = "queueId";
        /// Queue offset to go to; by time if negative or missing.
        offset: Option<i64> = "offset";
        /// Names the reset: one that was done already is not done again. Our own; Apache's broker
        /// takes no notice of it.
        request_id: Option<Str<'a>> = "requestId";
    }

    /// Request of `CLONE_GROUP_OFFSET` (314).
    CloneGroupOffset<'a> {
        /// Group to copy from.
        src_group: Str<'a> = "srcGroup";
        /// Group to copy to.
        dest_group: Str<'a> = "destGroup";
        /// One topic; all if missing or blank.
        topic: Option<Str<'a>> = "topic";
        /// Whether the group to copy to must be offline.
        offline: Option<bool> = "offline";
    }

    /// Request of `VIEW_BROKER_STATS_DATA` (315).
    ViewStats<'a> {
        /// Name of the statistics, for example `TOPIC_PUT_NUMS`.
        name: Str<'a> = "statsName";
        /// Key within it, for example a topic.
        key: Str<'a> = "statsKey";
    }

    /// Answer to `GET_BROKER_CONFIG` (26).
    BrokerConfigAnswer<'a> {
        /// Data version, as JSON.
        version: Str<'a> = "version";
    }
}
