//! The generated definitions: up to date, complete, and as an API server wants them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::kinds;
use rocketkube_crds::generate::{definitions, file_name, yaml};
use rocketkube_crds::{GROUP, VERSION};
use serde_json::Value;

/// Far below what an annotation or a request may hold.
const MAX_BYTES: usize = 150 << 10;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("generated")
}

#[test]
fn the_checked_in_definitions_are_what_the_types_say() {
    for definition in definitions() {
        let path = folder().join(file_name(&definition));
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        let fresh = yaml(&definition).unwrap() == file;
        assert!(fresh, "{} is out of date; run `make crds`", path.display());
    }
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let expected = definitions().map(|definition| file_name(&definition).into());
    assert_eq!(names.collect::<BTreeSet<_>>(), expected.into());
}

#[test]
fn a_definition_reads_from_its_yaml_as_it_was_written() {
    for definition in definitions() {
        let text = yaml(&definition).unwrap();
        assert!(text.len() < MAX_BYTES, "{} bytes", text.len());
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(&definition).unwrap());
    }
}

#[test]
fn all_kinds_are_of_one_group_and_version() {
    for definition in definitions() {
        assert_eq!(definition.spec.group, GROUP);
        let [version] = &definition.spec.versions[..] else { panic!("one version") };
        assert!(version.name == VERSION && version.served && version.storage);
    }
}

#[test]
fn each_field_is_explained() {
    each_schema(|path, schema| {
        let explained = schema["description"].as_str().is_some_and(|text| !text.is_empty());
        // Types of Kubernetes itself bring their own texts; values of lists and maps need none.
        let values = path.ends_with("[]");
        assert!(explained || values, "{path}");
    });
}

#[test]
fn nothing_is_nullable_or_of_a_format_that_api_servers_warn_of() {
    each_schema(|path, schema| {
        assert!(schema["nullable"].is_null(), "{path}");
        let format = schema["format"].as_str();
        assert!(
            matches!(format, None | Some("int32" | "int64" | "date-time")),
            "{path} {format:?}"
        );
    });
}

#[test]
fn each_list_of_ours_has_a_bound() {
    // Those inside types of Kubernetes have none, and no rule looks at them.
    let foreign = ["selector", "clientPeers", "tolerations", "resources"];
    each_schema(|path, schema| {
        let ours = !path.split('.').any(|part| {
            foreign.iter().any(|name| part == format!("{name}[]") || part == *name)
                && !path.ends_with(part)
        });
        if schema["type"] == "array" && ours {
            assert!(schema["maxItems"].is_u64(), "{path}");
        }
    });
}

fn each_schema(mut check: impl FnMut(&str, &Value)) {
    for kind in kinds() {
        visit(&kind.name, &kind.schema, &mut check);
    }
}

fn visit(path: &str, schema: &Value, check: &mut impl FnMut(&str, &Value)) {
    check(path, schema);
    for (key, child) in schema["properties"].as_object().into_iter().flatten() {
        visit(&format!("{path}.{key}"), child, check);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(key) {
            visit(&format!("{path}[]"), child, check);
        }
    }
}
