//! Announcing the broker to its name servers: everything at start and every 30 s, changed topics at
//! once.
//!
//! One task per name server, so that one that is down delays nobody. A name server that forgot us
//! learns everything again, because a new connection always starts with everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rocketkube_protocol::body::{DataVersion, RegisterBrokerBody, TopicConfig, TopicConfigTable};
use rocketkube_protocol::code::{RequestCode, ResponseCode};
use rocketkube_protocol::header::{BrokerIdentity, RegisterBroker};
use rocketkube_protocol::record::body_crc;
use rocketkube_protocol::{Command, version};
use rocketkube_remoting::{CallError, ConnectError, Connection};
use rocketkube_service::logs::chain;
use rocketkube_store::Topic;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::handler::topic::wire;

/// How often everything is announced. Source: `registerNameServerPeriod` of Apache's broker.
const PERIOD: Duration = Duration::from_secs(30);
/// How soon a failed announcement is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a name server may take to accept and to answer.
const TIMEOUT: Duration = Duration::from_secs(6);
/// Changed topics announced one by one; with more of them everything is said.
const MAX_CHANGES: usize = 4_096;

/// Why a name server does not know us.
#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the announcement was not made: {0}")]
    Announcement(#[from] JoinError),
    #[error("name server answered {code}: {remark}")]
    Refused { code: ResponseCode, remark: String },
}

/// What the tasks of all name servers have to say next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum News {
    Topics(BTreeSet<String>),
    Everything,
}

/// Collects what changed, for each name server.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    mailboxes: Mutex<Vec<watch::Sender<News>>>,
}

impl Changes {
    /// A topic was made or changed.
    pub(crate) fn topic(&self, name: &str) {
        self.tell(|news| {
            if let News::Topics(names) = news {
                names.insert(name.to_owned());
                if names.len() > MAX_CHANGES {
                    *news = News::Everything;
                }
            }
        });
    }

    /// A topic was taken away. Name servers forget it when an administrator tells them; they hear
    /// of a new version of the rest.
    pub(crate) fn everything(&self) {
        self.tell(|news| *news = News::Everything);
    }

    fn tell(&self, change: impl Fn(&mut News)) {
        for mailbox in self.mailboxes.lock().iter() {
            mailbox.send_modify(&change);
        }
    }

    fn subscribe(&self) -> watch::Receiver<News> {
        let (sender, receiver) = watch::channel(News::Everything);
        let mut mailboxes = self.mailboxes.lock();
        mailboxes.retain(|sender| sender.receiver_count() > 0);
        mailboxes.push(sender);
        receiver
    }

    /// Takes what there is to say to one name server.
    fn take(&self, receiver: &mut watch::Receiver<News>) -> News {
        let mailboxes = self.mailboxes.lock();
        let mine = mailboxes.iter().find(|sender| sender.subscribe().same_channel(receiver));
        let news = mine.map(|sender| sender.send_replace(News::Topics(BTreeSet::new())));
        receiver.mark_unchanged();
        news.unwrap_or(News::Everything)
    }
}

/// At which name servers the broker is registered, and why not at the others.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    by_server: Mutex<BTreeMap<String, Result<(), String>>>,
}

impl Registrations {
    fn tell(&self, namesrv: &str, state: Result<(), String>) {
        self.by_server.lock().insert(namesrv.to_owned(), state);
    }

    fn forget(&self, namesrv: &str) {
        self.by_server.lock().remove(namesrv);
    }

    /// How many name servers send clients here.
    pub(crate) fn count(&self) -> usize {
        self.by_server.lock().values().filter(|state| state.is_ok()).count()
    }

    /// Each name server, with what people are told of it.
    pub(crate) fn told(&self) -> BTreeMap<String, String> {
        let told = |state: &Result<(), String>| match state {
            Ok(()) => "registered".to_owned(),
            Err(why) => format!("not registered: {why}"),
        };
        let servers = self.by_server.lock();
        servers.iter().map(|(namesrv, state)| (namesrv.clone(), told(state))).collect()
    }
}

