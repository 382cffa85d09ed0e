//! One field of a schema, as a row of the reference.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};

use super::{code, one_line};
use crate::{Size, Span};

/// Fields of types that Kubernetes brings: their last name, the type, and where it is described.
pub const FOREIGN: [(&str, &str, &str); 6] = [
    ("resources", "ResourceRequirements", RESOURCES),
    ("tolerations[]", "Toleration", TAINTS),
    ("affinity", "Affinity", NODES),
    ("selector", "LabelSelector", LABELS),
    ("clientPeers[]", "NetworkPolicyPeer", NETWORK),
    ("conditions[]", "Condition", "conditions.md"),
];

const RESOURCES: &str =
    "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/";
const TAINTS: &str =
    "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/";
const NODES: &str = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/";
const LABELS: &str =
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";
const NETWORK: &str = "https://kubernetes.io/docs/concepts/services-networking/network-policies/";

/// A field, and where it is.
pub(super) struct Field<'a> {
    /// As in `spec.pod.tolerations[].key`; empty for the whole object.
    pub(super) path: String,
    schema: &'a JSONSchemaProps,
    required: bool,
}

/// All fields of an object, each after the one that holds it.
pub(super) fn fields(schema: &JSONSchemaProps) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    collect(Field { path: String::new(), schema, required: false }, &mut found);
    found
}

fn collect<'a>(field: Field<'a>, found: &mut Vec<Field<'a>>) {
    let (path, schema) = (field.path.clone(), field.schema);
    let is_foreign = field.foreign().is_some();
    found.push(field);
    if is_foreign {
        return;
    }
    for (name, child) in schema.properties.iter().flatten() {
        let required = schema.required.iter().flatten().any(|required| required == name);
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(Field { path, schema: child, required }, found);
    }
    // An item that is no object is told of with its list.
    if let Some(items) = items(schema).filter(|items| items.properties.is_some()) {
        let (at, inner) = (format!("{path}[]"), found.len());
        collect(Field { path: at, schema: items, required: false }, found);
        found.remove(inner);
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

impl<'a> Field<'a> {
    pub(super) fn meaning(&self) -> String {
        one_line(self.schema.description.as_deref().unwrap_or_default())
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &'a ValidationRule> {
        self.schema.x_kubernetes_validations.iter().flatten()
    }

    /// What it is if nothing is written. A default that its own fields have as well is theirs to tell.
    pub(super) fn default(&self) -> String {
        match &self.schema.default {
            _ if self.required => "required".to_owned(),
            Some(value) if !value.0.is_object() => {
                let text = value.0.as_str().map_or_else(|| value.0.to_string(), str::to_owned);
                code(&text)
            }
            _ => String::new(),
        }
    }

    /// Whether it only holds others that are told of.
    pub(super) fn has_fields(&self) -> bool {
        self.schema.properties.is_some() && self.foreign().is_none()
    }

    /// Its type, with bounds.
    pub(super) fn kind(&self) -> String {
        kind(self.schema, self.foreign())
    }

    fn foreign(&self) -> Option<(&'static str, &'static str)> {
        let kind = self.schema.type_.as_deref();
        let composite = matches!(kind, Some("object" | "array"));
        let suffix = if kind == Some("array") { "[]" } else { "" };
        let name = format!("{}{suffix}", self.path.rsplit('.').next().unwrap_or_default());
        let known = FOREIGN.iter().find(|(field, ..)| composite && *field == name.as_str());
        known.map(|(_, kind, page)| (*kind, *page))
    }
}

fn kind(schema: &JSONSchemaProps, foreign: Option<(&str, &str)>) -> String {
    let link = foreign.map(|(kind, page)| format!("[{kind}]({page})"));
    match (schema.type_.as_deref(), link) {
        (Some("array"), Some(link)) => format!("list of {link}{}", most(schema.max_items)),
        (_, Some(link)) => link,
        (Some("array"), None) => {
            let items = items(schema).expect("a list says what is in it");
            let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
            let by: Vec<_> = keys.map(|key| format!(", one for each {}", code(key))).collect();
            let bounds = between(schema.min_items, schema.max_items);
            let bounds = if bounds.is_empty() { bounds } else { format!(" ({bounds})") };
            format!("list{bounds} of {}{}", kind(items, None), by.concat())
        }
        (Some("object"), None) => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) => {
                format!("map of {}{}", kind(values, None), most(schema.max_properties))
            }
            _ => "object".to_owned(),
        },
        (Some("integer"), None) => {
            let bounds = between(schema.minimum, schema.maximum);
            if bounds.is_empty() { "integer".to_owned() } else { format!("integer, {bounds}") }
        }
        (Some("string"), None) => string(schema),
        (Some(other), None) => other.to_owned(),
        (None, None) => "quantity".to_owned(),
    }
}

fn string(schema: &JSONSchemaProps) -> String {
    if let Some(values) = &schema.enum_ {
        let values: Vec<_> = values.iter().filter_map(|value| value.0.as_str().map(code)).collect();
        return values.join(", ");
    }
    match schema.pattern.as_deref() {
        Some(Size::PATTERN) => "size".to_owned(),
        Some(Span::PATTERN) => "duration".to_owned(),
        _ if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        pattern => {
            let length = between(schema.min_length, schema.max_length);
            let length = if length.is_empty() { length } else { format!(", {length} characters") };
            let pattern = pattern.map(|pattern| format!(", {}", code(pattern)));
            format!("string{length}{}", pattern.unwrap_or_default())
        }
    }
}

fn most(count: Option<i64>) -> String {
    count.map(|count| format!(", at most {count}")).unwrap_or_default()
}

fn between<N: ToString>(least: Option<N>, most: Option<N>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{} to {}", least.to_string(), most.to_string()),
        (None, Some(most)) => format!("at most {}", most.to_string()),
        (Some(least), None) => format!("at least {}", least.to_string()),
        (None, None) => String::new(),
    }
}
