//! A server whose service echoes, and peers that write whatever they are told to.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rocketkube_protocol::{Command, Request, RequestCode, ResponseCode};
use rocketkube_remoting::{
    BatchEnd, CloseReason, Counters, Deferral, Limits, Output, Peer, Server, Service,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Answers with the body of the request.
pub(crate) const ECHO: RequestCode = RequestCode(1);
/// Answers from the file of [`Echo::file`]: field `position`, field `len`.
pub(crate) const FILE: RequestCode = RequestCode(2);
/// Is answered when [`Echo::answer_parked`] is called, and keeps the connection open until then.
pub(crate) const PARK: RequestCode = RequestCode(3);
/// The same, but does not keep the connection open.
pub(crate) const PARK_LOOSELY: RequestCode = RequestCode(4);
/// Answers with as many zero bytes as field `len` says.
pub(crate) const ZEROS: RequestCode = RequestCode(5);
/// Is answered when the peer ends its side.
pub(crate) const PARK_TO_THE_END: RequestCode = RequestCode(6);
/// Is answered when the other connections had their turn.
pub(crate) const AFTER_OTHERS: RequestCode = RequestCode(7);
/// Is answered when [`Echo::meanwhile`] is done.
pub(crate) const MEANWHILE: RequestCode = RequestCode(8);

pub(crate) struct Parked {
    peer: Arc<Peer>,
    answer: Vec<u8>,
    _deferral: Option<Deferral>,
}

#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) parked: Mutex<Vec<Parked>>,
    pub(crate) peers: Mutex<Vec<Arc<Peer>>>,
    pub(crate) batches: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) disconnected: AtomicU64,
    pub(crate) woken: AtomicU64,
    pub(crate) half_closed: AtomicU64,
    pub(crate) answers_at_end: Mutex<Vec<u8>>,
    /// Answers to [`AFTER_OTHERS`], by connection.
    pub(crate) after_others: Mutex<HashMap<u64, Vec<u8>>>,
    /// How many batches had ended when each of them was given.
    pub(crate) batches_before: Mutex<Vec<u64>>,
    pub(crate) file: Option<Arc<File>>,
    /// What happens while the server handles [`MEANWHILE`].
    pub(crate) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Echo {
    pub(crate) fn answer_parked(&self) {
        for parked in self.parked.lock().drain(..) {
            let _ = parked.peer.send(&parked.answer);
        }
    }
}

pub(crate) fn number(request: &Request<'_>, key: &str) -> u64 {
    request.ext.get(key).unwrap().parse().unwrap()
}

impl Service for Echo {
    type Session = Arc<Peer>;

    fn connected(&self, peer: &Arc<Peer>) -> Arc<Peer> {
        self.peers.lock().push(Arc::clone(peer));
        Arc::clone(peer)
    }

    fn request(&self, session: &mut Arc<Peer>, request: Request<'_>, out: &mut Output) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = request.answer(ResponseCode::SUCCESS);
        match request.code {
            FILE => {
                let (position, len) = (number(&request, "position"), number(&request, "len"));
                assert!(answer.write_head(out.buffer(), |_| (), usize::try_from(len).unwrap()));
                out.file(Arc::clone(self.file.as_ref().unwrap()), position, len);
            }
            PARK | PARK_LOOSELY => {
                let mut bytes = Vec::new();
                answer.write(&mut bytes, |_| (), request.body);
                self.parked.lock().push(Parked {
                    peer: Arc::clone(session),
                    answer: bytes,
                    _deferral: (request.code == PARK).then(|| session.defer()),
                });
            }
            AFTER_OTHERS => {
                let mut answers = self.after_others.lock();
                answer.write(answers.entry(session.id()).or_default(), |_| (), request.body);
            }
            MEANWHILE => {
                self.meanwhile.lock().take().unwrap()();
                answer.write(out.buffer(), |_| (), request.body);
            }
            PARK_TO_THE_END => answer.write(&mut self.answers_at_end.lock(), |_| (), request.body),
            ZEROS => {
                let len = usize::try_from(number(&request, "len")).unwrap();
                answer.write(out.buffer(), |_| (), &vec![0; len]);
            }
            ECHO if !request.is_oneway() => answer.write(out.buffer(), |_| (), request.body),
            ECHO => {}
            _ => request.answer(ResponseCode::REQUEST_CODE_NOT_SUPPORTED).write(
                out.buffer(),
                |_| (),
                &[],
            ),
        }
    }