/// Keeps one name server informed until `shutdown`, then says good-bye.
pub(crate) async fn keep_registered(
    broker: Arc<Broker>,
    namesrv: String,
    shutdown: CancellationToken,
) {
    let mut changes = broker.changes.subscribe();
    let mut reported = false;
    broker.registrations.tell(&namesrv, Err("not tried yet".to_owned()));
    loop {
        let stay = session(&broker, &namesrv, &mut changes, &shutdown, &mut reported);
        match stay.await {
            Ok(()) => break,
            Err(error) => {
                broker.registrations.tell(&namesrv, Err(chain(&error)));
                // Once per outage: the name server may be down for long.
                if !std::mem::replace(&mut reported, true) {
                    warn!(namesrv, %error, "not registered, trying again every second");
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(RETRY) => {}
        }
    }
    broker.registrations.forget(&namesrv);
}

/// One connection to a name server, from the first announcement to its failure or our end.
async fn session(
    broker: &Arc<Broker>,
    namesrv: &str,
    changes: &mut watch::Receiver<News>,
    shutdown: &CancellationToken,
    reported: &mut bool,
) -> Result<(), RegistrationError> {
    let connection = tokio::select! {
        // Nobody to say good-bye to. Dropped here, the other end sees a connection that ends.
        () = shutdown.cancelled() => return Ok(()),
        connection = Connection::connect(namesrv, TIMEOUT) => connection?,
    };
    let _ = broker.changes.take(changes);
    let mut news = News::Everything;
    // Taken before the topics are looked at, and never twice with other topics: a name server skips
    // a version that it knows, so what changes meanwhile has to come with a higher one.
    let mut version = broker.next_data_version();
    let mut registered = false;
    loop {
        register(broker, &connection, &news, version).await?;
        if !std::mem::replace(&mut registered, true) {
            *reported = false;
            broker.registrations.tell(namesrv, Ok(()));
            info!(namesrv, broker = broker.config.name, "registered");
        }
        let next = Instant::now() + PERIOD;
        tokio::select! {
            () = shutdown.cancelled() => return unregister(broker, &connection).await,
            // Cancel-safe: news that nobody took stays in the mailbox.
            told = timeout_at(next, changes.changed()) => {
                if told.is_ok() {
                    news = broker.changes.take(changes);
                    version = broker.next_data_version();
                } else {
                    news = News::Everything;
                    version = broker.data_version();
                }
            }
        }
    }
}

async fn register(
    broker: &Arc<Broker>,
    connection: &Connection,
    news: &News,
    data_version: DataVersion,
) -> Result<(), RegistrationError> {
    // As long as there are topics, so not on a thread that serves.
    let (of, news) = (Arc::clone(broker), news.clone());
    let body = spawn_blocking(move || announcement(&of, &news, data_version)).await?;
    let address = broker.advertised.to_string();
    let header = RegisterBroker {
        broker_name: broker.config.name.as_str().into(),
        broker_addr: address.as_str().into(),
        cluster: broker.config.cluster.as_str().into(),
        // There is no replication on this port or any other yet.
        ha_server_addr: address.as_str().into(),
        broker_id: 0,
        compressed: Some(true),
        body_crc: Some(body_crc(&body).cast_signed()),
        ..RegisterBroker::default()
    };
    call(connection, Command::request(RequestCode::REGISTER_BROKER, &header).body(body)).await
}

/// The compressed body of an announcement.
fn announcement(broker: &Broker, news: &News, data_version: DataVersion) -> Vec<u8> {
    let topics: Vec<Arc<Topic>> = match news {
        News::Everything => broker.store.topics(),
        News::Topics(names) => names.iter().filter_map(|name| broker.store.topic(name)).collect(),
    };
    let limited = |topic: &Arc<Topic>| {
        let config = wire(topic);
        let perm = broker.permission.limit(config.perm);
        (topic.name().to_owned(), TopicConfig { perm, ..config })
    };
    let table = topics.iter().map(limited).collect();
    let topics = TopicConfigTable { data_version, topic_config_table: table };
    let body = RegisterBrokerBody { filter_server_list: Vec::new(), topics };
    body.encode(true, version::OURS)
}

async fn unregister(broker: &Broker, connection: &Connection) -> Result<(), RegistrationError> {
    let address = broker.advertised.to_string();
    let header = BrokerIdentity {
        broker_name: broker.config.name.as_str().into(),
        broker_addr: address.as_str().into(),
        cluster: broker.config.cluster.as_str().into(),
        broker_id: 0,
    };
    call(connection, Command::request(RequestCode::UNREGISTER_BROKER, &header)).await
}

async fn call(connection: &Connection, command: Command) -> Result<(), RegistrationError> {
    let answer = connection.call(command, TIMEOUT).await?;
    match answer.response_code() {
        ResponseCode::SUCCESS => Ok(()),
        code => {
            let remark = answer.remark.unwrap_or_default();
            Err(RegistrationError::Refused { code, remark })
        }
    }
}
