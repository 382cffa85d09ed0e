//! Administration of consumer groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocketkube_protocol::body::{
    Body, GroupConfigList, SubscriptionGroupConfig, SubscriptionGroupTable,
};
use rocketkube_protocol::header::{DeleteGroup, GetAllGroupConfig, GroupName};
use rocketkube_protocol::{Request, names};

use super::decode;
use super::page::Page;
use crate::answer::Reply;
use crate::broker::Broker;
use crate::refusal::AdminError;

/// Most retries that can be asked for; more would go on for years.
const MAX_RETRIES: i32 = 100_000;

/// `UPDATE_AND_CREATE_SUBSCRIPTIONGROUP` (200).
pub(crate) fn update(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let config: SubscriptionGroupConfig = decode(request.body, "consumer group")?;
    check(&config)?;
    Ok(Reply::after(broker.put_group(&config)?))
}

/// `UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST` (225): all of them, or none.
pub(crate) fn update_list(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let list: GroupConfigList = decode(request.body, "list of consumer groups")?;
    list.group_config_list.iter().try_for_each(check)?;
    let mut after = 0;
    for config in &list.group_config_list {
        after = after.max(broker.put_group(config)?);
    }
    Ok(Reply::after(after))
}

fn check(config: &SubscriptionGroupConfig) -> Result<(), AdminError> {
    names::check_group(&config.group_name)?;
    let retries = config.retry_max_times;
    if !(-1..=MAX_RETRIES).contains(&retries) {
        let (value, expected) = (retries.to_string(), "-1 to 100000");
        return Err(AdminError::Parameter { field: "retryMaxTimes", value, expected });
    }
    let queues = config.retry_queue_nums;
    if u32::try_from(queues).is_ok_and(|queues| queues <= names::MAX_QUEUES) {
        return Ok(());
    }
    let (value, expected) = (queues.to_string(), "0 to 65536");
    Err(AdminError::Parameter { field: "retryQueueNums", value, expected })
}

/// `GET_ALL_SUBSCRIPTIONGROUP_CONFIG` (201), in parts for who asks for parts.
pub(crate) fn all(broker: &Broker, request: &Request<'_>) -> Result<Reply, AdminError> {
    let header: GetAllGroupConfig<'_> = request.header()?;
    let version = header.data_version.as_deref();
    let page = Page { from: header.group_seq, version, most: header.max_groups };
    // Before the table, so that a change in between shows again with the next version.
    let data_version = broker.data_version();
    let groups = broker.store.groups();
    let part = page.of(&groups, data_version, "maxGroupNum")?;
    let configs = part.iter().filter_map(|group| broker.group(group.name()));
    let body = SubscriptionGroupTable {
        data_version,
        forbidden_table: BTreeMap::new(),
        subscription_group_table: configs
            .map(|it| (it.group_name.clone(), Arc::unwrap_or_clone(it)))
            .collect(),
    };
    let reply = Reply::body(body.encode());
    Ok(if page.is_part() { reply.field("totalGroupNum", groups.len()) } else { reply })
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
