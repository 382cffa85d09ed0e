//! The part of JSON Schema that structural schemas may use.

use regex::Regex;
use serde_json::Value;

/// What of an object its schema does not allow.
pub(crate) fn problems(schema: &Value, object: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let Value::Object(mut fields) = object.clone() else { panic!("an object is an object") };
    // The API server has schemas of its own for these.
    for own in ["apiVersion", "kind", "metadata"] {
        fields.remove(own);
    }
    check(schema, &Value::Object(fields), "", &mut problems);
    problems
}

fn check(schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    let matches = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{path}: type {other} is not known here"),
        None => schema["x-kubernetes-int-or-string"] == true && !value.is_object(),
    };
    if !matches {
        return problems.push(format!("{path}: {value} is not {}", schema["type"]));
    }
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("{path}: {value} violates {what} {}", schema[what]));
        }
    };
    let bound = |key: &str| schema[key].as_f64();
    let at_least = |key: &str, size: Option<f64>| {
        size.is_none_or(|size| bound(key).is_none_or(|least| size >= least))
    };
    let at_most = |key: &str, size: Option<f64>| {
        size.is_none_or(|size| bound(key).is_none_or(|most| size <= most))
    };
    let length = value.as_str().map(|text| count(text.chars().count()));
    let items = value.as_array().map(|items| count(items.len()));
    let properties = value.as_object().map(|map| count(map.len()));
    demand(at_least("minLength", length), "minLength");
    demand(at_most("maxLength", length), "maxLength");
    demand(at_least("minItems", items), "minItems");
    demand(at_most("maxItems", items), "maxItems");
    demand(at_most("maxProperties", properties), "maxProperties");
    demand(at_least("minimum", value.as_f64()), "minimum");
    demand(at_most("maximum", value.as_f64()), "maximum");
    demand(schema["enum"].as_array().is_none_or(|values| values.contains(value)), "enum");
    let pattern = schema["pattern"].as_str().map(|pattern| Regex::new(pattern).unwrap());
    let fits = pattern.is_none_or(|p| value.as_str().is_none_or(|text| p.is_match(text)));
    demand(fits, "pattern");
    check_inside(schema, value, path, problems);
}

fn check_inside(schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&schema["items"], item, &format!("{path}[{index}]"), problems);
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        if value.get(required.as_str().unwrap()).is_none() {
            problems.push(format!("{path}.{required} is missing"));
        }
    }
    for (key, field) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => check(schema, field, &path, problems),
            (None, None) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            (None, None) => problems.push(format!("{path} is not known")),
        }
    }
}

fn count(count: usize) -> f64 {
    u32::try_from(count).unwrap().into()
}
