//! Headers of leased consumption (200050 and up) and of `RECALL_MESSAGE` (370).

use super::Str;

headers! {
    /// Request of `POP_MESSAGE` (200050).
    PopMessage<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic; -1 for any.
        queue_id: i32 = "queueId";
        /// Most messages to answer with.
        max_messages: i32 = "maxMsgNums";
        /// How long the messages are hidden, in milliseconds.
        invisible_time_ms: i64 = "invisibleTime";
        /// Longest time to hold the request, in milliseconds.
        poll_time_ms: i64 = "pollTime";
        /// When the client sent the request, in milliseconds by its clock.
        born_time_ms: i64 = "bornTime";
        /// Where a new group begins: 0 at the first message, 1 behind the last.
        init_mode: i32 = "initMode";
        /// `TAG` or `SQL92`; `TAG` if missing.
        expression_type: Option<Str<'a>> = "expType";
        /// Text of the subscription; all messages if missing.
        expression: Option<Str<'a>> = "exp";
        /// Whether messages of a queue are leased one batch at a time.
        order: Option<bool> = "order";
        /// The same text again allows delivering the same messages again.
        attempt_id: Option<Str<'a>> = "attemptId";
    }

    /// Answer to `POP_MESSAGE`.
    PopAnswer<'a> {
        /// When the messages were leased, in milliseconds.
        pop_time_ms: i64 = "popTime";
        /// How long they are hidden, in milliseconds.
        invisible_time_ms: i64 = "invisibleTime";
        /// Revive queue; 999 in order mode.
        revive_queue_id: i32 = "reviveQid";
        /// Messages left in the queues.
        rest: i64 = "restNum";
        /// Per queue, the offset the lease counts from.
        start_offsets: Option<Str<'a>> = "startOffsetInfo";
        /// Per queue, the offsets of the messages.
        message_offsets: Option<Str<'a>> = "msgOffsetInfo";
        /// Per queue, how often messages were consumed in order mode.
        order_counts: Option<Str<'a>> = "orderCountInfo";
    }

    /// Request of `ACK_MESSAGE` (200051).
    AckMessage<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic the message was leased from: perhaps a retry topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Receipt handle.
        extra_info: Str<'a> = "extraInfo";
        /// Queue offset of the message.
        offset: i64 = "offset";
    }

    /// Request of `CHANGE_MESSAGE_INVISIBLETIME` (200053).
    ChangeInvisibleTime<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic the message was leased from.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Receipt handle.
        extra_info: Str<'a> = "extraInfo";
        /// Queue offset of the message.
        offset: i64 = "offset";
        /// How long from now on, in milliseconds.
        invisible_time_ms: i64 = "invisibleTime";
    }

    /// Answer to `CHANGE_MESSAGE_INVISIBLETIME`.
    ChangeInvisibleTimeAnswer {
        /// When the new lease began, in milliseconds.
        pop_time_ms: i64 = "popTime";
        /// How long it lasts, in milliseconds.
        invisible_time_ms: i64 = "invisibleTime";
        /// Revive queue.
        revive_queue_id: i32 = "reviveQid";
    }

    /// Request of `NOTIFICATION` (200054).
    Notification<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic; -1 for any.
        queue_id: i32 = "queueId";
        /// Longest time to hold the request, in milliseconds.
        poll_time_ms: i64 = "pollTime";
        /// When the client sent the request, in milliseconds by its clock.
        born_time_ms: i64 = "bornTime";
        /// As in [`PopMessage`].
        order: Option<bool> = "order";
        /// As in [`PopMessage`].
        attempt_id: Option<Str<'a>> = "attemptId";
    }

    /// Answer to `NOTIFICATION`.
    NotificationAnswer {
        /// Whether there is something to lease.
        has_message: bool = "hasMsg";
        /// Whether too many wait already.
        polling_full: Option<bool> = "pollingFull";
    }

    /// Request of `POLLING_INFO` (200055).
    PollingInfo<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
    }

    /// Answer to `POLLING_INFO`.
    PollingInfoAnswer {
        /// How many requests wait.
        polling: i32 = "pollingNum";
    }

    /// Request of `PEEK_MESSAGE` (200052).
    PeekMessage<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Most messages to answer with.
        max_messages: i32 = "maxMsgNums";
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
    }

    /// Request of `RECALL_MESSAGE` (370).
    RecallMessage<'a> {
        /// Producer group.
        producer_group: Option<Str<'a>> = "producerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Handle from the answer to the send.
        recall_handle: Str<'a> = "recallHandle";
    }

    /// Answer to `RECALL_MESSAGE`.
    RecallAnswer<'a> {
        /// Unique id of the recalled message.
        message_id: Str<'a> = "msgId";
    }
}
