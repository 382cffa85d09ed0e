//! Administration of consumer groups.

use std::collections::BTreeMap;

use rocketkube_protocol::body::{Body, SubscriptionGroupConfig, SubscriptionGroupTable};
use rocketkube_protocol::header::{DeleteGroup, GroupName};
use rocketkube_protocol::{Request, names};

use super::decode;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::refusal::AdminError;

/// Most retries that can be asked for; more would go on for years.
const MAX_RETRIES: i32 = 100_000;

/// `UPDATE_AND_CREATE_SUBSCRIPTIONGROUP` (200).
pub(crate) fn update(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let config: SubscriptionGroupConfig = decode(request.body, "consumer group")?;
    names::check_group(&config.group_name)?;
    let retries = config.retry_max_times;
    if !(-1..=MAX_RETRIES).contains(&retries) {
        let (value, expected) = (retries.to_string(), "-1 to 100000");
        return Err(AdminError::Parameter { field: "retryMaxTimes", value, expected });
    }
    let queues = config.retry_queue_nums;
    if u32::try_from(queues).is_ok_and(|queues| queues <= names::MAX_QUEUES) {
        return Ok(Reply::after(broker.put_group(&config)?));
    }
    let (value, expected) = (queues.to_string(), "0 to 65536");
    Err(AdminError::Parameter { field: "retryQueueNums", value, expected })
}

/// `GET_ALL_SUBSCRIPTIONGROUP_CONFIG` (201). Without paging, like the list of topics.
pub(crate) fn all(broker: &Broker) -> Reply {
    let names = broker.store.groups();
    let configs = names.iter().filter_map(|group| broker.group(group.name()));
    let table = configs.map(|config| (config.group_name.clone(), config)).collect();
    let body = SubscriptionGroupTable {
        data_version: broker.data_version(),
        forbidden_table: BTreeMap::new(),
        subscription_group_table: table,
    };
    Reply::body(body.encode())
}

/// `GET_SUBSCRIPTIONGROUP_CONFIG` (352).
pub(crate) fn one(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: GroupName<'_> = request.header()?;
    let group = header.group.as_ref();
    let config = broker.group(group);
    let config = config.ok_or_else(|| AdminError::NoSuchGroup { group: group.to_owned() })?;
    Ok(Reply::body(config.encode()))
}

/// `DELETE_SUBSCRIPTIONGROUP` (207); a group that is not there is deleted already.
pub(crate) fn delete(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: DeleteGroup<'_> = request.header()?;
    let group = header.group.as_ref();
    names::check_group(group)?;
    if names::is_system_group(group) {
        return Err(AdminError::SystemGroup { group: group.to_owned() });
    }
    let clean_offsets = header.clean_offset.unwrap_or_default();
    if broker.store.group(group).is_none() && !clean_offsets {
        // Whoever deleted it may still wait for the disk.
        return Ok(Reply::after(broker.store.end().0));
    }
    Ok(Reply::after(broker.remove_group(group, clean_offsets)?))
}
