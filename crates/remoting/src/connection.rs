//! The task of one connection: read all, handle all, one write, and only then wait.
//!
//! A future written by hand rather than an `async fn`: idle connections are many, and this one is
//! as small as its fields. What a request means is not known here; see [`Service`].

use std::fmt::Display;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rocketkube_protocol::Request;
use rocketkube_protocol::frame::{self, LENGTH_FIELD};
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, warn};

use crate::budget::{Budget, Charge, FREE};
use crate::peer::End;
use crate::registry::Registry;
use crate::{BatchEnd, CloseReason, Counters, Limits, Output, Peer, Service};

/// Bytes read before what came is handled. Larger batches answer later without costing less.
const BATCH: usize = 256 * 1024;
/// First size of a read buffer, unless the last batch was larger.
const FIRST_READ: usize = 8 * 1024;
/// A read into less room than this would not be worth its system call.
const LEAST_READ: usize = 4 * 1024;
/// Requests handled before their answers are sent: while the peer reads them, the rest is handled.
const ROUND_REQUESTS: u64 = 24;
/// Rounds before other tasks of the runtime get their turn.
const ROUNDS: usize = 4;
/// How long a finished connection waits for the peer to close its side. Closing with unread bytes
/// resets the connection, and a reset can overtake the last answers.
const LINGER: Duration = Duration::from_millis(500);
/// Ticks of silence after which every answer has been taken, so that none can be overtaken.
const QUIET: u32 = 2;

/// What the connections of one server share.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    pub(crate) service: Arc<S>,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) registry: Registry,
    pub(crate) budget: Arc<Budget>,
    /// Bad frames since the last line about one, and the tick of that line.
    unlogged: AtomicU64,
    logged_at: AtomicU32,
}

impl<S> Shared<S> {
    pub(crate) fn new(service: Arc<S>, limits: Limits) -> Self {
        let budget = Arc::new(Budget::new(limits.unfinished, limits.frame));
        Self {
            service,
            limits,
            budget,
            counters: Arc::default(),
            registry: Registry::default(),
            unlogged: AtomicU64::new(0),
            logged_at: AtomicU32::new(u32::MAX),
        }
    }

    /// Whether a peer has so many bytes of answers to take that no more are made for it.
    fn is_too_much(&self, burden: u64) -> bool {
        burden >= self.limits.unsent as u64 || (burden > FREE as u64 && self.budget.is_full())
    }

    /// Says what was wrong, at most once per tick, because anybody can send rubbish.
    fn bad_frame(&self, peer: &Peer, error: &dyn Display) -> CloseReason {
        let now = self.registry.now();
        if self.logged_at.swap(now, Ordering::Relaxed) == now {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        } else {
            let unlogged = self.unlogged.swap(0, Ordering::Relaxed);
            warn!(remote = %peer.remote(), %error, unlogged, "bad frame, connection closed");
        }
        CloseReason::BadFrame
    }
}

/// One connection. Its end, however it comes, is in [`Drop`].
pub(crate) struct Connection<S: Service> {
    stream: TcpStream,
    peer: Arc<Peer>,
    shared: Arc<Shared<S>>,
    /// Taken by `Drop` only.
    session: Option<S::Session>,
    /// Frees the place of this connection.
    _permit: Option<OwnedSemaphorePermit>,
    /// What is unfinished; none while the connection waits for a new frame.
    work: Option<Box<Work>>,
    stage: Stage,
    reason: CloseReason,
    /// When the frame that the input begins with began to come, in ticks.
    frame_began: u32,
    /// Bytes read and written in the batch before: how much to make room for.
    last_input: u32,
    last_output: u32,
    stray: Stray,
    /// Nothing was ever received.
    silent: bool,
    /// Something was received or sent since the deadline was set.
    active: bool,
    /// There may be whole frames in the input, left for the next round or until the peer takes its
    /// answers.
    stalled: bool,
}

/// What a round came to.
enum Round {
    /// There may be more to do.
    Worked,
    /// Nothing could be done.
    Idle(End),
    /// The other connections that are ready go first.
    Yields,
}

