//! What a request asks for.

use std::collections::BTreeMap;

use http::request::Parts;
use serde_json::Value;

use super::objects::Id;

/// As the API server's authorization calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Verb {
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub verb: Verb,
    pub group: String,
    pub resource: String,
    pub subresource: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub query: BTreeMap<String, String>,
    /// Whether a patch is a server-side apply.
    pub is_apply: bool,
    pub body: Value,
}

impl Call {
    pub fn parse(parts: &Parts, body: &[u8]) -> Self {
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (group, rest) = match path.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _version, rest @ ..] => (*group, rest),
            other => panic!("no path of the API: {other:?}"),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let query = query(parts.uri.query().unwrap_or_default());
        let name = rest.get(1).map(|name| (*name).to_owned());
        let content_type = parts.headers.get("content-type").map(|value| value.to_str().unwrap());
        Self {
            verb: verb(parts.method.as_str(), name.is_some(), &query),
            group: group.to_owned(),
            resource: rest[0].to_owned(),
            subresource: rest.get(2).map(|name| (*name).to_owned()),
            namespace: namespace.map(str::to_owned),
            name,
            query,
            is_apply: content_type.is_some_and(|kind| kind.starts_with("application/apply-patch")),
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
        }
    }

    /// The object it is about, if it is about one.
    pub fn id(&self) -> Id {
        let name = self
            .name
            .clone()
            .or_else(|| Some(self.body.pointer("/metadata/name")?.as_str()?.to_owned()));
        Id {
            group: self.group.clone(),
            resource: self.resource.clone(),
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.unwrap_or_default(),
        }
    }

    /// Whether it writes something that people rely on: events tell, and Leases are renewed.
    pub fn changes(&self) -> bool {
        self.verb.is_write() && !matches!(self.resource.as_str(), "events" | "leases")
    }
}

fn verb(method: &str, named: bool, query: &BTreeMap<String, String>) -> Verb {
    match method {
        "GET" if named => Verb::Get,
        "GET" if query.get("watch").is_some_and(|value| value == "true") => Verb::Watch,
        "GET" => Verb::List,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        other => panic!("no method of the API: {other}"),
    }
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    };
    text.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
