//! Headers about offsets: committed ones (14, 15) and those of a queue (29 to 32).

use super::Str;

headers! {
    /// Request of `QUERY_CONSUMER_OFFSET` (14).
    QueryConsumerOffset<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Whether a group without an offset may begin at 0; true if missing.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound";
    }

    /// Request of `UPDATE_CONSUMER_OFFSET` (15).
    UpdateConsumerOffset<'a> {
        /// Consumer group.
        consumer_group: Str<'a> = "consumerGroup";
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Queue offset of the next message to consume.
        commit_offset: i64 = "commitOffset";
    }

    /// Request of `SEARCH_OFFSET_BY_TIMESTAMP` (29).
    SearchOffset<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Store time, in milliseconds.
        timestamp: i64 = "timestamp";
        /// `LOWER` or `UPPER`, in any case; `LOWER` if missing.
        boundary: Option<Str<'a>> = "boundaryType";
    }

    /// Request of `GET_MAX_OFFSET` (30), `GET_MIN_OFFSET` (31) and `GET_EARLIEST_MSG_STORETIME`
    /// (32).
    QueueOfTopic<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Queue within the topic.
        queue_id: i32 = "queueId";
        /// Only `GET_MAX_OFFSET`: whether to count confirmed messages only; true if missing.
        committed: Option<bool> = "committed";
    }

    /// Answer to 14, 29, 30 and 31. Go clients read it without looking at the code.
    OffsetAnswer {
        /// Queue offset.
        offset: i64 = "offset";
    }

    /// Answer to `GET_EARLIEST_MSG_STORETIME` (32).
    TimestampAnswer {
        /// Store time in milliseconds; -1 if the queue is empty.
        timestamp: i64 = "timestamp";
    }
}
