//! Headers of a client's life (34, 35, 36, 38), of transactions (37, 39), and of requests that a
//! broker sends to its clients (40, 220, 221, 307, 309, 326).

use super::Str;

/// Values of [`EndTransaction::decision`]. Source: `MessageSysFlag` of Apache RocketMQ 5.
pub mod decision {
    /// Not known; the broker asks again.
    pub const UNKNOWN: i32 = 0;
    /// Publish the half message.
    pub const COMMIT: i32 = 8;
    /// Forget the half message.
    pub const ROLLBACK: i32 = 12;
}

headers! {
    /// Answer to `HEART_BEAT` (34). Both fields concern only heartbeats with a fingerprint.
    HeartbeatAnswer {
        /// Whether heartbeats may leave out subscriptions that did not change.
        supports_v2: Option<bool> = "IS_SUPPORT_HEART_BEAT_V2";
        /// Whether the broker wants the full subscriptions again.
        subscriptions_changed: Option<bool> = "IS_SUB_CHANGE";
    }

    /// Request of `UNREGISTER_CLIENT` (35).
    UnregisterClient<'a> {
        /// Client id.
        client_id: Str<'a> = "clientID";
        /// Producer group it leaves.
        producer_group: Option<Str<'a>> = "producerGroup";
        /// Consumer group it leaves.
        consumer_group: Option<Str<'a>> = "consumerGroup";
    }

    /// A consumer group: requests of `GET_CONSUMER_LIST_BY_GROUP` (38),
    /// `GET_CONSUMER_CONNECTION_LIST` (203) and, from broker to client,
    /// `NOTIFY_CONSUMER_IDS_CHANGED` (40).
    ConsumerGroup<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
    }

    /// A producer group: request of `GET_PRODUCER_CONNECTION_LIST` (204).
    ProducerGroup<'a> {
        /// Producer group.
        producer_group: Str<'a> = "producerGroup";
    }

    /// Request of `CONSUMER_SEND_MSG_BACK` (36).
    SendMessageBack<'a> {
        /// Physical offset of the message.
        physical_offset: i64 = "offset";
        /// Consumer group.
        group: Str<'a> = "group";
        /// Delay level; 0 lets the broker choose, a negative one gives the message up.
        delay_level: i32 = "delayLevel";
        /// Id of the message.
        origin_message_id: Option<Str<'a>> = "originMsgId";
        /// Topic of the message.
        origin_topic: Option<Str<'a>> = "originTopic";
        /// Unit mode.
        unit_mode: Option<bool> = "unitMode";
        /// Tries after which the message is given up.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes";
        /// Broker the message came from.
        broker_name: Option<Str<'a>> = "bname";
    }

    /// Request of `END_TRANSACTION` (37).
    EndTransaction<'a> {
        /// Topic of the message; newer clients only.
        topic: Option<Str<'a>> = "topic";
        /// Producer group.
        producer_group: Str<'a> = "producerGroup";
        /// Queue offset of the half message.
        half_queue_offset: i64 = "tranStateTableOffset";
        /// Physical offset of the half message.
        half_physical_offset: i64 = "commitLogOffset";
        /// See [`decision`].
        decision: i32 = "commitOrRollback";
        /// Whether this answers a check of the broker; false if missing.
        from_check: Option<bool> = "fromTransactionCheck";
        /// Unique id of the message.
        unique_id: Str<'a> = "msgId";
        /// The same.
        transaction_id: Option<Str<'a>> = "transactionId";
        /// Broker the half message is on.
        broker_name: Option<Str<'a>> = "bname";
    }

    /// Broker to producer: `CHECK_TRANSACTION_STATE` (39).
    CheckTransactionState<'a> {
        /// Topic.
        topic: Option<Str<'a>> = "topic";
        /// Queue offset of the half message.
        half_queue_offset: i64 = "tranStateTableOffset";
        /// Physical offset of the half message.
        half_physical_offset: i64 = "commitLogOffset";
        /// Unique id of the message.
        unique_id: Option<Str<'a>> = "msgId";
        /// The same.
        transaction_id: Option<Str<'a>> = "transactionId";
        /// Offset message id of the half message.
        offset_message_id: Option<Str<'a>> = "offsetMsgId";
        /// Name of the broker.
        broker_name: Option<Str<'a>> = "bname";
    }

    /// Request of `RESUME_CHECK_HALF_MESSAGE` (323).
    ResumeCheckHalfMessage<'a> {
        /// Topic.
        topic: Option<Str<'a>> = "topic";
        /// Offset message id of the half message.
        offset_message_id: Option<Str<'a>> = "msgId";
    }

    /// Broker to consumer: `RESET_CONSUMER_CLIENT_OFFSET` (220).
    ResetClientOffset<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Consumer group.
        group: Str<'a> = "group";
        /// Time to go to, in milliseconds.
        timestamp: i64 = "timestamp";
        /// Whether to go back only.
        is_force: Option<bool> = "isForce";
        /// Queue; all if missing.
        queue_id: Option<i32> = "queueId";
        /// Queue offset to go to.
        offset: Option<i64> = "offset";
    }

    /// `GET_CONSUMER_STATUS_FROM_CLIENT` (221, broker to client) and
    /// `INVOKE_BROKER_TO_GET_CONSUMER_STATUS` (223, tool to broker).
    ConsumerStatus<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Consumer group.
        group: Str<'a> = "group";
        /// Client id; all members if missing or blank.
        client_id: Option<Str<'a>> = "clientAddr";
    }

    /// `GET_CONSUMER_RUNNING_INFO` (307), tool to broker and broker to client.
    ConsumerRunningInfo<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Client id.
        client_id: Str<'a> = "clientId";
        /// Whether stack traces are wanted.
        with_stacks: Option<bool> = "jstackEnable";
    }

    /// `CONSUME_MESSAGE_DIRECTLY` (309), tool to broker and broker to client.
    ConsumeDirectly<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Client id.
        client_id: Option<Str<'a>> = "clientId";
        /// Offset message id.
        message_id: Option<Str<'a>> = "msgId";
        /// Name of the broker.
        broker_name: Option<Str<'a>> = "brokerName";
        /// Topic.
        topic: Option<Str<'a>> = "topic";
        /// System flags of the topic.
        topic_sys_flag: Option<i32> = "topicSysFlag";
        /// System flags of the group.
        group_sys_flag: Option<i32> = "groupSysFlag";
    }

    /// Broker to requester: `PUSH_REPLY_MESSAGE_TO_CLIENT` (326). Go clients parse the numbers and
    /// addresses of all fields.
    PushReply<'a> {
        /// Producer group of the replier.
        producer_group: Str<'a> = "producerGroup";
        /// Reply topic.
        topic: Str<'a> = "topic";
        /// As in a send.
        default_topic: Str<'a> = "defaultTopic";
        /// As in a send.
        default_topic_queues: i32 = "defaultTopicQueueNums";
        /// As in a send.
        queue_id: i32 = "queueId";
        /// See [`sys_flag`](crate::record::sys_flag).
        sys_flag: i32 = "sysFlag";
        /// When the reply was made, in milliseconds.
        born_timestamp: i64 = "bornTimestamp";
        /// Flags of the application.
        flag: i32 = "flag";
        /// Properties in their string form.
        properties: Option<Str<'a>> = "properties";
        /// As in a send.
        reconsume_times: Option<i32> = "reconsumeTimes";
        /// As in a send.
        unit_mode: Option<bool> = "unitMode";
        /// Who replied, as `ip:port`.
        born_host: Str<'a> = "bornHost";
        /// The broker, as `ip:port`.
        store_host: Str<'a> = "storeHost";
        /// When the reply reached the broker, in milliseconds.
        store_timestamp: i64 = "storeTimestamp";
    }
}
