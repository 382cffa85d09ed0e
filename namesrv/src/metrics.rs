//! What a name server tells of itself.

use rocketkube_service::metrics::{Counter, Registry};

/// Numbers that handlers count.
pub(crate) struct Metrics {
    pub(crate) registrations: Counter,
    pub(crate) expired: Counter,
    pub(crate) unknown_topics: Counter,
    pub(crate) refused: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, Vec::new());
        Self {
            registrations: counter("mq_namesrv_registrations_total", "Registrations taken."),
            expired: counter("mq_namesrv_expired_members_total", "Members dropped for silence."),
            unknown_topics: counter(
                "mq_namesrv_unknown_topics_total",
                "Routes asked for of topics that no broker has.",
            ),
            refused: counter("mq_namesrv_refused_requests_total", "Requests refused, any reason."),
        }
    }
}
