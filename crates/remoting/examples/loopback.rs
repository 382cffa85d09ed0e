//! What the server costs by itself, without a broker behind it.
//!
//! ```text
//! loopback echo  CONNECTIONS IN_FLIGHT   requests per second: 1,300 bytes there, 200 back
//! loopback calls CONNECTIONS IN_FLIGHT   the same through the client's connection
//! loopback idle  CONNECTIONS             memory of connections that were opened and are silent
//! ```
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for people who measure")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocketkube_protocol::{Command, Request, ResponseCode, frame};
use rocketkube_remoting::{BatchEnd, Connection, Limits, Output, Peer, Server, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As in the binaries: what an idle connection costs depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUEST: usize = 1300;
const ANSWER: usize = 200;
const MEASURED: Duration = Duration::from_secs(3);

struct Echo;

impl Service for Echo {
    type Session = ();

    fn connected(&self, _: &Arc<Peer>) {}

    fn request(&self, (): &mut (), request: Request<'_>, out: &mut Output) {
        let answer = request.answer(ResponseCode::SUCCESS);
        let len = (ANSWER - 110).min(request.body.len());
        answer.write(out.buffer(), |_| (), &request.body[..len]);
    }

    fn end_of_batch(&self, (): &mut (), _: &mut Output) -> BatchEnd {
        BatchEnd::Done
    }

    fn disconnected(&self, (): ()) {}
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let mut number = || args.next().map_or(1, |it| it.parse::<usize>().unwrap());
    let (connections, in_flight) = (number(), number());
    let stop = CancellationToken::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let limits = Limits { first_byte: Duration::from_hours(1), ..Limits::default() };
    let server = Server::bind(&[addr], Arc::new(Echo), limits, stop.clone()).unwrap();
    let addr = server.local_addrs().unwrap()[0];
    let serving = tokio::spawn(server.run());
    match mode.as_str() {
        "echo" => throughput(connections, in_flight, |n| raw(addr, n)).await,
        "calls" => throughput(connections, in_flight, |n| calls(addr, n)).await,
        "idle" => idle(addr, connections).await,
        _ => println!("usage: loopback echo|calls|idle CONNECTIONS [IN_FLIGHT]"),
    }
    stop.cancel();
    serving.await.unwrap();
}

async fn throughput<F>(connections: usize, in_flight: usize, client: impl Fn(usize) -> F)
where
    F: Future<Output = usize> + Send + 'static,
{
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(in_flight));
    }
    let answers: usize = clients.join_all().await.into_iter().sum();
    let per_second = answers as u128 * 1000 / begin.elapsed().as_millis();
    println!("{connections} x {in_flight}: {per_second}/s");
}

fn request(opaque: i32) -> Command {
    let mut command = Command { code: 1, opaque, ..Command::default() };
    command.body = vec![7; REQUEST - 110];
    command
}

/// Keeps requests in flight, and sends as many at once as answers came at once.
async fn raw(addr: SocketAddr, in_flight: usize) -> usize {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut one = Vec::new();
    request(1).encode_into(&mut one).unwrap();
    let requests = one.repeat(in_flight);
    let (begin, mut answers, mut due) = (Instant::now(), 0, in_flight);
    let mut input = Vec::with_capacity(64 * 1024);
    while begin.elapsed() < MEASURED {
        stream.write_all(&requests[..due * one.len()]).await.unwrap();
        stream.read_buf(&mut input).await.unwrap();
        let mut handled = 0;
        due = 0;
        while let Some(size) = frame::split(&input[handled..]).unwrap() {
            handled += size;
            due += 1;
        }
        input.drain(..handled);
        answers += due;
    }
    answers
}

async fn calls(addr: SocketAddr, in_flight: usize) -> usize {
    let connection = Connection::connect(&addr.to_string(), MEASURED).await.unwrap();
    let connection = Arc::new(connection);
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let connection = Arc::clone(&connection);
        callers.spawn(async move {
            let (begin, mut answers) = (Instant::now(), 0);
            while begin.elapsed() < MEASURED {
                connection.call(request(0), MEASURED).await.unwrap();
                answers += 1;
            }
            answers
        });
    }
    callers.join_all().await.into_iter().sum()
}

async fn idle(addr: SocketAddr, connections: usize) {
    let ready = || async { TcpStream::connect(addr).await.unwrap() };
    // The peers live in this process too: plain sockets, whose memory is the kernel's.
    drop(ready().await);
    let mut peers: Vec<std::net::TcpStream> = Vec::with_capacity(connections);
    let before = anonymous_kib();
    for _ in 0..connections {
        peers.push(std::net::TcpStream::connect(addr).unwrap());
        tokio::task::yield_now().await;
    }
    let mut settled = anonymous_kib();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = anonymous_kib();
        if now == settled {
            break;
        }
        settled = now;
    }
    println!("{connections} silent connections: {} KiB", settled - before);
}

fn anonymous_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
