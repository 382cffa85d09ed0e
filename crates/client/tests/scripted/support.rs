//! Servers that answer what a script says, and what scripts often say.

use std::sync::Arc;
use std::time::Duration;

use rocketkube_protocol::body::{BrokerData, QueueData, RouteForm, TopicRouteData};
use rocketkube_protocol::header::{GetRoute, SendMessage, SendReceipt};
use rocketkube_protocol::message::property;
use rocketkube_protocol::{Command, Properties, Request, RequestCode, ResponseCode};
use rocketkube_remoting::{BatchEnd, Limits, Output, Peer, Server, Service};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does with a request.
pub(crate) enum Say {
    Answer(Command),
    Nothing,
    Close,
}

impl From<Command> for Say {
    fn from(answer: Command) -> Self {
        Self::Answer(answer)
    }
}

type Script = Box<dyn Fn(&Request<'_>) -> Say + Send + Sync>;

struct Scripted(Script);

impl Service for Scripted {
    type Session = Arc<Peer>;

    fn connected(&self, peer: &Arc<Peer>) -> Arc<Peer> {
        Arc::clone(peer)
    }

    fn request(&self, peer: &mut Arc<Peer>, request: Request<'_>, out: &mut Output) {
        match (self.0)(&request) {
            Say::Answer(answer) => {
                let answer = Command { opaque: request.opaque, flag: 1, ..answer };
                answer.encode_into(out.buffer()).unwrap();
            }
            Say::Nothing => {}
            Say::Close => peer.close(),
        }
    }

    fn end_of_batch(&self, _: &mut Arc<Peer>, _: &mut Output) -> BatchEnd {
        BatchEnd::Done
    }

    fn disconnected(&self, _: Arc<Peer>) {}
}

/// A server that can be stopped.
pub(crate) struct Running {
    pub(crate) addr: String,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<S: Into<Say>>(
        script: impl Fn(&Request<'_>) -> S + Send + Sync + 'static,
    ) -> Self {
        let addr = "127.0.0.1:0".parse().unwrap();
        let service = Arc::new(Scripted(Box::new(move |request| script(request).into())));
        let stop = CancellationToken::new();
        let server = Server::bind(&[addr], service, Limits::default(), stop.clone()).unwrap();
        let addr = server.local_addrs().unwrap()[0].to_string();
        Self { addr, stop, serving: tokio::spawn(server.run()) }
    }

    /// Returns when nobody listens any more and every connection is closed.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

/// Starts a server that lives as long as the test's runtime, and returns its address.
pub(crate) fn serve<S: Into<Say>>(
    script: impl Fn(&Request<'_>) -> S + Send + Sync + 'static,
) -> String {
    Running::start(script).addr
}

/// An address where nobody listens.
pub(crate) fn gone() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn code(code: ResponseCode) -> Command {
    Command { code: code.0, ..Command::default() }
}

/// The route of a topic with `queues` queues on each of `brokers`.
pub(crate) fn route(brokers: &[(&str, String)], queues: i32) -> Command {
    let mut route = TopicRouteData::default();
    for (name, addr) in brokers {
        route.queue_datas.push(QueueData {
            broker_name: (*name).to_owned(),
            perm: 6,
            read_queue_nums: queues,
            write_queue_nums: queues,
            topic_sys_flag: 0,
        });
        route.broker_datas.push(BrokerData {
            broker_name: (*name).to_owned(),
            broker_addrs: [(0, addr.clone())].into(),
            ..BrokerData::default()
        });
    }
    code(ResponseCode::SUCCESS).body(route.encode(RouteForm::Standard))
}

/// A name server that knows one topic, with four queues on each of `brokers`.
pub(crate) fn namesrv(topic: &'static str, brokers: Vec<(&'static str, String)>) -> String {
    serve(move |request| {
        if request.header::<GetRoute<'_>>().unwrap().topic != topic {
            return code(ResponseCode::TOPIC_NOT_EXIST);
        }
        route(&brokers, 4)
    })
}

pub(crate) fn receipt(queue_id: i32) -> Command {
    let header =
        SendReceipt { msg_id: "id".into(), queue_id, queue_offset: 7, ..SendReceipt::default() };
    Command::request(RequestCode(0), &header)
}

pub(crate) fn unique_id(request: &Request<'_>) -> String {
    let send: SendMessage<'_> = request.header().unwrap();
    Properties(&send.properties.unwrap()).get(property::UNIQ_KEY).unwrap().to_owned()
}
