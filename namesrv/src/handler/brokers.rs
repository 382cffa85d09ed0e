//! Requests of brokers, and about them.

use std::time::{Duration, Instant};

use rocketkube_protocol::body::{DataVersion, KvTable, MemberGroupAnswer, RegisterBrokerBody};
use rocketkube_protocol::record::body_crc;
use rocketkube_protocol::{Body, BodyError, Request, header};
use tracing::{info, warn};

use super::{Answer, Handled, Handler, Outcome, Refusal, Session};
use crate::routes::{MASTER, Refused, Registration};

/// Namespace of the layouts of ordered topics.
pub(super) const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";
/// Topics taken under one lock: a millisecond of others' time.
const PORTION: usize = 4096;
/// Bodies longer than this take longer to read than other connections should wait.
const LONG_BODY: usize = 64 * 1024;
/// First byte of zlib data with the usual window of 32 KiB.
const ZLIB: u8 = 0x78;
/// Longest name of a broker, cluster or zone, and longest address.
const MAX_NAME: usize = 255;

impl Handler {
    /// `REGISTER_BROKER` (103): a member and its topics.
    ///
    /// Brokers send it at start, at each change of a topic, and every now and then. One that brings
    /// nothing new costs no more than reading it.
    pub(super) fn register_broker(&self, session: &Session, request: &Request<'_>) -> Handled {
        let header = request.header::<header::RegisterBroker<'_>>()?;
        check_identity(
            &header.cluster,
            &header.broker_name,
            &header.broker_addr,
            header.broker_id,
        )?;
        check_name("haServerAddr", &header.ha_server_addr)?;
        header.zone.as_deref().map_or(Ok(()), |zone| check_name("__ZONE_NAME", zone))?;
        let crc = header.body_crc.unwrap_or(0);
        if crc != 0 && i64::from(crc) != i64::from(body_crc(request.body)) {
            return Err(Refusal::BodyCrc);
        }
        in_place(request.body.len(), || {
            let _one_at_a_time = is_long(request.body.len()).then(|| self.reading.lock());
            self.register(session, &header, request.body)
        })
    }

    fn register(
        &self,
        session: &Session,
        header: &header::RegisterBroker<'_>,
        body: &[u8],
    ) -> Handled {
        let topics = match read_topics(body, header.compressed == Some(true)) {
            Ok(body) => body.topics,
            // Nobody's broker sends this.
            Err(BodyError::Compressed(_) | BodyError::CutOff { .. }) => return Ok(Outcome::Close),
            Err(error) => return Err(error.into()),
        };
        let timeout = header.heartbeat_timeout_ms.and_then(|ms| u64::try_from(ms).ok());
        let registration = Registration {
            cluster: &header.cluster,
            broker: &header.broker_name,
            id: header.broker_id,
            addr: &header.broker_addr,
            ha_addr: &header.ha_server_addr,
            zone: header.zone.as_deref().filter(|zone| !zone.is_empty()),
            timeout: timeout.filter(|&ms| ms > 0).map(Duration::from_millis),
            version: topics.data_version,
            topics: topics.topic_config_table.len(),
        };
        let before = self.routes.read().counts().members;
        let registered =
            self.routes.write().register(&registration, session.connection, Instant::now())?;
        session.has_members.set(true);
        self.metrics.registrations.add(1);
        if self.routes.read().counts().members != before {
            let (broker, id, addr) = (registration.broker, registration.id, registration.addr);
            info!(broker, id, addr, cluster = registration.cluster, "member registered");
        }
        if registered.wants_topics {
            let topics: Vec<_> = topics.topic_config_table.into_values().collect();
            let put = |portion| self.routes.write().put_topics(registration.broker, portion);
            let left_out: usize = topics.chunks(PORTION).map(put).sum();
            if left_out > 0 && self.routes.read().is_full() {
                return Err(Refused::in_all(registration.broker, registration.topics).into());
            }
            if left_out > 0 {
                warn!(broker = registration.broker, left_out, "topics are not sound, or too many");
            }
        }
        if registration.id == MASTER {
            self.warmup.arrived(registration.broker);
        }
        let mut fields = Vec::new();
        if let Some((master, ha_addr)) = registered.master {
            fields = vec![("haServerAddr", ha_addr), ("masterAddr", master)];
        }
        Ok(Answer { fields, body: self.order_layouts() }.into())
    }

    /// The layouts of ordered topics; brokers may want to know them.
    fn order_layouts(&self) -> Vec<u8> {
        let kept = self.keeper.kept();
        let layouts = kept.namespace(ORDER_NAMESPACE).cloned();
        layouts.map_or_else(Vec::new, |table| KvTable { table }.encode())
    }

    /// `QUERY_DATA_VERSION` (322): whether a broker has to register again.
    pub(super) fn query_data_version(&self, session: &Session, request: &Request<'_>) -> Handled {
        let header = request.header::<header::BrokerIdentity<'_>>()?;
        let theirs = DataVersion::decode(request.body)?;
        let ours = self.touch(session, &header.cluster, &header.broker_name, &header.broker_addr);
        let answer = Answer::field("changed", &(ours != Some(theirs)));
        Ok(Answer { body: ours.map_or_else(Vec::new, |ours| ours.encode()), ..answer }.into())
    }

