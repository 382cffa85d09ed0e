//! Finding messages by key, unique id or position.

use rocketkube_protocol::Request;
use rocketkube_protocol::header::{QueryMessage, ViewMessage};
use rocketkube_store::{KeyQuery, PhysicalOffset};

use crate::answer::Reply;
use crate::broker::Broker;
use crate::refusal::AdminError;

/// Most messages of one answer. Source: `defaultQueryMaxNum` and the cap of 64 per broker.
const MAX_MESSAGES: usize = 64;
/// The same for a unique id, where only retries can make more than one.
const MAX_UNIQUE: usize = 32;

/// `QUERY_MESSAGE` (12): newest first.
pub(crate) fn by_key(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: QueryMessage<'_> = request.header()?;
    let unique_only = header.is_unique_key.unwrap_or_default();
    let asked = usize::try_from(header.max_messages).unwrap_or(0).clamp(1, MAX_MESSAGES);
    let found = broker.store.find_by_key(&KeyQuery {
        topic: &header.topic,
        key: &header.key,
        unique_only,
        stored: header.begin_timestamp..=header.end_timestamp,
        max_messages: if unique_only { MAX_UNIQUE } else { asked },
    })?;
    if found.messages == 0 {
        return Err(AdminError::NoMessageFound);
    }
    let reply = Reply::body(found.records).field("indexLastUpdateTimestamp", broker.now_ms());
    Ok(reply.field("indexLastUpdatePhyoffset", broker.store.confirmed()))
}

/// `VIEW_MESSAGE_BY_ID` (33): the message that begins at a physical offset.
pub(crate) fn by_position(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: ViewMessage<'_> = request.header()?;
    let none = AdminError::NoMessageAt { offset: header.physical_offset };
    let Ok(offset) = u64::try_from(header.physical_offset) else { return Err(none) };
    let mut record = Vec::new();
    let found = broker.store.record_at(PhysicalOffset(offset), &mut record)?;
    if found { Ok(Reply::body(record)) } else { Err(none) }
}
