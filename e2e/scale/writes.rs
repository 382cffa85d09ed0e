//! Requests that change something, as the API server counts them.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;

const VERBS: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

/// How many there were so far, by verb and resource, those for Leases apart: a Lease is renewed
/// for as long as anybody leads.
pub(crate) struct Writes(BTreeMap<String, u64>);

impl Writes {
    pub(crate) async fn count(client: &Client) -> Result<Self> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = client.request_text(request).await?;
        let mut writes = BTreeMap::new();
        for line in text.lines() {
            let Some(line) = line.strip_prefix("apiserver_request_total{") else { continue };
            let Some((labels, count)) = line.rsplit_once("} ") else { continue };
            let (verb, resource) = (label(labels, "verb"), label(labels, "resource"));
            if !VERBS.contains(&verb) || resource == "leases" {
                continue;
            }
            let code = label(labels, "code");
            let subresource = label(labels, "subresource");
            let key = format!("{verb} {resource}/{subresource} ({code})");
            // It is written as a floating-point number: large ones as 1e+06.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let count = count.parse::<f64>()? as u64;
            *writes.entry(key).or_default() += count;
        }
        Ok(Self(writes))
    }

    /// What was written since; `None` if nothing was.
    pub(crate) fn since(&self, before: &Self) -> Option<String> {
        let more = self.0.iter().filter_map(|(what, count)| {
            let more = count - before.0.get(what).copied().unwrap_or_default();
            (more > 0).then(|| format!("{more} {what}"))
        });
        let more: Vec<String> = more.collect();
        (!more.is_empty()).then(|| more.join(", "))
    }
}

fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let found = labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""));
    found.and_then(|value| value.strip_suffix('"')).unwrap_or_default()
}