    /// `BROKER_HEARTBEAT` (904): a sign of life.
    pub(super) fn broker_heartbeat(&self, session: &Session, request: &Request<'_>) -> Handled {
        let header = request.header::<header::BrokerHeartbeat<'_>>()?;
        self.touch(session, &header.cluster, &header.broker_name, &header.broker_addr);
        Ok(Answer::default().into())
    }

    fn touch(
        &self,
        session: &Session,
        cluster: &str,
        broker: &str,
        addr: &str,
    ) -> Option<DataVersion> {
        let mut routes = self.routes.write();
        let version = routes.touch(cluster, broker, addr, session.connection, Instant::now());
        if version.is_some() {
            session.has_members.set(true);
        }
        version
    }

    /// `UNREGISTER_BROKER` (104): a member says goodbye, and nobody else says it for it.
    pub(super) fn unregister_broker(&self, session: &Session, request: &Request<'_>) -> Handled {
        let header = request.header::<header::BrokerIdentity<'_>>()?;
        let (broker, id, addr) = (&*header.broker_name, header.broker_id, &*header.broker_addr);
        let (cluster, connection) = (&*header.cluster, session.connection);
        if self.routes.write().unregister(cluster, broker, id, addr, connection)? {
            info!(broker, id, addr, "member unregistered");
        }
        Ok(Answer::default().into())
    }

    /// `GET_BROKER_CLUSTER_INFO` (106).
    pub(super) fn cluster_info(&self) -> Outcome {
        let info = self.routes.read().cluster_info();
        Answer::body(info.encode()).into()
    }

    /// `GET_BROKER_MEMBER_GROUP` (901).
    pub(super) fn member_group(&self, request: &Request<'_>) -> Handled {
        let header = request.header::<header::BrokerMemberGroup<'_>>()?;
        let group = self.routes.read().member_group(&header.cluster, &header.broker_name);
        Ok(Answer::body(MemberGroupAnswer { broker_member_group: group }.encode()).into())
    }

    /// `WIPE_WRITE_PERM_OF_BROKER` (205): producers go elsewhere.
    pub(super) fn wipe_write(&self, request: &Request<'_>) -> Handled {
        let broker = request.header::<header::BrokerOfPermission<'_>>()?.broker_name;
        let topics = self.routes.write().wipe_write(&broker);
        info!(broker = &*broker, topics, "write permission wiped");
        Ok(Answer::field("wipeTopicCount", &topics).into())
    }

    /// `ADD_WRITE_PERM_OF_BROKER` (327): producers may come back.
    pub(super) fn add_write(&self, request: &Request<'_>) -> Handled {
        let broker = request.header::<header::BrokerOfPermission<'_>>()?.broker_name;
        let topics = self.routes.write().add_write(&broker);
        info!(broker = &*broker, topics, "write permission given back");
        Ok(Answer::field("addTopicCount", &topics).into())
    }
}

/// A broker without topics may leave its body out. Apache's 5.4.0 with `compressedRegister` sends a
/// compressed body and says that it is none, so the body is looked at: no JSON begins like zlib.
fn read_topics(body: &[u8], compressed: bool) -> Result<RegisterBrokerBody, BodyError> {
    if body.is_empty() {
        return Ok(RegisterBrokerBody::default());
    }
    RegisterBrokerBody::decode(body, compressed || body[0] == ZLIB)
}

fn is_long(body: usize) -> bool {
    body > LONG_BODY
}

/// Runs work on this thread, after giving the runtime another one for its other tasks if the work
/// is long, as the bytes it is about say.
pub(super) fn in_place<T>(body: usize, work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if is_long(body) && matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
        return tokio::task::block_in_place(work);
    }
    work()
}

fn check_identity(cluster: &str, broker: &str, addr: &str, id: i64) -> Result<(), Refusal> {
    check_name("clusterName", cluster)?;
    check_name("brokerName", broker)?;
    check_name("brokerAddr", addr)?;
    let port = addr.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    if port.and_then(|port| port.parse().ok()).is_none_or(|port: u16| port == 0) {
        return Err(Refusal::Field { field: "brokerAddr", expected: "an address, host:port" });
    }
    if id < 0 {
        return Err(Refusal::Field { field: "brokerId", expected: "a number from 0 on" });
    }
    Ok(())
}

/// Java's default name of a broker is the name of its machine, so dots and more are allowed.
fn check_name(field: &'static str, name: &str) -> Result<(), Refusal> {
    let sound = name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    // Replication and zones are optional, and some brokers send the field all the same.
    let optional = matches!(field, "haServerAddr" | "__ZONE_NAME");
    if sound && (optional || !name.is_empty()) {
        return Ok(());
    }
    Err(Refusal::Field { field, expected: "1 to 255 visible ASCII characters" })
}