/// What is in memory of frames and answers.
#[derive(Debug, Default)]
struct Work {
    /// Begins with a frame.
    input: Vec<u8>,
    output: Output,
    charge: Charge,
}

/// How far a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The peer sends no more; the service is told when it has handled what came before.
    Ended,
    /// The service knows that the peer sends no more. It may still owe answers.
    HalfClosed,
    /// Everything is sent; what comes is thrown away.
    Lingering,
    /// The socket failed: no answer leaves any more, but what had come before is still handled. A
    /// client that commits its offsets and leaves with answers unread resets the connection.
    Broken,
}

/// Responses to no request, counted per second.
#[derive(Debug, Default)]
struct Stray {
    since: u32,
    count: u32,
}

// Nothing is pinned in place: the session is only ever used by reference or moved out.
impl<S: Service> Unpin for Connection<S> {}

impl<S: Service> Connection<S> {
    pub(crate) fn open(
        shared: Arc<Shared<S>>,
        stream: TcpStream,
        peer: Arc<Peer>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        shared.counters.count_accepted();
        let deadline = shared.registry.tick_after(shared.limits.first_byte);
        peer.deadline.set(deadline, CloseReason::NoFirstByte);
        shared.registry.add(&peer);
        let session = Some(shared.service.connected(&peer));
        Self {
            stream,
            peer,
            shared,
            session,
            _permit: permit,
            work: None,
            stage: Stage::Serving,
            reason: CloseReason::Aborted,
            frame_began: 0,
            last_input: 0,
            last_output: 0,
            stray: Stray::default(),
            silent: true,
            active: false,
            stalled: false,
        }
    }

    /// Does what can be done without waiting.
    fn round(&mut self, work: &mut Work, cx: &mut Context<'_>) -> Result<Round, CloseReason> {
        let end = self.collect(work)?;
        let was_broken = self.stage == Stage::Broken;
        let received = self.receive(work, cx)?;
        let was_stalled = std::mem::take(&mut self.stalled);
        let unhandled = work.input.len();
        let handled = self.handle(work);
        let consumed = work.input.len() < unhandled;
        if handled.is_ok() {
            self.tell_half_close(work);
        }
        if handled == Ok(BatchEnd::AfterOthers) {
            self.active |= received;
            return Ok(Round::Yields);
        }
        if received || was_stalled {
            // What other threads queued in the meantime joins this write.
            self.collect(work)?;
        }
        let sent = self.send(work, cx)?;
        handled?;
        if self.stage == Stage::Broken {
            let more = received || consumed || !was_broken;
            return if more { Ok(Round::Worked) } else { Err(CloseReason::Io) };
        }
        if work.output.is_empty() && !self.stalled {
            self.end_if_owed_nothing(end, cx)?;
        }
        self.active |= received || sent;
        let worked = received || sent || consumed || (was_stalled && !self.stalled);
        Ok(if worked { Round::Worked } else { Round::Idle(end) })
    }

    /// Whether more answers would only pile up. The session is not told of wakes meanwhile.
    fn takes_too_little(&self, work: &Work) -> bool {
        work.output.unsent() >= self.shared.limits.unsent as u64
    }

    fn collect(&mut self, work: &mut Work) -> Result<End, CloseReason> {
        let deaf = self.takes_too_little(work);
        let (end, woken) = self.peer.collect(&mut work.output, deaf);
        if let End::Close(reason) = end {
            return Err(reason);
        }
        if woken && let Some(session) = &mut self.session {
            self.shared.service.woken(session, &mut work.output);
        }
        Ok(end)
    }

