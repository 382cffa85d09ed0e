//! The physical probe: the sending workload against a thread that answers each frame with a
//! constant, so that only the kernel, the wake-ups and this tool are measured.
//!
//! No broker can be faster than this on the same machine; how much of it one reaches is comparable
//! between machines.

use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rocketkube_protocol::{HeaderForm, Request, Response, ResponseCode};

use super::engine::{Answer, Asked, Origin, Workload};
use super::link::{Link, Poller};
use super::produce::Produce;
use super::slots::FIRST_OPAQUE;

const OPAQUE_DIGITS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends what [`Produce`] sends and takes any answer as good.
pub(crate) struct Echo(pub(crate) Produce);

impl Workload for Echo {
    fn request(&mut self, origin: Origin, opaque: i32, at_ns: u64, out: &mut Vec<u8>) -> Asked {
        self.0.request(origin, opaque, at_ns, out)
    }

    fn answer(&mut self, _: Origin, _: &Request<'_>, _: u64) -> Answer {
        self.0.accepted()
    }
}

/// The answering thread. It ends when all its connections are closed.
pub(crate) struct EchoServer {
    pub(crate) addr: SocketAddr,
    thread: JoinHandle<Result<()>>,
}

impl EchoServer {
    /// Answers on `connections` connections. `opaque_at` is where the ten digits of the opaque are
    /// in a request frame, counted from behind its length field.
    pub(crate) fn start(connections: usize, opaque_at: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let thread = thread::spawn(move || serve(&listener, connections, opaque_at));
        Ok(Self { addr, thread })
    }

    pub(crate) fn join(self) -> Result<()> {
        self.thread.join().unwrap_or_else(|_| bail!("the echo thread panicked"))
    }
}

fn serve(listener: &TcpListener, connections: usize, opaque_at: usize) -> Result<()> {
    let mut poller = Poller::new()?;
    let mut links = Vec::with_capacity(connections);
    for token in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let link = Link::new(stream)?;
        poller.add(&link, token)?;
        links.push(Some(link));
    }
    let answer = Reply::new();
    let (mut ready, mut opaques) = (Vec::new(), Vec::new());
    while links.iter().any(Option::is_some) {
        poller.wait(PATIENCE, &mut ready)?;
        for &token in &ready {
            let Some(link) = &mut links[token] else { continue };
            let received = link.receive(|frame| {
                opaques.extend(frame[opaque_at..].first_chunk::<OPAQUE_DIGITS>().copied());
            });
            for opaque in opaques.drain(..) {
                answer.append(opaque, &mut link.output);
            }
            if received.and_then(|()| link.flush(&poller, token)).is_err() {
                links[token] = None;
            }
        }
    }
    Ok(())
}

/// An answer as a broker gives it to a send.
struct Reply {
    frame: Vec<u8>,
    opaque: usize,
}

impl Reply {
    fn new() -> Self {
        let response = Response {
            form: HeaderForm::Json,
            code: ResponseCode::SUCCESS,
            opaque: FIRST_OPAQUE,
            remark: None,
        };
        let mut frame = Vec::new();
        let fields = |ext: &mut rocketkube_protocol::ExtWriter<'_>| {
            ext.field("msgId", "7F00000100002A9F0000000000000000");
            ext.field("queueId", "0");
            ext.field("queueOffset", "0");
        };
        response.write(&mut frame, fields, &[]);
        let digits = FIRST_OPAQUE.to_string();
        let opaque = frame.windows(OPAQUE_DIGITS).position(|window| window == digits.as_bytes());
        Self { frame, opaque: opaque.expect("a response has its opaque") }
    }

    fn append(&self, opaque: [u8; OPAQUE_DIGITS], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        out[start + self.opaque..][..OPAQUE_DIGITS].copy_from_slice(&opaque);
    }
}
