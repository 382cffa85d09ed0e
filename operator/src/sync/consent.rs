//! Whether objects of a namespace may use a `BrokerSet`.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt as _};
use rocketkube_crds::BrokerSet;
use rocketkube_crds::broker_set::TopicNamespacesFrom;

use crate::Key;

/// Labels of a namespace, or why they are unknown.
pub(crate) type Labels = Result<BTreeMap<String, String>, String>;

/// Whether the labels of a namespace decide.
pub(crate) fn needs_labels(set: &BrokerSet, namespace: &str) -> bool {
    set.metadata.namespace.as_deref() != Some(namespace)
        && set.spec.access.topic_namespaces.from == TopicNamespacesFrom::Selector
}

/// Why objects of a namespace may not use a `BrokerSet`; `None` if they may.
pub(crate) fn refusal(set: &BrokerSet, namespace: &str, labels: Option<&Labels>) -> Option<String> {
    let (key, consent) = (Key::of(set), &set.spec.access.topic_namespaces);
    let refused = |why: &str| {
        Some(format!(
            "the BrokerSet {key} does not take objects of namespace {namespace}: {why}; change its \
             spec.access.topicNamespaces"
        ))
    };
    if key.namespace == namespace {
        return None;
    }
    match consent.from {
        TopicNamespacesFrom::All => None,
        TopicNamespacesFrom::Same => refused("only those of its own"),
        TopicNamespacesFrom::Selector => {
            let selector = consent.selector.clone().unwrap_or_default();
            match (Selector::try_from(selector), labels) {
                (Ok(selector), Some(Ok(labels))) if selector.matches(labels) => None,
                (Ok(_), Some(Ok(_))) => refused("its labels do not match the selector"),
                (Ok(_), Some(Err(why))) => Some(format!(
                    "the labels of namespace {namespace} cannot be read, which decide whether the \
                     BrokerSet {key} takes its objects: {why}"
                )),
                (Ok(_), None) => refused("its labels are not known"),
                (Err(error), _) => refused(&format!("the selector is invalid ({error})")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(consent: Value) -> BrokerSet {
        let mut set = json!({
            "apiVersion": "mq.rocketkube.dev/v1alpha1", "kind": "BrokerSet",
            "metadata": {"name": "orders", "namespace": "mq"}, "spec": {},
        });
        set["spec"]["access"]["topicNamespaces"] = consent;
        serde_json::from_value(set).unwrap()
    }

    #[test]
    fn consent_is_given_to_the_own_namespace_to_all_or_by_labels() {
        let by_label = json!({"from": "Selector", "selector": {"matchLabels": {"mq": "orders"}}});
        let by_set = json!({"from": "Selector", "selector": {"matchExpressions": [
            {"key": "mq", "operator": "In", "values": ["orders", "other"]}]}});
        let bad = json!({"from": "Selector", "selector": {"matchExpressions": [
            {"key": "mq", "operator": "Near", "values": []}]}});
        let labels = |value: &str| -> Option<Labels> {
            Some(Ok([("mq".to_owned(), value.to_owned())].into()))
        };
        let rows: [(Value, &str, Option<Labels>, &str); 10] = [
            (json!({}), "mq", None, ""),
            (json!({}), "shop", None, "only those of its own"),
            (json!({"from": "All"}), "shop", None, ""),
            (by_label.clone(), "mq", None, ""),
            (by_label.clone(), "shop", labels("orders"), ""),
            (by_label.clone(), "shop", labels("else"), "its labels do not match"),
            (by_label.clone(), "shop", Some(Err("forbidden".to_owned())), "cannot be read"),
            (by_label, "shop", None, "its labels are not known"),
            (by_set, "shop", labels("other"), ""),
            (bad, "shop", labels("orders"), "the selector is invalid"),
        ];
        for (consent, namespace, labels, because) in rows {
            let set = set(consent.clone());
            let refused = refusal(&set, namespace, labels.as_ref());
            match (&refused, because) {
                (None, "") => {}
                (Some(text), because) if !because.is_empty() => {
                    assert!(text.contains(because), "{text}");
                }
                _ => panic!("{consent} in {namespace}: {refused:?}"),
            }
        }
        let selector = set(json!({"from": "Selector", "selector": {}}));
        assert!(needs_labels(&selector, "shop") && !needs_labels(&selector, "mq"));
        assert!(!needs_labels(&set(json!({"from": "All"})), "shop"));
    }
}