    /// Reads until the socket is empty or there is a batch; `false` if nothing new is known.
    fn receive(&mut self, work: &mut Work, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let owes_too_much = self.shared.is_too_much(work.output.burden());
        let ended = matches!(self.stage, Stage::Ended | Stage::HalfClosed);
        if ended || self.stalled || owes_too_much {
            return Ok(false);
        }
        let mut received = 0;
        let mut ended = false;
        while received < BATCH {
            // Asked before there is a buffer, so that a connection without input needs none.
            let ready = self.stage == Stage::Broken || self.stream.poll_read_ready(cx).is_ready();
            if !ready || !self.make_room(work) {
                break;
            }
            let room = work.input.capacity() - work.input.len();
            let Poll::Ready(read) = self.read(&mut work.input, cx) else { break };
            let Ok(read) = read else {
                self.broke()?;
                break;
            };
            received += read;
            ended = read == 0;
            if read < room {
                break; // The socket is empty; one more call would only say so.
            }
        }
        self.received(work, received);
        if ended && self.stage != Stage::Broken {
            self.peer_ended()?;
            return Ok(true);
        }
        Ok(received > 0)
    }

    fn read(&mut self, input: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.stage == Stage::Broken {
            // Not by way of the runtime, which may not have heard yet of the last that came.
            let buffer = rustix::buffer::spare_capacity(input);
            let read = rustix::net::recv(&self.stream, buffer, RecvFlags::DONTWAIT);
            return Poll::Ready(Ok(read?.1));
        }
        pin!(self.stream.read_buf(input)).poll(cx)
    }

    /// Room for the next read; `false` if there is none before others gave some back, or before the
    /// frames that have come were handled.
    fn make_room(&mut self, work: &mut Work) -> bool {
        let Work { input, charge, .. } = work;
        let len = input.len();
        if input.capacity() - len >= LEAST_READ {
            return true;
        }
        // Never more than was received before, whatever length a frame announces.
        let expected = len.max((self.last_input as usize).clamp(FIRST_READ, BATCH));
        let size = frame::announced_size(input).ok().flatten().unwrap_or_default();
        let budget = &self.shared.budget;
        let more = if size > len.max(FREE) {
            let waited = charge.waits();
            if !charge.let_in(budget, size, &self.peer) {
                return false;
            }
            if waited {
                // It was us who did not read.
                self.frame_began = self.shared.registry.now();
            }
            expected.min(size - len).max(LEAST_READ)
        } else if expected > FREE && budget.is_full() {
            if len > FREE {
                return false;
            }
            FREE
        } else {
            expected
        };
        input.reserve_exact(more);
        true
    }

    fn received(&mut self, work: &Work, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if work.input.len() == bytes {
            self.frame_began = self.shared.registry.now();
        }
        self.silent = false;
        self.last_input = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.shared.counters.count_in(bytes as u64);
    }

    fn peer_ended(&mut self) -> Result<(), CloseReason> {
        if self.stage == Stage::Lingering {
            return Err(CloseReason::Io);
        }
        self.stage = Stage::Ended;
        Ok(())
    }

    /// Goes on with what had come before the socket failed.
    fn broke(&mut self) -> Result<(), CloseReason> {
        if self.stage == Stage::Lingering {
            return Err(CloseReason::Io);
        }
        self.stage = Stage::Broken;
        Ok(())
    }

    fn tell_half_close(&mut self, work: &mut Work) {
        if self.stage == Stage::Ended
            && !self.stalled
            && let Some(session) = &mut self.session
        {
            self.stage = Stage::HalfClosed;
            self.shared.service.half_closed(session, &mut work.output);
        }
    }

