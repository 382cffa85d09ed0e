//! The settings files of brokers and name servers, and the state file of a group.

use rocketkube_crds::BrokerSet;
use rocketkube_crds::broker_set::{FlushMode, GroupState, StorageKind};
use serde::Serialize;

/// Where a broker finds the state of its group.
pub(super) const STATE_FILE: &str = "/etc/rocketkube/state/state.yaml";

/// Sizes of the files of a log that brokers take, in bytes.
const SMALLEST_SEGMENT: u64 = 16 << 20;
const LARGEST_SEGMENT: u64 = 256 << 20;
/// The log gives back whole files only, so a volume should hold several.
const SEGMENTS_PER_VOLUME: u64 = 8;

/// Settings that all brokers of a `BrokerSet` have in common. Keys are those of the broker.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings<'a> {
    cluster: &'a str,
    flush: &'static str,
    auto_create_topics: bool,
    auto_create_groups: bool,
    default_queues: i32,
    max_body_size: u64,
    retention: &'a str,
    segment_size: u64,
    /// Where the broker's disk is the node's.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_size: Option<u64>,
    state_file: &'static str,
    log_format: &'static str,
}

/// `broker.yaml`.
pub(super) fn broker(set: &BrokerSet, name: &str) -> String {
    let (messages, storage) = (&set.spec.messages, &set.spec.storage);
    let settings = Settings {
        cluster: set.spec.cluster_name.as_deref().unwrap_or(name),
        flush: match set.spec.flush.mode {
            FlushMode::Auto => "auto",
            FlushMode::Sync => "sync",
            FlushMode::Async => "async",
        },
        auto_create_topics: messages.auto_create_topics,
        auto_create_groups: messages.auto_create_groups,
        default_queues: messages.default_queues,
        max_body_size: messages.max_body_size.bytes(),
        retention: messages.retention.as_str(),
        segment_size: segment_size(storage.size.bytes()),
        data_size: (storage.kind == StorageKind::Ephemeral).then(|| storage.size.bytes()),
        state_file: STATE_FILE,
        log_format: "json",
    };
    serde_saphyr::to_string(&settings).expect("a flat struct of numbers and texts is YAML")
}

/// `namesrv.yaml`: what a name server that starts waits for. What it needs for good stands in the pod
/// template; this may change, and those that run have no use for it.
pub(super) fn name_server(brokers: &[String]) -> String {
    format!("expect: \"{}\"\n", brokers.join(","))
}

/// `state.yaml`: whether the group takes messages.
pub(super) fn state(state: GroupState) -> String {
    format!("perm: {}\n", perm(state))
}

/// Permission as brokers know it: 4 reads, 2 writes.
pub(super) fn perm(state: GroupState) -> u8 {
    match state {
        GroupState::Joining => 0,
        GroupState::Active => 6,
    }
}

/// The largest power of two of which several fit on the volume.
fn segment_size(volume: u64) -> u64 {
    let share = (volume / SEGMENTS_PER_VOLUME).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT);
    1 << share.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_of_a_log_fit_on_a_volume() {
        let mebibytes = |count: u64| segment_size(count << 20) >> 20;
        assert_eq!(mebibytes(128), 16);
        assert_eq!(mebibytes(1000), 64);
        assert_eq!(mebibytes(2048), 256);
        assert_eq!(mebibytes(20 << 10), 256);
    }
}
