//! How the name servers of a `BrokerSet` are.

use k8s_openapi::api::apps::v1::Deployment;

use super::observe::Observed;

/// How the name servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameServerView {
    /// At least one answers.
    pub(crate) available: bool,
    /// All there should be answer, and are of the newest template.
    pub(crate) complete: bool,
}

impl NameServerView {
    pub(crate) fn of(observed: &Observed) -> Self {
        let deployment = match &observed.set.spec.name_server {
            // Nobody here can tell.
            Some(given) if given.addresses.is_some() => {
                return Self { available: true, complete: true };
            }
            Some(given) if given.from_broker_set.is_some() => observed.shared_name_server.clone(),
            _ => observed.name_server(),
        };
        let none = Self { available: false, complete: false };
        deployment.as_ref().map_or(none, Self::of_deployment)
    }

    fn of_deployment(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let Some(status) = &deployment.status else {
            return Self { available: false, complete: false };
        };
        let (available, updated, all) = (
            status.available_replicas.unwrap_or(0),
            status.updated_replicas.unwrap_or(0),
            status.replicas.unwrap_or(0),
        );
        let seen = status.observed_generation == deployment.metadata.generation;
        // While there are more than the updated ones, some of the available ones are old.
        let rolled = updated >= wanted && all <= updated;
        let complete = seen && wanted > 0 && rolled && available >= wanted;
        Self { available: available > 0, complete }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(wanted: i32, all: i32, updated: i32, available: i32, seen: i64) -> NameServerView {
        let deployment = json!({
            "metadata": { "generation": 2 },
            "spec": { "replicas": wanted, "selector": {}, "template": {} },
            "status": {
                "observedGeneration": seen,
                "replicas": all,
                "updatedReplicas": updated,
                "availableReplicas": available,
            },
        });
        NameServerView::of_deployment(&serde_json::from_value(deployment).unwrap())
    }

    #[test]
    fn a_roll_is_complete_when_no_old_pod_is_left() {
        assert!(of(2, 2, 2, 2, 2).complete);
        assert!(!of(2, 2, 2, 2, 1).complete, "not seen");
        assert!(!of(2, 3, 1, 2, 2).complete, "not all updated");
        assert!(!of(2, 3, 2, 2, 2).complete, "an old one is among the available");
        assert!(!of(2, 2, 2, 1, 2).complete, "not all available");
        assert!(of(2, 3, 1, 2, 2).available);
        assert!(!of(0, 0, 0, 0, 2).complete, "nobody answers");
    }
}
