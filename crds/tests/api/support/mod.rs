//! What an API server does with a manifest before it stores it, as far as the definition decides.

mod structure;

use kube::core::cel::{ValidationErrors, Validator, apply_defaults};
use rocketkube_crds::generate::definitions;
use serde_json::{Value, json};

/// A kind, as its definition describes it.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) plural: String,
    pub(crate) api_version: String,
    pub(crate) schema: Value,
}

/// All kinds.
pub(crate) fn kinds() -> Vec<Kind> {
    let kind = |definition| {
        let definition = serde_json::to_value(definition).unwrap();
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let version = &spec["versions"][0];
        Kind {
            name: text(&spec["names"]["kind"]),
            plural: text(&spec["names"]["plural"]),
            api_version: format!("{}/{}", text(&spec["group"]), text(&version["name"])),
            schema: version["schema"]["openAPIV3Schema"].clone(),
        }
    };
    definitions().into_iter().map(kind).collect()
}

/// The kind of that name.
pub(crate) fn kind(name: &str) -> Kind {
    kinds().into_iter().find(|kind| kind.name == name).unwrap()
}

impl Kind {
    /// An object as it would be stored: with type, a name, and the defaults.
    pub(crate) fn stored(&self, mut manifest: Value) -> Value {
        manifest["apiVersion"] = json!(self.api_version);
        manifest["kind"] = json!(self.name);
        if manifest["metadata"]["name"].is_null() {
            manifest["metadata"]["name"] = json!("x");
        }
        drop_nulls(&mut manifest);
        apply_defaults(&self.schema, &manifest)
    }

    /// Why a stored object would be refused, as a new one or as an update.
    pub(crate) fn problems(&self, stored: &Value, before: Option<&Value>) -> Vec<String> {
        let structure = structure::problems(&self.schema, stored);
        let rules = Validator::new().validate(&self.schema, stored, before);
        let broken = rules.err().into_iter().flat_map(ValidationErrors::into_vec);
        structure.into_iter().chain(broken.map(|error| error.message)).collect()
    }

    /// Why a new object would be refused.
    pub(crate) fn refusals(&self, manifest: Value) -> Vec<String> {
        self.problems(&self.stored(manifest), None)
    }
}

/// Nothing in the schemas is nullable.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
