//! What producers, consumers and administrators share: connections, routes, and asking.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rocketkube_protocol::body::{Body, TopicRouteData};
use rocketkube_protocol::{Command, Header, Request, RequestCode, ResponseCode, header};
use rocketkube_remoting::{ConnectError, Connection, Handler, Output};
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use crate::route::Route;
use crate::{ClientError, names};

/// How long a route is used before the name server is asked again, as in Java.
const ROUTE_AGE: Duration = Duration::from_secs(30);
/// Most addresses and topics remembered; forgetting one costs a connect or a question.
const REMEMBERED: usize = 4096;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long connecting may take. Default 3 s.
    pub connect_timeout: Duration,
    /// How long an answer may take, connecting included. Default 3 s.
    pub request_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(3);
        Self { connect_timeout: timeout, request_timeout: timeout }
    }
}

/// A client of a cluster: name servers, one connection per address, routes. Clones share them.
///
/// Connections are made when they are needed, and again when they were lost.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    namesrv: Vec<String>,
    /// The name server that answered last.
    current: AtomicUsize,
    options: ClientOptions,
    /// Each address has a lock of its own, so that one that does not answer delays nobody else.
    connections: Mutex<HashMap<String, Arc<Slot>>>,
    routes: Mutex<HashMap<String, (Instant, Arc<Route>)>>,
    callbacks: Arc<Callbacks>,
    id: String,
}

type Slot = tokio::sync::Mutex<Option<Arc<Connection>>>;