    /// Gives all whole frames to the service, as long as the peer does not owe us its reading.
    fn handle(&mut self, work: &mut Work) -> Result<BatchEnd, CloseReason> {
        if self.stage == Stage::Lingering {
            work.input.clear();
        }
        if work.input.is_empty() {
            return Ok(BatchEnd::Done);
        }
        let Some(session) = &mut self.session else { return Ok(BatchEnd::Done) };
        let shared = &*self.shared;
        let mut batch = Batch { output: &mut work.output, handled: 0, requests: 0, strays: 0 };
        if batch.output.is_empty() {
            batch.output.buffer().reserve(self.last_output as usize);
        }
        let result = batch.handle(&work.input, shared, &self.peer, session);
        let Batch { handled, requests, strays, .. } = batch;
        let mut end = BatchEnd::Done;
        if requests > 0 {
            shared.counters.count_requests(requests);
            end = shared.service.end_of_batch(session, &mut work.output);
        }
        if end == BatchEnd::AfterOthers {
            if result == Ok(false) {
                self.peer.wake();
            } else {
                // With a peer that must be closed, or reads nothing, there may be no other turn.
                shared.service.woken(session, &mut work.output);
                end = BatchEnd::Done;
            }
        }
        if handled > 0 {
            work.input.drain(..handled);
            if work.charge.has_frame() {
                work.charge.handled(&shared.budget);
            }
            self.frame_began = shared.registry.now();
        }
        self.stalled = result?;
        self.count_strays(strays)?;
        Ok(end)
    }

    fn count_strays(&mut self, strays: u32) -> Result<(), CloseReason> {
        if strays == 0 {
            return Ok(());
        }
        self.shared.counters.count_stray_responses(u64::from(strays));
        let second = self.shared.registry.second();
        if self.stray.since != second {
            self.stray = Stray { since: second, count: 0 };
        }
        self.stray.count = self.stray.count.saturating_add(strays);
        if self.stray.count > self.shared.limits.stray_responses_per_second {
            return Err(CloseReason::StrayResponses);
        }
        Ok(())
    }

    /// Writes what the socket takes; `false` if that was nothing.
    fn send(&mut self, work: &mut Work, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        if self.stage == Stage::Broken {
            work.output.free();
        }
        if work.output.is_empty() {
            return Ok(false);
        }
        let in_memory = work.output.in_memory().min(BATCH);
        self.last_output = u32::try_from(in_memory).unwrap_or(u32::MAX);
        let sent = match work.output.poll_send(&mut self.stream, cx) {
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(_)) => {
                self.broke()?;
                work.output.free();
                0
            }
            Poll::Pending => 0,
        };
        self.shared.counters.count_out(sent);
        Ok(sent > 0)
    }

    fn end_if_owed_nothing(&mut self, end: End, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        if self.stage == Stage::HalfClosed && self.peer.is_settled() {
            return Err(if end == End::Finish { CloseReason::Drained } else { CloseReason::Peer });
        }
        if self.stage == Stage::Serving && end == End::Finish && self.peer.is_settled() {
            if self.is_quiet() {
                return Err(CloseReason::Drained);
            }
            self.stage = Stage::Lingering;
            self.peer.deadline.set(self.shared.registry.tick_after(LINGER), CloseReason::Drained);
            // Pending is impossible for a TCP socket, and an error means it is closed already.
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
        Ok(())
    }

    /// Whether nothing was received or sent for a second, or ever.
    fn is_quiet(&self) -> bool {
        let now = self.shared.registry.tick_after(self.shared.limits.idle);
        let last = self.peer.deadline.tick_of(CloseReason::Idle);
        self.silent || (!self.active && last.is_some_and(|last| last.saturating_add(QUIET) <= now))
    }

    /// Gives back memory, moves the deadline, and leaves the waker; `false` if there is more to do.
    fn park(&mut self, mut work: Box<Work>, waker: &Waker, end: End) -> bool {
        if work.input.is_empty() {
            work.input = Vec::new();
        } else if work.input.len() < work.input.capacity() / 8 {
            work.input.shrink_to_fit();
        }
        if work.output.is_empty() {
            work.output.free();
        }
        let held = work.input.capacity() + work.output.in_memory();
        work.charge.hold(&self.shared.budget, held);
        self.peer.unsent_elsewhere.store(work.output.unsent(), Ordering::Relaxed);
        if std::mem::take(&mut self.active) && self.stage != Stage::Lingering {
            self.set_deadline(&work);
        }
        let ending =
            self.stage == Stage::HalfClosed || (self.stage == Stage::Serving && end == End::Finish);
        let ending = ending && work.output.is_empty();
        let deaf = self.takes_too_little(&work);
        if !(work.input.is_empty() && work.output.burden() == 0) {
            self.work = Some(work);
        }
        self.peer.park(waker, end, ending, deaf)
    }

    fn set_deadline(&self, work: &Work) {
        let (registry, limits) = (&self.shared.registry, &self.shared.limits);
        if self.silent {
            return; // The first deadline stands: answers that were never asked for do not count.
        }
        let waits_for_rest = !(work.input.is_empty() || self.stalled || work.charge.waits());
        if waits_for_rest && self.stage == Stage::Serving {
            let since = registry.now().saturating_sub(self.frame_began);
            let tick = registry.tick_after(limits.partial_frame).saturating_sub(since);
            self.peer.deadline.set(tick, CloseReason::PartialFrame);
        } else {
            self.peer.deadline.set(registry.tick_after(limits.idle), CloseReason::Idle);
        }
    }
}

