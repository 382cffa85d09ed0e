//! The fields of all kinds, as a page for people. Made from the definitions, so that it says what
//! `kubectl explain` says, in one piece and with the rules.

mod change;
mod field;

use std::fmt::Write as _;

pub use change::{CHANGES, Change};
pub use field::FOREIGN;
use field::{Field, fields};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionVersion,
    JSONSchemaProps,
};

const HEAD: &str = "\
<!-- Made from the types in crds/src by `make crds`. -->
# Fields of BrokerSet, Topic and ConsumerGroup

What `kubectl explain bset.spec` shows, in one piece. `[]` stands for each item of a list. A size is a number of bytes, with
`Ki`, `Mi`, `Gi`, `Ti`, or `k`, `M`, `G`, `T` behind it; a duration is hours, minutes and seconds, in this order, as in
`1h30m`. Fields of types that belong to Kubernetes itself are not repeated here.

**Change** says what follows when the field of an existing object is changed. *live*: it takes effect in what runs. *restarts
brokers*: broker pods are replaced, one group after the other, and a group of one broker does not answer meanwhile.
*replaces name servers*: a new one is ready before an old one goes, and clients notice nothing. *see rules*: it is refused,
or allowed in one direction only.

**Rules** are checked by the API server: `kubectl apply` is refused with the message. What needs to know other objects is
checked by the operator, and shows in [conditions](conditions.md).
";

/// The reference as Markdown.
pub fn markdown(definitions: &[CustomResourceDefinition]) -> String {
    let kinds: Vec<_> = definitions.iter().map(kind).collect();
    format!("{HEAD}\n{}", kinds.join("\n"))
}

fn kind(definition: &CustomResourceDefinition) -> String {
    let (names, mut text) = (&definition.spec.names, String::new());
    for version in &definition.spec.versions {
        let schema = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
        let schema = schema.expect("derived definitions have a schema");
        let all = fields(schema);
        let sections = [
            head(definition, version, schema),
            spec(&names.kind, &all),
            rules(&all),
            status(&all),
            columns(version.additional_printer_columns.as_deref().unwrap_or_default()),
        ];
        text.push_str(&sections.join("\n"));
    }
    text
}

fn head(
    definition: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
    schema: &JSONSchemaProps,
) -> String {
    let (spec, names) = (&definition.spec, &definition.spec.names);
    let called = [&names.plural].into_iter().chain(names.short_names.iter().flatten());
    let among = names.categories.iter().flatten();
    let quoted = |names: Vec<&String>| {
        names.into_iter().map(|name| code(name)).collect::<Vec<_>>().join(", ")
    };
    let scales = version.subresources.as_ref().is_some_and(|own| own.scale.is_some());
    let scale = if scales { " `kubectl scale` works." } else { "" };
    format!(
        "## {}\n\n{} `apiVersion: {}/{}`; kubectl knows it as {}, and with others as {}.{scale}\n",
        names.kind,
        one_line(schema.description.as_deref().unwrap_or_default()),
        spec.group,
        version.name,
        quoted(called.collect()),
        quoted(among.collect()),
    )
}

fn spec(kind: &str, all: &[Field<'_>]) -> String {
    let rows = all.iter().filter_map(|field| {
        let path = field.path.strip_prefix("spec.")?;
        // Of an object, each field says so for itself.
        let change = (!field.has_fields()).then(|| Change::of(kind, &field.path).to_string());
        let change = change.unwrap_or_default();
        Some([code(path), field.kind(), field.default(), change, field.meaning()])
    });
    section("spec", ["Field", "Type", "Default", "Change", "Meaning"], rows)
}

fn rules(all: &[Field<'_>]) -> String {
    let rules = all.iter().flat_map(|field| {
        field.rules().map(|rule| {
            let at = format!("{}{}", field.path, rule.field_path.as_deref().unwrap_or_default());
            let when = if rule.rule.contains("oldSelf") { "changed" } else { "written" };
            let message = rule.message.as_deref().expect("each rule says what it wants");
            let at = if at.is_empty() { "the object" } else { at.trim_start_matches('.') };
            [code(at), when.to_owned(), one_line(message), code(&rule.rule)]
        })
    });
    section("Rules", ["At", "When it is", "Message", "Rule"], rules)
}

fn status(all: &[Field<'_>]) -> String {
    let rows = all.iter().filter_map(|field| {
        let path = field.path.strip_prefix("status.")?;
        Some([code(path), field.kind(), field.meaning()])
    });
    section("status", ["Field", "Type", "Meaning"], rows)
}

fn columns(columns: &[CustomResourceColumnDefinition]) -> String {
    let rows = columns.iter().map(|column| {
        let wide = if column.priority.unwrap_or(0) > 0 { ", with `-o wide`" } else { "" };
        // The one column that all objects of Kubernetes have.
        let says = column.description.as_deref().unwrap_or("Since when it is there");
        [format!("{}{wide}", column.name), code(&column.json_path), one_line(says)]
    });
    section("Columns of `kubectl get`", ["Column", "From", "Meaning"], rows)
}

fn section<const N: usize>(
    title: &str,
    names: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut text = format!("### {title}\n\n| {} |\n|{}\n", names.join(" | "), "---|".repeat(N));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("writing to a string cannot fail");
    }
    text
}

/// In a table, also inside code, a bar ends the cell unless it is escaped.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|").replace('<', "&lt;")
}
