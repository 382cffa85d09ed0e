//! What the pods of a group may do at the API server: keep their own Lease and `EndpointSlice`, and
//! nothing else. Nothing on pods: whoever may patch a pod may change its image.
//!
//! With one member a group has nobody to elect, so no token is mounted yet.

use serde_json::json;

use super::{Children, Rendering, names};
use crate::kind::Kind;

pub(super) fn of_group(rendering: &Rendering<'_>, index: i32, children: &mut Children) {
    let name = names::group(&rendering.name, index);
    let metadata = || rendering.metadata(&name, "broker", Some(index));
    let account = json!({ "metadata": metadata(), "automountServiceAccountToken": false });
    children.push(Kind::ServiceAccount, name.clone(), account);
    let verbs = ["get", "watch", "update"];
    let role = json!({
        "metadata": metadata(),
        "rules": [
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [name],
                "verbs": verbs,
            },
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "resourceNames": [names::master(&rendering.name, index)],
                "verbs": verbs,
            },
        ],
    });
    children.push(Kind::Role, name.clone(), role);
    let binding = json!({
        "metadata": metadata(),
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{
            "kind": "ServiceAccount",
            "name": name,
            "namespace": rendering.namespace,
        }],
    });
    children.push(Kind::RoleBinding, name.clone(), binding);
}