/// The frames of one read on their way through the service.
struct Batch<'a> {
    output: &'a mut Output,
    /// Bytes of input done with.
    handled: usize,
    requests: u64,
    strays: u32,
}

impl Batch<'_> {
    /// Returns whether frames may be left: the round has had enough, or the peer has too many answers
    /// to take.
    fn handle<S: Service>(
        &mut self,
        input: &[u8],
        shared: &Shared<S>,
        peer: &Peer,
        session: &mut S::Session,
    ) -> Result<bool, CloseReason> {
        while !shared.is_too_much(self.output.burden()) && self.requests < ROUND_REQUESTS {
            let rest = &input[self.handled..];
            let size = match frame::split(rest) {
                Ok(Some(size)) => size,
                Ok(None) if announces_more_than(shared.limits.frame, rest) => {
                    let error = format_args!("frame is over {} bytes", shared.limits.frame);
                    return Err(shared.bad_frame(peer, &error));
                }
                Ok(None) => return Ok(false),
                Err(error) => return Err(shared.bad_frame(peer, &error)),
            };
            let request = Request::decode(&rest[LENGTH_FIELD..size])
                .map_err(|error| shared.bad_frame(peer, &error))?;
            self.handled += size;
            if request.is_response() {
                self.strays += u32::from(!peer.answered(&request));
            } else {
                peer.heard(&request);
                self.requests += 1;
                shared.service.request(session, request, self.output);
            }
        }
        Ok(true)
    }
}

fn announces_more_than(limit: usize, bytes: &[u8]) -> bool {
    matches!(frame::announced_size(bytes), Ok(Some(size)) if size > limit)
}

impl<S: Service> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            let mut work = this.work.take().unwrap_or_default();
            match this.round(&mut work, cx) {
                Ok(Round::Worked) => this.work = Some(work),
                Ok(Round::Yields) => {
                    this.work = Some(work);
                    // Wakes this task when the runtime has looked for other work, not before.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                Ok(Round::Idle(end)) => {
                    if this.park(work, cx.waker(), end) {
                        return Poll::Pending;
                    }
                }
                Err(reason) => {
                    this.reason = reason;
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        let reason = match self.stage {
            Stage::Lingering => CloseReason::Drained,
            _ => self.reason,
        };
        self.peer.ended(reason);
        self.shared.registry.remove(&self.peer);
        self.shared.counters.count_closed(reason);
        debug!(remote = %self.peer.remote(), reason = reason.name(), "connection closed");
        if let Some(session) = self.session.take() {
            self.shared.service.disconnected(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Service for Nothing {
        type Session = ();

        fn connected(&self, _: &Arc<Peer>) {}

        fn request(&self, (): &mut (), _: Request<'_>, _: &mut Output) {}

        fn end_of_batch(&self, (): &mut (), _: &mut Output) -> BatchEnd {
            BatchEnd::Done
        }

        fn disconnected(&self, (): ()) {}
    }

    #[test]
    fn an_idle_connection_is_small() {
        // The runtime adds about 500 bytes for the task and the socket.
        let bytes = size_of::<Connection<Nothing>>() + size_of::<Peer>();
        assert!(bytes <= 240, "{bytes} bytes");
    }
}
