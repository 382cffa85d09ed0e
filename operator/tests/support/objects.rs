//! The objects, their versions, and who watches them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::channel::mpsc::UnboundedSender;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::merge;
use super::request::{Call, Verb};

/// When a server starts, by the wall clock: 17 March 2030, 17:46:40.
const START: i64 = 1_900_000_000;

/// Names an object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub group: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
}

impl Id {
    pub fn new(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        let [group, resource, namespace, name] =
            [group, resource, namespace, name].map(str::to_owned);
        Self { group, resource, namespace, name }
    }
}

/// Code, reason and message.
pub type Refusal = (u16, &'static str, String);

struct Event {
    version: u64,
    kind: &'static str,
    id: Id,
    object: Value,
}

struct Watcher {
    group: String,
    resource: String,
    namespace: Option<String>,
    selector: String,
    sender: UnboundedSender<Bytes>,
}

/// All objects.
pub struct Objects {
    there: BTreeMap<Id, Value>,
    /// What each manager applied last.
    applied: BTreeMap<(Id, String), Value>,
    version: u64,
    uids: u64,
    addresses: u32,
    events: Vec<Event>,
    /// Versions up to here are forgotten.
    forgotten: u64,
    watchers: Vec<Watcher>,
    /// While held, watchers are not told: their caches get old.
    held: Option<Vec<usize>>,
    /// Kinds that do not exist.
    unknown: BTreeSet<String>,
    /// How often an object of a name was deleted.
    deletions: BTreeMap<Id, usize>,
    changed: std::sync::Arc<tokio::sync::Notify>,
    started: Instant,
}

impl Objects {
    pub fn new() -> Self {
        Self {
            there: BTreeMap::new(),
            applied: BTreeMap::new(),
            version: 100,
            uids: 0,
            addresses: 0,
            events: Vec::new(),
            forgotten: 0,
            watchers: Vec::new(),
            held: None,
            unknown: BTreeSet::new(),
            deletions: BTreeMap::new(),
            changed: std::sync::Arc::default(),
            started: Instant::now(),
        }
    }

    /// The time of day, which goes with the paused clock.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap();
        Timestamp::from_second(START).unwrap() + elapsed
    }

    /// Told after every change.
    pub fn changed(&self) -> std::sync::Arc<tokio::sync::Notify> {
        std::sync::Arc::clone(&self.changed)
    }

    pub fn deletions(&self) -> &BTreeMap<Id, usize> {
        &self.deletions
    }

    pub fn get(&self, id: &Id) -> Option<&Value> {
        self.there.get(id)
    }

    /// All objects of a kind.
    pub fn of(&self, group: &str, resource: &str) -> Vec<(Id, Value)> {
        let is = |(id, _): &(&Id, &Value)| id.group == group && id.resource == resource;
        self.there.iter().filter(is).map(|(id, object)| (id.clone(), object.clone())).collect()
    }

    pub fn all(&self) -> impl Iterator<Item = (&Id, &Value)> {
        self.there.iter()
    }

    /// Makes or replaces an object, as its owner would.
    pub fn put(&mut self, id: &Id, object: Value) {
        let before = self.there.get(id).cloned();
        self.store(id, before.as_ref(), object);
    }

    /// Changes an object that is there.
    pub fn edit(&mut self, id: &Id, edit: impl FnOnce(&mut Value)) {
        let before = self.there.get(id).cloned().unwrap_or_else(|| panic!("no {id:?}"));
        let mut object = before.clone();
        edit(&mut object);
        self.store(id, Some(&before), object);
    }

    /// Makes as if a kind had no definition.
    pub fn set_unknown(&mut self, resource: &str, unknown: bool) {
        if unknown {
            self.unknown.insert(resource.to_owned());
        } else {
            self.unknown.remove(resource);
        }
    }

    /// Watchers are told nothing until they are released.
    pub fn hold_watches(&mut self) {
        self.held = Some(Vec::new());
    }

    pub fn are_watches_held(&self) -> bool {
        self.held.is_some()
    }

    pub fn release_watches(&mut self) {
        for at in self.held.take().unwrap_or_default() {
            self.tell(at);
        }
    }

    /// Tells watchers which version they have.
    pub fn bookmark(&mut self) {
        let version = self.version.to_string();
        for watcher in &self.watchers {
            let object = json!({
                "apiVersion": "v1",
                "kind": "Bookmark",
                "metadata": { "resourceVersion": version },
            });
            drop(watcher.sender.unbounded_send(line("BOOKMARK", &object)));
        }
    }

    /// Forgets the past and ends all watches: they have to list again.
    pub fn forget(&mut self) {
        self.forgotten = self.version;
        self.events.clear();
        let gone = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": 410,
            "reason": "Expired",
            "message": "too old resource version",
        });
        for watcher in self.watchers.drain(..) {
            drop(watcher.sender.unbounded_send(line("ERROR", &gone)));
        }
    }

    pub fn perform(&mut self, call: &Call) -> Result<(u16, Value), Refusal> {
        if self.unknown.contains(&call.resource) {
            return Err((404, "NotFound", "404 page not found".to_owned()));
        }
        let id = call.id();
        match call.verb {
            Verb::List => Ok((200, self.list(call))),
            Verb::Get => self.found(&id).map(|object| (200, object)),
            Verb::Create => self.create(&id, call),
            Verb::Update => self.update(&id, call),
            Verb::Patch if call.is_apply => self.apply(&id, call),
            Verb::Patch => self.merge(&id, call),
            Verb::Delete => self.delete(&id, call),
            Verb::Watch => unreachable!("watches are answered apart"),
        }
    }

    pub fn watch(&mut self, call: &Call, sender: UnboundedSender<Bytes>) -> Result<(), Refusal> {
        let since: u64 = call.query.get("resourceVersion").map_or(0, |text| text.parse().unwrap());
        if since < self.forgotten {
            return Err((410, "Expired", "too old resource version".to_owned()));
        }
        let watcher = Watcher {
            group: call.group.clone(),
            resource: call.resource.clone(),
            namespace: call.namespace.clone(),
            selector: call.query.get("labelSelector").cloned().unwrap_or_default(),
            sender,
        };
        for event in self.events.iter().filter(|event| event.version > since) {
            watcher.tell(event);
        }
        self.watchers.push(watcher);
        Ok(())
    }

    fn list(&self, call: &Call) -> Value {
        let selector = call.query.get("labelSelector").map_or("", String::as_str);
        let is = |(id, object): &(&Id, &Value)| {
            id.group == call.group
                && id.resource == call.resource
                && call.namespace.as_ref().is_none_or(|namespace| *namespace == id.namespace)
                && selects(selector, object)
        };
        let untyped = |(_, object): (&Id, &Value)| {
            let mut object = object.clone();
            let fields = object.as_object_mut().unwrap();
            fields.remove("apiVersion");
            fields.remove("kind");
            object
        };
        // Items of lists do not say what they are: the list does.
        let items: Vec<_> = self.there.iter().filter(is).map(untyped).collect();
        let version = self.version.to_string();
        json!({
            "apiVersion": "v1",
            "kind": "List",
            "metadata": { "resourceVersion": version },
            "items": items,
        })
    }

    fn found(&self, id: &Id) -> Result<Value, Refusal> {
        let message = || format!("{} \"{}\" not found", id.resource, id.name);
        self.there.get(id).cloned().ok_or_else(|| (404, "NotFound", message()))
    }

    fn create(&mut self, id: &Id, call: &Call) -> Result<(u16, Value), Refusal> {
        if self.there.contains_key(id) {
            return Err((409, "AlreadyExists", format!("{} already exists", id.name)));
        }
        Ok((201, self.store(id, None, call.body.clone())))
    }

    fn update(&mut self, id: &Id, call: &Call) -> Result<(u16, Value), Refusal> {
        let before = self.found(id)?;
        let version = call.body.pointer("/metadata/resourceVersion");
        if version.is_some() && version != before.pointer("/metadata/resourceVersion") {
            return Err((409, "Conflict", "the object has been modified".to_owned()));
        }
        Ok((200, self.store(id, Some(&before), call.body.clone())))
    }

    fn apply(&mut self, id: &Id, call: &Call) -> Result<(u16, Value), Refusal> {
        let before = self.there.get(id).cloned();
        let of_status = call.subresource.as_deref() == Some("status");
        if before.is_none() && of_status {
            return self.found(id).map(|object| (200, object));
        }
        check_uid(before.as_ref(), call.body.pointer("/metadata/uid"))?;
        let mut object = before.clone().unwrap_or_else(|| json!({}));
        let manager = format!(
            "{}/{}",
            call.query["fieldManager"],
            call.subresource.as_deref().unwrap_or_default()
        );
        let mut config = call.body.clone();
        if of_status {
            config = json!({ "status": config["status"] });
        } else if let Some(fields) = config.as_object_mut() {
            fields.remove("status");
        }
        if let Some(last) = self.applied.get(&(id.clone(), manager.clone())) {
            merge::remove_dropped(&mut object, last, &config);
        }
        merge::apply(&mut object, &config);
        self.applied.insert((id.clone(), manager), config);
        let code = if before.is_some() { 200 } else { 201 };
        Ok((code, self.store(id, before.as_ref(), object)))
    }

    fn merge(&mut self, id: &Id, call: &Call) -> Result<(u16, Value), Refusal> {
        let before = self.found(id)?;
        check_uid(Some(&before), call.body.pointer("/metadata/uid"))?;
        let mut object = before.clone();
        merge::merge(&mut object, &call.body);
        Ok((200, self.store(id, Some(&before), object)))
    }

    fn delete(&mut self, id: &Id, call: &Call) -> Result<(u16, Value), Refusal> {
        let object = self.found(id)?;
        check_uid(Some(&object), call.body.pointer("/preconditions/uid"))?;
        self.remove(id);
        Ok((200, object))
    }

    /// Deletes an object, or marks it if finalizers hold it.
    pub fn remove(&mut self, id: &Id) {
        let Some(mut object) = self.there.get(id).cloned() else { return };
        if has_finalizers(&object) {
            let before = object.clone();
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            self.store(id, Some(&before), object);
            return;
        }
        self.there.remove(id);
        self.applied.retain(|(other, _), _| other != id);
        *self.deletions.entry(id.clone()).or_default() += 1;
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.record("DELETED", id, object);
    }

    /// Stores what changed, with a new version; returns what is stored.
    fn store(&mut self, id: &Id, before: Option<&Value>, mut object: Value) -> Value {
        self.complete(id, before, &mut object);
        if let Some(before) = before {
            object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if object == *before {
                return object;
            }
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(1);
            let changed = without_status(before) != without_status(&object);
            object["metadata"]["generation"] = (generation + i64::from(changed)).into();
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.there.insert(id.clone(), object.clone());
        if !object["metadata"]["deletionTimestamp"].is_null() && !has_finalizers(&object) {
            self.remove(id);
            return object;
        }
        self.record(if before.is_some() { "MODIFIED" } else { "ADDED" }, id, object.clone());
        object
    }

    /// What the API server adds to a new object.
    fn complete(&mut self, id: &Id, before: Option<&Value>, object: &mut Value) {
        object["metadata"]["name"] = id.name.clone().into();
        object["metadata"]["namespace"] = id.namespace.clone().into();
        if let Some(before) = before {
            for key in ["uid", "creationTimestamp"] {
                object["metadata"][key] = before["metadata"][key].clone();
            }
        } else {
            self.uids += 1;
            object["metadata"]["uid"] = format!("uid-{}", self.uids).into();
            object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
            object["metadata"]["generation"] = 1.into();
        }
        if id.resource == "services" && object["spec"]["clusterIP"].is_null() {
            self.addresses += 1;
            object["spec"]["clusterIP"] = format!("10.96.0.{}", self.addresses).into();
        }
    }

    fn record(&mut self, kind: &'static str, id: &Id, object: Value) {
        self.events.push(Event { version: self.version, kind, id: id.clone(), object });
        let at = self.events.len() - 1;
        match &mut self.held {
            Some(held) => held.push(at),
            None => self.tell(at),
        }
        self.changed.notify_one();
    }

    fn tell(&mut self, at: usize) {
        self.watchers.retain(|watcher| !watcher.sender.is_closed());
        if let Some(event) = self.events.get(at) {
            for watcher in &self.watchers {
                watcher.tell(event);
            }
        }
    }
}

impl Watcher {
    fn tell(&self, event: &Event) {
        let namespace = self.namespace.as_ref().is_none_or(|name| *name == event.id.namespace);
        if namespace
            && self.group == event.id.group
            && self.resource == event.id.resource
            && selects(&self.selector, &event.object)
        {
            drop(self.sender.unbounded_send(line(event.kind, &event.object)));
        }
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": kind, "object": object })))
}

fn check_uid(object: Option<&Value>, wanted: Option<&Value>) -> Result<(), Refusal> {
    let there = object.and_then(|object| object.pointer("/metadata/uid"));
    match wanted {
        Some(wanted) if !wanted.is_null() && there.is_some() && there != Some(wanted) => {
            Err((409, "Conflict", "the UID in the precondition does not match".to_owned()))
        }
        _ => Ok(()),
    }
}

fn has_finalizers(object: &Value) -> bool {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty())
}

fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().unwrap();
    fields.remove("status");
    fields.remove("metadata");
    object
}

/// Equality selectors only.
pub fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        let (key, value) = term.split_once('=').expect("equality selectors only");
        labels[key] == value.trim_start_matches('=')
    })
}
