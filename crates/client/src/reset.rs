//! Where consumer groups go on: set by an administrator.

use rocketkube_protocol::RequestCode;
use rocketkube_protocol::body::{MessageQueue, ResetOffsetBody};
use rocketkube_protocol::header::ResetOffset;

use crate::{Admin, ClientError};

/// Where a group is to go on in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// At the first message of each queue.
    Earliest,
    /// Behind the last message of each queue.
    Latest,
    /// At the first message of each queue that was stored at this time or later, in milliseconds of
    /// the epoch.
    Time(i64),
    /// At this queue offset of each queue, or at the nearest one that it has.
    Offset(i64),
}

impl Admin {
    /// Sets where a group goes on in a topic on the broker at `addr`. Members that are online go
    /// along, and what they had of it before counts no longer. Gives the new offsets by queue.
    ///
    /// `id` names the reset: our broker does one that it has done already not again, which whoever
    /// does not know how far it came relies on, and gives no offsets then.
    ///
    /// # Errors
    /// If the broker does not answer, or has no such topic or group. With [`ResetTo::Offset`] some
    /// queues may have been reset then.
    pub async fn reset_offsets(
        &self,
        addr: &str,
        group: &str,
        topic: &str,
        to: ResetTo,
        id: Option<&str>,
    ) -> Result<Vec<(MessageQueue, i64)>, ClientError> {
        let header = ResetOffset {
            group: group.into(),
            topic: topic.into(),
            is_force: true,
            request_id: id.map(Into::into),
            ..ResetOffset::default()
        };
        let timestamp = match to {
            ResetTo::Earliest => 0,
            ResetTo::Latest => -1,
            ResetTo::Time(at) => at,
            ResetTo::Offset(offset) => return self.reset_each(addr, &header, offset).await,
        };
        self.reset(addr, &ResetOffset { timestamp, ..header }).await
    }

    /// Brokers take an offset for one queue at a time.
    async fn reset_each(
        &self,
        addr: &str,
        header: &ResetOffset<'_>,
        offset: i64,
    ) -> Result<Vec<(MessageQueue, i64)>, ClientError> {
        let queues = self.topic_stats(addr, &header.topic).await?.offset_table.0;
        let mut done = Vec::with_capacity(queues.len());
        for (queue, bounds) in queues {
            let id = header.request_id.as_ref().map(|id| format!("{id}/{}", queue.queue_id).into());
            let one = ResetOffset {
                queue_id: Some(queue.queue_id),
                offset: Some(offset.min(bounds.max_offset).max(bounds.min_offset)),
                request_id: id,
                ..header.clone()
            };
            done.extend(self.reset(addr, &one).await?);
        }
        Ok(done)
    }

    async fn reset(
        &self,
        addr: &str,
        header: &ResetOffset<'_>,
    ) -> Result<Vec<(MessageQueue, i64)>, ClientError> {
        let answer: ResetOffsetBody =
            self.read(addr, RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, header).await?;
        Ok(answer.offset_table.0)
    }
}
