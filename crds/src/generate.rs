//! Custom resource definitions from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

use crate::{BrokerSet, ConsumerGroup, Topic};

/// Says in a generated file where it comes from.
const HEADER: &str = "# Made from the types in crds/src by `make crds`.\n";

/// The definitions of all kinds.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [BrokerSet::crd(), Topic::crd(), ConsumerGroup::crd()].map(|mut definition| {
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut());
            tidy(schema.expect("derived definitions have a schema"));
        }
        definition
    })
}

/// Name of the file that holds a definition: `brokersets.yaml`.
pub fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}.yaml", definition.spec.names.plural)
}

/// A definition as a YAML document.
///
/// # Errors
/// If it cannot be written as YAML.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_saphyr::SerializeError> {
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(definition)?))
}

/// Makes of a derived schema one that serves its readers.
fn tidy(schema: &mut JSONSchemaProps) {
    // The API server drops an explicit null, as templates write it, from what is not nullable, and
    // sets the default. What is nullable keeps it, and the rules would have to deal with it.
    schema.nullable = None;
    // What Kubernetes says of a quantity is longer than all the rest.
    let is_quantity = schema.x_kubernetes_int_or_string == Some(true);
    schema.description =
        schema.description.take().filter(|_| !is_quantity).map(|text| plain(&text));
    schema.title = None;
    schema.properties.iter_mut().flat_map(|map| map.values_mut()).for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// A comment as `kubectl explain` shows it best: it breaks lines by itself, and knows no markup.
fn plain(text: &str) -> String {
    let text = text.replace('`', "");
    let paragraphs = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>());
    paragraphs.map(|words| words.join(" ")).collect::<Vec<_>>().join("\n")
}