    fn end_of_batch(&self, session: &mut Arc<Peer>, _: &mut Output) -> BatchEnd {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let waits = self.after_others.lock().contains_key(&session.id());
        if waits { BatchEnd::AfterOthers } else { BatchEnd::Done }
    }

    fn woken(&self, session: &mut Arc<Peer>, out: &mut Output) {
        self.woken.fetch_add(1, Ordering::Relaxed);
        if let Some(mut answers) = self.after_others.lock().remove(&session.id()) {
            self.batches_before.lock().push(self.batches.load(Ordering::Relaxed));
            out.buffer().append(&mut answers);
        }
    }

    fn half_closed(&self, _: &mut Arc<Peer>, out: &mut Output) {
        self.half_closed.fetch_add(1, Ordering::Relaxed);
        out.buffer().append(&mut self.answers_at_end.lock());
    }

    fn disconnected(&self, _: Arc<Peer>) {
        self.disconnected.fetch_add(1, Ordering::Relaxed);
    }

    async fn draining(&self) {
        self.answer_parked();
    }
}

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) service: Arc<Echo>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn start() -> Running {
    start_with(Echo::default(), Limits::default())
}

pub(crate) fn start_with(service: Echo, limits: Limits) -> Running {
    start_on(SocketAddr::from(([127, 0, 0, 1], 0)), service, limits)
}

pub(crate) fn start_on(addr: SocketAddr, service: Echo, limits: Limits) -> Running {
    let (service, shutdown) = (Arc::new(service), CancellationToken::new());
    let server = Server::bind(&[addr], Arc::clone(&service), limits, shutdown.clone()).unwrap();
    Running {
        addr: server.local_addrs().unwrap()[0],
        service,
        counters: server.counters(),
        shutdown,
        task: tokio::spawn(server.run()),
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Waits until a connection was closed for `reason`.
    pub(crate) async fn closed(&self, reason: CloseReason) {
        until(|| self.counters.closed(reason) > 0).await;
    }

    /// Whether a new client is served within 100 ms.
    pub(crate) async fn assert_serves(&self) {
        let served = async {
            let mut stream = self.connect().await;
            stream.write_all(&frame(&echo(7, b"still there?"))).await.unwrap();
            assert_eq!(read_command(&mut stream).await.body, b"still there?");
        };
        tokio::time::timeout(Duration::from_millis(100), served).await.unwrap();
    }
}

/// Lets other tasks run until something is true. By the wall clock: where the runtime's is paused, it
/// stands still meanwhile.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited for in vain");
        tokio::task::yield_now().await;
    }
}

pub(crate) fn command(code: RequestCode, opaque: i32) -> Command {
    Command { code: code.0, opaque, ..Command::default() }
}

pub(crate) fn echo(opaque: i32, body: &[u8]) -> Command {
    command(ECHO, opaque).body(body)
}

pub(crate) fn frame(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.encode_into(&mut bytes).unwrap();
    bytes
}

pub(crate) async fn read_command(stream: &mut TcpStream) -> Command {
    let len = stream.read_u32().await.unwrap();
    let mut frame = vec![0; len as usize];
    stream.read_exact(&mut frame).await.unwrap();
    Command::decode(&frame).unwrap()
}

/// Reads until the server closes; a reset counts as that.
pub(crate) async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}