impl Client {
    /// A client of the name servers `namesrv`: `host:port`, several separated by `;`.
    ///
    /// # Errors
    /// If there is no address in it. No connection is made yet.
    pub fn new(namesrv: &str) -> Result<Self, ClientError> {
        Self::with_options(namesrv, ClientOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// If there is no address in `namesrv`.
    pub fn with_options(namesrv: &str, options: ClientOptions) -> Result<Self, ClientError> {
        let split = namesrv.split(';').map(str::trim).filter(|addr| !addr.is_empty());
        let namesrv: Vec<String> = split.map(str::to_owned).collect();
        if namesrv.is_empty() {
            return Err(ClientError::NoNamesrv);
        }
        Ok(Self::with_servers(namesrv, options))
    }

    /// A client that is told the address of whomever it asks, for administration. What needs a
    /// name server fails.
    pub fn without_namesrv(options: ClientOptions) -> Self {
        Self::with_servers(Vec::new(), options)
    }

    fn with_servers(namesrv: Vec<String>, options: ClientOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                current: AtomicUsize::new(rand::random_range(0..namesrv.len().max(1))),
                namesrv,
                options,
                connections: Mutex::default(),
                routes: Mutex::default(),
                callbacks: Arc::default(),
                id: names::client_id(),
            }),
        }
    }

    /// By what brokers know this client: `process@number`, different for every client.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Asks the server at `addr` and returns whatever it answers.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub async fn call(&self, addr: &str, command: Command) -> Result<Command, ClientError> {
        self.call_within(addr, command, self.shared.options.request_timeout).await
    }

    /// The same with a time limit of its own, connecting included.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub async fn call_within(
        &self,
        addr: &str,
        command: Command,
        timeout: Duration,
    ) -> Result<Command, ClientError> {
        let deadline = Instant::now() + timeout;
        // Dropped while it connects, it leaves the address to the next who asks for it.
        let connection = time::timeout_at(deadline, self.connection(addr)).await;
        let connection = connection.unwrap_or_else(|_| {
            let addr = addr.to_owned();
            Err(ClientError::Connect(ConnectError::TimedOut { addr, after: timeout }))
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = connection.call(command, left).await;
        answer.map_err(|source| ClientError::Call { addr: addr.to_owned(), source })
    }

    /// Asks the server at `addr`, and takes every answer but `SUCCESS` for an error.
    ///
    /// # Errors
    /// If there is no answer in time, or the server refuses.
    pub async fn ask(&self, addr: &str, command: Command) -> Result<Command, ClientError> {
        success(addr, self.call(addr, command).await?)
    }

    /// Sends a request that wants no answer. Nobody learns what becomes of it.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn send_oneway(&self, addr: &str, command: Command) -> Result<(), ClientError> {
        let sent = self.connection(addr).await?.send_oneway(command);
        sent.map_err(|source| ClientError::Call { addr: addr.to_owned(), source })
    }

    /// Asks one name server after the other until one answers.
    ///
    /// # Errors
    /// If none answers, or the one that does refuses.
    pub async fn ask_namesrv(&self, command: Command) -> Result<Command, ClientError> {
        let shared = &self.shared;
        let first = shared.current.load(Ordering::Relaxed);
        let mut last = ClientError::NoNamesrv;
        for at in 0..shared.namesrv.len() {
            let index = (first + at) % shared.namesrv.len();
            let addr = &shared.namesrv[index];
            match self.call(addr, command.clone()).await {
                Ok(answer) => {
                    shared.current.store(index, Ordering::Relaxed);
                    return success(addr, answer);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The addresses of all name servers.
    pub fn namesrv(&self) -> &[String] {
        &self.shared.namesrv
    }

    /// Where the queues of a topic are; at most 30 s old.
    ///
    /// # Errors
    /// If the name servers do not answer, or do not know the topic (`TOPIC_NOT_EXIST`).
    pub async fn route(&self, topic: &str) -> Result<Arc<Route>, ClientError> {
        let known = self.shared.routes.lock().get(topic).cloned();
        if let Some((asked, route)) = known
            && asked.elapsed() < ROUTE_AGE
        {
            return Ok(route);
        }
        let header =
            header::GetRoute { topic: topic.into(), accept_standard_json_only: Some(true) };
        let command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        let answer = self.ask_namesrv(command).await?;
        let data = TopicRouteData::decode(&answer.body).map_err(|source| ClientError::Body {
            addr: "name server".to_owned(),
            code: RequestCode::GET_ROUTEINFO_BY_TOPIC,
            source,
        })?;
        let route = Arc::new(Route::new(topic, data));
        let mut routes = self.shared.routes.lock();
        if routes.len() >= REMEMBERED {
            routes.clear();
        }
        routes.insert(topic.to_owned(), (Instant::now(), Arc::clone(&route)));
        Ok(route)
    }

    /// Forgets the route of a topic, because it turned out to be wrong.
    pub fn forget_route(&self, topic: &str) {
        self.shared.routes.lock().remove(topic);
    }

    /// Notified whenever a broker says that the members of a group of this client changed.
    pub(crate) fn members_changed(&self) -> &Notify {
        &self.shared.callbacks.members_changed
    }

    async fn connection(&self, addr: &str) -> Result<Arc<Connection>, ClientError> {
        let slot = self.slot(addr);
        let mut connection = slot.lock().await;
        if let Some(connection) = &*connection
            && !connection.is_closed()
        {
            return Ok(Arc::clone(connection));
        }
        let timeout = self.shared.options.connect_timeout;
        let callbacks = Arc::clone(&self.shared.callbacks);
        let made = Arc::new(Connection::connect_with(addr, timeout, callbacks).await?);
        *connection = Some(Arc::clone(&made));
        Ok(made)
    }

    fn slot(&self, addr: &str) -> Arc<Slot> {
        let mut connections = self.shared.connections.lock();
        if let Some(slot) = connections.get(addr) {
            return Arc::clone(slot);
        }
        if connections.len() >= REMEMBERED {
            connections.clear();
        }
        Arc::clone(connections.entry(addr.to_owned()).or_default())
    }
}

#[derive(Debug, Default)]
struct Callbacks {
    members_changed: Notify,
}

impl Handler for Callbacks {
    fn request(&self, request: Request<'_>, out: &mut Output) {
        if request.code == RequestCode::NOTIFY_CONSUMER_IDS_CHANGED {
            self.members_changed.notify_waiters();
        }
        if !request.is_oneway() {
            let code = ResponseCode::REQUEST_CODE_NOT_SUPPORTED;
            request.answer(code).write(out.buffer(), |_| (), &[]);
        }
    }
}

/// The answer, if it is one of success.
pub(crate) fn success(addr: &str, answer: Command) -> Result<Command, ClientError> {
    if answer.response_code() == ResponseCode::SUCCESS {
        Ok(answer)
    } else {
        Err(refused(addr, &answer))
    }
}

pub(crate) fn refused(addr: &str, answer: &Command) -> ClientError {
    let remark = answer.remark.clone().unwrap_or_default();
    ClientError::Refused { addr: addr.to_owned(), code: answer.response_code(), remark }
}

/// The fields of an answer to `code`.
pub(crate) fn fields<'a, H: Header<'a>>(
    addr: &str,
    code: RequestCode,
    answer: &'a Command,
) -> Result<H, ClientError> {
    answer.header().map_err(|source| ClientError::Header { addr: addr.to_owned(), code, source })
}

/// The body of an answer to `code`.
pub(crate) fn body<B: Body>(
    addr: &str,
    code: RequestCode,
    answer: &Command,
) -> Result<B, ClientError> {
    B::decode(&answer.body).map_err(|source| ClientError::Body {
        addr: addr.to_owned(),
        code,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_a_name_server() {
        assert!(matches!(Client::new(" ; "), Err(ClientError::NoNamesrv)));
        assert_eq!(Client::new("a:1; b:2;").unwrap().namesrv(), ["a:1", "b:2"]);
    }
}
