//! The page on conditions and events knows every word that the operator says there, and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Words in the operator's sources that stand in no condition and no event.
const OTHER_WORDS: [&str; 31] = [
    // Kinds of objects, and of messages in brokers.
    "BrokerSet",
    "ConsumerGroup",
    "StatefulSet",
    "Pod",
    "Topic",
    "FIFO",
    "NORMAL",
    // A type, as its Debug output names it.
    "Term",
    // What Kubernetes says of namespaces, pods and claims.
    "NamespaceTerminating",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "FailedCreate",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
    "OOMKilled",
    "PodScheduled",
    "ReplicaFailure",
    "Lost",
    "True",
    "False",
    "Unknown",
    // Phases of a BrokerSet, which its reference lists.
    "Creating",
    "Degraded",
    "Running",
    "Scaling",
    "Updating",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Source files that decide what is said; those that make manifests or read flags do not.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "build" {
            sources(&path, found);
        } else if !matches!(name, "build" | "main.rs" | "compare.rs") {
            found.push(path);
        }
    }
}

/// Literals such as `"ImagePull"` outside tests and comments.
fn said() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&root().join("operator/src"), &mut files);
    let literal = Regex::new(r#""([A-Z][A-Za-z]+)""#).unwrap();
    let mut words = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            words.extend(literal.captures_iter(line).map(|found| found[1].to_owned()));
        }
    }
    // Types of conditions are named once, for all crates.
    let types = std::fs::read_to_string(root().join("crds/src/condition.rs")).unwrap();
    words.extend(literal.captures_iter(&types).map(|found| found[1].to_owned()));
    words
}

fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/kubernetes/conditions.md")).unwrap();
    let word = Regex::new("`([A-Z][A-Za-z]+)`").unwrap();
    word.captures_iter(&page).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_condition_reason_and_event_is_documented() {
    let others = OTHER_WORDS.map(str::to_owned).into();
    let missing = &(&said() - &documented()) - &others;
    assert!(
        missing.is_empty(),
        "docs/kubernetes/conditions.md does not say what to do about {missing:?}; words that stand \
         in no condition and no event go to OTHER_WORDS in crds/tests/api/conditions.rs"
    );
}

#[test]
fn no_condition_reason_or_event_is_documented_that_nothing_says() {
    let unsaid = &documented() - &said();
    assert!(unsaid.is_empty(), "docs/kubernetes/conditions.md has {unsaid:?}, and no source does");
}

#[test]
fn a_word_that_is_excepted_is_still_there() {
    let said = said();
    let gone: Vec<_> = OTHER_WORDS.iter().filter(|word| !said.contains(**word)).collect();
    assert!(gone.is_empty(), "{gone:?} can go from OTHER_WORDS");
}
