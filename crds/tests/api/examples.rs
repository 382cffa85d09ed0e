//! The manifests in `examples/` are taken, and types lose nothing of them.

use std::fmt::Debug;
use std::path::PathBuf;

use crate::support::kind;
use rocketkube_crds::{BrokerSet, ConsumerGroup, Topic};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn example(name: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn manifests() -> impl Iterator<Item = Value> {
    ["minimal.yaml", "full.yaml"].into_iter().flat_map(example)
}

#[test]
fn each_example_is_taken() {
    for manifest in manifests() {
        let kind = kind(manifest["kind"].as_str().unwrap());
        assert_eq!(manifest["apiVersion"], kind.api_version);
        assert_eq!(kind.refusals(manifest.clone()), Vec::<String>::new(), "{manifest}");
    }
}

#[test]
fn a_manifest_goes_through_its_type_and_back_unchanged() {
    for manifest in manifests() {
        match manifest["kind"].as_str().unwrap() {
            "BrokerSet" => round_trip::<BrokerSet>(&manifest),
            "Topic" => round_trip::<Topic>(&manifest),
            "ConsumerGroup" => round_trip::<ConsumerGroup>(&manifest),
            other => panic!("{other}"),
        }
    }
}

/// What the types fill in is also what the API server fills in.
fn round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(manifest: &Value) {
    let object: T = serde_json::from_value(manifest.clone()).unwrap();
    let stored = kind(manifest["kind"].as_str().unwrap()).stored(manifest.clone());
    assert_eq!(serde_json::to_value(&object).unwrap(), stored);
    let yaml = serde_saphyr::to_string(&object).unwrap();
    assert_eq!(serde_saphyr::from_str::<T>(&yaml).unwrap(), object);
}

#[test]
fn the_full_example_has_every_field_of_a_spec() {
    for manifest in example("full.yaml") {
        let kind = kind(manifest["kind"].as_str().unwrap());
        let fields = kind.schema["properties"]["spec"]["properties"].as_object().unwrap();
        for field in fields.keys() {
            assert!(!manifest["spec"][field].is_null(), "{} {field}", kind.name);
        }
    }
}
