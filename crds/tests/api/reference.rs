//! The reference of all fields: up to date, complete, and true where something else can tell.

use std::path::PathBuf;

use crate::support::kinds;
use rocketkube_crds::generate::definitions;
use rocketkube_crds::reference::{CHANGES, Change, FOREIGN, markdown};
use serde_json::Value;

/// The schema of a field, below that of its object.
fn find<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, name| &schema["properties"][name])
}

#[test]
fn the_checked_in_reference_is_what_the_types_say() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes/reference.md");
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(markdown(&definitions()) == file, "{} is out of date; run `make crds`", path.display());
}

#[test]
fn every_field_of_a_spec_and_every_message_of_a_rule_is_in_it() {
    let text = markdown(&definitions());
    for kind in kinds() {
        let (_, behind) = text.split_once(&format!("## {}\n", kind.name)).unwrap();
        let part = behind.split("\n## ").next().unwrap();
        let spec = kind.schema["properties"]["spec"]["properties"].as_object().unwrap();
        for (name, field) in spec {
            assert!(part.contains(&format!("\n| `{name}` |")), "{} {name}", kind.name);
            for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(part.contains(rule["message"].as_str().unwrap()), "{rule}");
            }
        }
    }
}

#[test]
fn every_row_of_a_table_has_as_many_cells_as_its_head() {
    let text = markdown(&definitions());
    let mut cells = 0;
    for line in text.lines() {
        let bars = line.replace("\\|", "").matches('|').count();
        if cells > 0 && bars > 0 {
            assert_eq!(bars, cells, "{line}");
        }
        cells = bars;
    }
}

#[test]
fn what_is_said_of_changes_is_said_of_fields_that_are_there() {
    for (kind, path, _) in CHANGES {
        let kinds = kinds();
        let schema = &kinds.iter().find(|known| known.name == kind).unwrap().schema;
        assert!(find(schema, path).is_object(), "{kind} {path}");
    }
}

#[test]
fn a_field_says_itself_that_it_restarts_brokers_or_cannot_be_changed() {
    for kind in kinds() {
        for (of, path, change) in CHANGES.iter().filter(|(of, ..)| *of == kind.name) {
            let field = find(&kind.schema, path);
            let text = field["description"].as_str().unwrap();
            let said = match change {
                Change::RestartsBrokers => text.contains("restarts the brokers"),
                Change::ReplacesNameServers => text.contains("replaces the name servers"),
                Change::Bounded => [
                    "annot be changed",
                    "an be changed from",
                    "annot be taken away",
                    "Only 1 for now",
                ]
                .iter()
                .any(|words| text.contains(words)),
                Change::Live => !text.contains("restarts the brokers"),
            };
            assert!(said, "{of} {path}: {change} is not in {text:?}");
        }
    }
}

#[test]
fn a_field_whose_text_says_that_brokers_are_restarted_is_listed_so() {
    for kind in kinds() {
        each_field("", &kind.schema, &mut |path, schema| {
            let text = schema["description"].as_str().unwrap_or_default();
            if text.contains("restarts the brokers") {
                assert_eq!(Change::of(&kind.name, path), Change::RestartsBrokers, "{path}");
            }
        });
    }
}

fn each_field(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        look(&path, child);
        each_field(&path, child, look);
    }
}

#[test]
fn types_of_kubernetes_are_named_and_not_repeated() {
    let text = markdown(&definitions());
    for (field, kind, page) in FOREIGN {
        assert!(text.contains(&format!("[{kind}]({page})")), "{kind}");
        assert!(!text.contains(&format!("{field}.")), "{field}");
    }
}
