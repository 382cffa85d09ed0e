//! An API server in the test's own process, good enough for this operator, and the controllers that
//! stand around a real one ([`world`]).
//!
//! It keeps resource versions, generations, watches with bookmarks, 410 for what is forgotten,
//! conditional updates and deletes, server-side apply with removal of fields that are no longer
//! applied, the status subresource, finalizers and owner references. Answers can be replaced, and
//! requests or answers lost.
//!
//! It is no API server in that it knows no schema: nothing is defaulted (but the address of a
//! Service), nothing validated, lists are merged by `name`, `type`, `index` or `uid` where all items
//! have one and replaced else, apply knows no conflicts between managers, and all patches that are not
//! apply are merge patches.

#![allow(dead_code, unreachable_pub, reason = "a library to tests, of which none uses every part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is unexpected here ends the test")]

mod merge;
mod objects;
mod request;
pub mod run;
pub mod world;

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

pub use objects::{Id, Objects};
pub use request::{Call, Verb};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is refused with this code, and changes nothing.
    Refused(u16),
    /// It is refused as if no rule allowed it.
    Forbidden,
    /// Its apply has a field that the kind does not have; answered as a real API server does.
    Unreadable,
    /// It is lost on the way, and changes nothing.
    Lost,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// Whoever asks is stopped before it is done: there is no answer, ever.
    StoppedBefore,
    /// Whoever asks is stopped after it was done.
    StoppedAfter,
}

type Decide = Box<dyn FnMut(&Call) -> Fate + Send>;

struct Inner {
    objects: Mutex<Objects>,
    calls: Mutex<Vec<Call>>,
    decide: Mutex<Option<Decide>>,
    forbidden: Mutex<BTreeSet<String>>,
    stopped: tokio::sync::Notify,
}

/// The API server. Cloning it gives another handle of the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

impl ApiServer {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            objects: Mutex::new(Objects::new()),
            calls: Mutex::default(),
            decide: Mutex::default(),
            forbidden: Mutex::default(),
            stopped: tokio::sync::Notify::new(),
        }))
    }

    /// A client of it, at home in namespace `operator`.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(Service(self.clone()), "operator")
    }

    /// Says from now on what becomes of each request but watches.
    pub fn decide(&self, decide: impl FnMut(&Call) -> Fate + Send + 'static) {
        *self.0.decide.lock() = Some(Box::new(decide));
    }

    /// Answers everything again.
    pub fn decide_nothing(&self) {
        *self.0.decide.lock() = None;
    }

    /// Refuses all requests about a resource from now on, watches included, as if no rule allowed
    /// them. Watches that have begun go on until their client asks again.
    pub fn forbid(&self, resource: &str) {
        self.0.forbidden.lock().insert(resource.to_owned());
    }

    /// Refuses all requests about a namespace from now on, as where nobody has a right any more.
    pub fn forbid_in(&self, namespace: &str) {
        self.0.forbidden.lock().insert(format!("in {namespace}"));
    }

    /// Refuses nothing any more.
    pub fn forbid_nothing(&self) {
        self.0.forbidden.lock().clear();
    }

    /// Waits until somebody was stopped at a request.
    pub async fn stopped(&self) {
        self.0.stopped.notified().await;
    }

    /// All requests since the last time that was asked, watches included.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.calls.lock())
    }

    /// Direct access, past all requests.
    pub fn objects<T>(&self, act: impl FnOnce(&mut Objects) -> T) -> T {
        act(&mut self.0.objects.lock())
    }

    async fn answer(self, request: Request<Body>) -> Response<AnswerBody> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let call = Call::parse(&parts, &body);
        self.0.calls.lock().push(call.clone());
        let place = format!("in {}", call.namespace.as_deref().unwrap_or_default());
        if [&call.resource, &place].iter().any(|it| self.0.forbidden.lock().contains(*it)) {
            return forbidden(&call);
        }
        if call.verb == Verb::Watch {
            return self.watch(&call);
        }
        let fate = self.0.decide.lock().as_mut().map_or(Fate::Answered, |decide| decide(&call));
        match fate {
            Fate::Answered => self.perform(&call),
            Fate::Refused(code) => status(code, "Refused", "refused by the test"),
            Fate::Forbidden => forbidden(&call),
            Fate::Unreadable => status(
                500,
                "",
                "failed to create typed patch object: .spec.template: field not declared in schema",
            ),
            Fate::Lost => lost(),
            Fate::AnswerLost => {
                drop(self.perform(&call));
                lost()
            }
            Fate::StoppedBefore => self.stop().await,
            Fate::StoppedAfter => {
                drop(self.perform(&call));
                self.stop().await
            }
        }
    }

    async fn stop(&self) -> Response<AnswerBody> {
        self.0.stopped.notify_one();
        std::future::pending().await
    }

    fn perform(&self, call: &Call) -> Response<AnswerBody> {
        match self.0.objects.lock().perform(call) {
            Ok((code, object)) => answer(code, &object),
            Err((code, reason, message)) => status(code, reason, &message),
        }
    }

    fn watch(&self, call: &Call) -> Response<AnswerBody> {
        let (sender, receiver) = mpsc::unbounded();
        if let Err((code, reason, message)) = self.0.objects.lock().watch(call, sender) {
            return status(code, reason, &message);
        }
        let lines = receiver.map(|line| Ok(Frame::data(line)));
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

fn answer(code: u16, object: &Value) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(object.to_string())).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn status(code: u16, reason: &str, message: &str) -> Response<AnswerBody> {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    });
    answer(code, &status)
}

/// What an API server says if no rule allows a request.
fn forbidden(call: &Call) -> Response<AnswerBody> {
    let Call { resource, group, .. } = call;
    let message = format!(
        "{resource} is forbidden: User \"operator\" cannot {} resource \"{resource}\" in API group \
         \"{group}\"",
        call.verb.name()
    );
    status(403, "Forbidden", &message)
}

/// An answer that breaks off: what a client sees of a lost connection.
fn lost() -> Response<AnswerBody> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"kind\":")).boxed_unsync());
    *response.status_mut() = StatusCode::OK;
    response
}

#[derive(Clone)]
struct Service(ApiServer);

impl tower::Service<Request<Body>> for Service {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.clone().answer(request).map(Ok).boxed()
    }
}

/// The first so many fates for requests that `which` picks, and answers for the rest.
pub fn first(
    which: impl Fn(&Call) -> bool + Send + 'static,
    fates: impl IntoIterator<Item = Fate>,
) -> impl FnMut(&Call) -> Fate + Send + 'static {
    let mut fates: VecDeque<Fate> = fates.into_iter().collect();
    move |call| {
        if which(call) { fates.pop_front().unwrap_or(Fate::Answered) } else { Fate::Answered }
    }
}
