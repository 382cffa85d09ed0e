//! Headers of reading: `PULL_MESSAGE` (11), `LITE_PULL_MESSAGE` (361), and finding single messages
//! (12, 33, 321).

use super::Str;

/// Bits of [`PullMessage::sys_flag`]. Source: `PullSysFlag` of Apache RocketMQ 5.
pub mod pull_flag {
    /// `commit_offset` is meant.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The broker may hold the request until a message comes.
    pub const SUSPEND: i32 = 2;
    /// The subscription is in the request.
    pub const SUBSCRIPTION: i32 = 4;
    /// Filter by a class; obsolete.
    pub const CLASS_FILTER: i32 = 8;
    /// Sent by a lite pull consumer.
    pub const LITE_PULL: i32 = 16;
}

headers! {
    /// Request of `PULL_MESSAGE` (11) and `LITE_PULL_MESSAGE` (361).
    PullMessage<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Queue offset to begin at.
        queue_offset: i64 = "queueOffset";
        /// Most messages to answer with.
        max_messages: i32 = "maxMsgNums";
        /// See [`pull_flag`].
        sys_flag: i32 = "sysFlag";
        /// Queue offset to commit for the group, if the flags say so.
        commit_offset: i64 = "commitOffset";
        /// Longest time to hold the request, in milliseconds.
        suspend_timeout_ms: i64 = "suspendTimeoutMillis";
        /// Text of the subscription, if the flags say so.
        subscription: Option<Str<'a>> = "subscription";
        /// Version of the subscription; milliseconds, nanoseconds or 0.
        subscription_version: i64 = "subVersion";
        /// `TAG` or `SQL92`; `TAG` if missing.
        expression_type: Option<Str<'a>> = "expressionType";
        /// Most bytes to answer with.
        max_bytes: Option<i32> = "maxMsgBytes";
        /// Set by proxies.
        request_source: Option<i32> = "requestSource";
        /// Set by proxies; spelled so on the wire.
        proxy_forward_client_id: Option<Str<'a>> = "proxyFrowardClientId";
    }

    /// Answer to a pull, with the codes 0, 19, 20 and 21. Without one of the first four fields Java
    /// clients fail with a null pointer.
    PullAnswer {
        /// Broker id to pull from next; 0 is the master.
        suggested_broker_id: i64 = "suggestWhichBrokerId";
        /// Queue offset to go on at.
        next_begin_offset: i64 = "nextBeginOffset";
        /// First queue offset that is still there.
        min_offset: i64 = "minOffset";
        /// Queue offset the next message will get.
        max_offset: i64 = "maxOffset";
        /// To be added to the offsets in records; static topics only.
        offset_delta: Option<i64> = "offsetDelta";
        /// System flags of the topic.
        topic_sys_flag: Option<i32> = "topicSysFlag";
        /// System flags of the group.
        group_sys_flag: Option<i32> = "groupSysFlag";
        /// Why reading is forbidden.
        forbidden_type: Option<i32> = "forbiddenType";
    }

    /// Request of `VIEW_MESSAGE_BY_ID` (33).
    ViewMessage<'a> {
        /// Topic; not needed.
        topic: Option<Str<'a>> = "topic";
        /// Physical offset of the message.
        physical_offset: i64 = "offset";
    }

    /// Request of `QUERY_MESSAGE` (12).
    QueryMessage<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// One of the message's keys, or its unique id.
        key: Str<'a> = "key";
        /// Most messages to answer with.
        max_messages: i32 = "maxNum";
        /// First store time, in milliseconds.
        begin_timestamp: i64 = "beginTimestamp";
        /// Last store time, in milliseconds.
        end_timestamp: i64 = "endTimestamp";
        /// Whether `key` is a unique id.
        is_unique_key: Option<bool> = "_UNIQUE_KEY_QUERY";
        /// Kind of index, of later releases.
        index_type: Option<Str<'a>> = "indexType";
        /// Where to go on, of later releases.
        last_key: Option<Str<'a>> = "lastKey";
    }

    /// Answer to `QUERY_MESSAGE`.
    QueryMessageAnswer {
        /// Store time up to which the index reaches, in milliseconds.
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp";
        /// Physical offset up to which the index reaches.
        index_last_update_physical_offset: i64 = "indexLastUpdatePhyoffset";
    }

    /// Request of `QUERY_CONSUME_QUEUE` (321).
    QueryConsumeQueue<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// First queue offset.
        index: i64 = "index";
        /// How many entries.
        count: i32 = "count";
        /// Group whose subscription shall be applied.
        consumer_group: Option<Str<'a>> = "consumerGroup";
    }
}
