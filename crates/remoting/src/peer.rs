//! The other end of a connection, as everybody but the connection's own task sees it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rocketkube_protocol::command::FrameTooLong;
use rocketkube_protocol::{Command, Language, Request};
use tokio::sync::oneshot;

use crate::registry::Deadline;
use crate::{CloseReason, Output};

/// Most calls that may wait for their answers at a time; what Java clients allow themselves.
const MAX_CALLS: usize = 65_535;

/// Why bytes could not be queued for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is gone.
    #[error("connection is closed")]
    Closed,
    /// The peer takes nothing, and has been disconnected for it.
    #[error("{queued} bytes are queued for the peer, limit is {max}")]
    Overflow { queued: usize, max: usize },
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection is gone. The peer may have done what was asked.
    #[error("connection closed before the answer came")]
    Closed,
    /// The peer may still do what was asked.
    // Rounded: the same trouble must read the same, wherever it is compared.
    #[error("no answer within {:.1} s", after.as_secs_f64())]
    TimedOut { after: Duration },
    /// Not sent: the command is longer than peers accept.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// Not sent: the peer does not take what is queued for it already.
    #[error("{queued} bytes are queued for the peer, limit is {max}")]
    Full { queued: usize, max: usize },
    /// Not sent: too many calls wait for their answers.
    #[error("{max} calls wait for answers already")]
    TooManyCalls { max: usize },
}

type Answer = oneshot::Receiver<Command>;

/// What a connection is to do about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    /// Send everything that is owed, then close.
    Finish,
    Close(CloseReason),
}

/// The other end of a connection. Kept by whoever has something to send to it.
#[derive(Debug)]
pub struct Peer {
    id: u64,
    /// Kept apart from the port: a `SocketAddr` takes 12 bytes more, in every idle connection.
    ip: IpAddr,
    port: u16,
    max_queued: usize,
    state: Mutex<State>,
    /// Read by the sweep, moved by the connection.
    pub(crate) deadline: Deadline,
    /// Bytes the connection's own output holds, for [`Peer::unsent`].
    pub(crate) unsent_elsewhere: AtomicU64,
    deferred: AtomicU32,
    version: AtomicI32,
    language: AtomicU8,
}

#[derive(Debug)]
struct State {
    /// What others sent, until the connection's task takes it.
    queue: Option<Box<Output>>,
    /// Set while the connection's task sleeps; who takes it wakes the task.
    waker: Option<Waker>,
    end: End,
    /// The connection closes when nothing is deferred any more.
    finishing: bool,
    /// The session is to be told, see [`Peer::wake`].
    woken: bool,
    last_opaque: i32,
    /// None as long as the peer was never called, as most are not.
    calls: Option<Box<Calls>>,
}

/// Who waits for the answer to which `opaque`.
#[derive(Debug, Default)]
struct Calls(HashMap<i32, oneshot::Sender<Command>>);

impl State {
    fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.in_memory())
    }

    /// Queues a call under an `opaque` of its own.
    fn submit(&mut self, mut command: Command) -> Result<(i32, Answer), CallError> {
        let calls = &mut self.calls.get_or_insert_default().0;
        if calls.len() >= MAX_CALLS {
            return Err(CallError::TooManyCalls { max: MAX_CALLS });
        }
        let mut opaque = self.last_opaque.wrapping_add(1);
        // An old call may still wait for this number once the counter has gone round.
        while calls.contains_key(&opaque) {
            opaque = opaque.wrapping_add(1);
        }
        command.opaque = opaque;
        command.encode_into(self.queue.get_or_insert_default().buffer())?;
        let (sender, answer) = oneshot::channel();
        calls.insert(opaque, sender);
        self.last_opaque = opaque;
        Ok((opaque, answer))
    }
}

impl Peer {
    pub(crate) fn new(id: u64, remote: SocketAddr, max_queued: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            // A dual-stack listener shows IPv4 peers in IPv6 form, which would end up in records
            // that old clients cannot read.
            ip: remote.ip().to_canonical(),
            port: remote.port(),
            max_queued,
            state: Mutex::new(State {
                queue: None,
                waker: None,
                end: End::Open,
                finishing: false,
                woken: false,
                last_opaque: 0,
                calls: None,
            }),
            deadline: Deadline::default(),
            unsent_elsewhere: AtomicU64::new(0),
            deferred: AtomicU32::new(0),
            version: AtomicI32::new(0),
            language: AtomicU8::new(Language::Other.number()),
        })
    }

    /// A number no other connection of this server has or had.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where the peer connects from; IPv4 addresses in their own form.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// Language of the peer's last request.
    pub fn language(&self) -> Language {
        Language::from_number(self.language.load(Ordering::Relaxed))
    }

    /// Version ordinal of the peer's last request.
    pub fn version(&self) -> i32 {
        self.version.load(Ordering::Relaxed)
    }

    /// Bytes the peer has not taken yet, those in files included.
    pub fn unsent(&self) -> u64 {
        let queued = self.state.lock().queue.as_ref().map_or(0, |queue| queue.unsent());
        queued + self.unsent_elsewhere.load(Ordering::Relaxed)
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        matches!(self.state.lock().end, End::Close(_))
    }

    /// Queues whole commands. The connection's task is woken once for all that is queued until it
    /// runs.
    ///
    /// # Errors
    /// If the connection is gone, or goes now because the peer takes nothing.
    pub fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.write(|out| out.buffer().extend_from_slice(bytes))
    }

    /// Queues whole commands that `write` appends. It runs under the peer's lock: no other peer may
    /// be used in it.
    ///
    /// # Errors
    /// If the connection is gone, or goes now because the peer takes nothing.
    pub fn write(&self, write: impl FnOnce(&mut Output)) -> Result<(), SendError> {
        let mut state = self.state.lock();
        if matches!(state.end, End::Close(_)) {
            return Err(SendError::Closed);
        }
        // Judged before writing: whatever comes first fits, so that no answer is ever impossible.
        let queued = state.queued();
        let result = if queued >= self.max_queued {
            state.end = End::Close(CloseReason::Overflow);
            Err(SendError::Overflow { queued, max: self.max_queued })
        } else {
            write(state.queue.get_or_insert_default());
            Ok(())
        };
        state.wake_and_unlock();
        result
    }

    /// Sends a request that wants no answer.
    ///
    /// # Errors
    /// If it cannot be queued; the connection stays as it is.
    pub fn send_oneway(&self, command: Command) -> Result<(), CallError> {
        let mut state = self.open_state()?;
        command.oneway().encode_into(state.queue.get_or_insert_default().buffer())?;
        state.wake_and_unlock();
        Ok(())
    }

    /// Sends a request, whose `opaque` is chosen here, and returns the wait for its answer.
    ///
    /// # Errors
    /// If it cannot be queued; the connection stays as it is.
    pub fn submit(self: &Arc<Self>, command: Command) -> Result<Call, CallError> {
        let mut state = self.open_state()?;
        let (opaque, answer) = state.submit(command)?;
        state.wake_and_unlock();
        Ok(Call { peer: Arc::clone(self), opaque, answer })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// If it cannot be queued, or no answer comes in time.
    pub async fn call(
        self: &Arc<Self>,
        command: Command,
        timeout: Duration,
    ) -> Result<Command, CallError> {
        let call = self.submit(command)?;
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::TimedOut { after: timeout }),
        }
    }

    /// Promises an answer that comes later through [`Peer::send`]: until the promise is dropped, the
    /// connection is not closed for having nothing to send, should the peer end its side or the
    /// server be stopped. For answers worth that; not for pulls that wait for messages.
    pub fn defer(self: &Arc<Self>) -> Deferral {
        self.deferred.fetch_add(1, Ordering::AcqRel);
        Deferral { peer: Arc::clone(self) }
    }

    /// Has [`Service::woken`](crate::Service::woken) called on the connection's task: something its
    /// session waits for may have come. Many wakes before the task runs are one.
    pub fn wake(&self) {
        let mut state = self.state.lock();
        if !state.woken {
            state.woken = true;
            state.wake_and_unlock();
        }
    }

    /// Closes the connection after everything that is queued or deferred was sent.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        if state.end == End::Open {
            state.end = End::Finish;
            state.wake_and_unlock();
        }
    }

    /// Closes the connection now; what is not sent yet is lost.
    pub fn close(&self) {
        self.close_for(CloseReason::Local);
    }

    pub(crate) fn close_for(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Close(_)) {
            state.end = End::Close(reason);
            state.wake_and_unlock();
        }
    }

    /// The connection has ended: nothing can be sent any more, and no answer will come.
    pub(crate) fn ended(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        state.end = End::Close(reason);
        state.queue = None;
        state.waker = None;
        let calls = state.calls.take();
        drop(state);
        drop(calls); // wakes the callers, who may want the lock
    }

    /// Moves what is queued to `output`, and says whether the session was woken; not if `deaf`,
    /// because the peer does not take the answers it has.
    pub(crate) fn collect(&self, output: &mut Output, deaf: bool) -> (End, bool) {
        let mut state = self.state.lock();
        state.waker = None;
        if let Some(mut queue) = state.queue.take() {
            output.append(&mut queue);
        }
        let woken = !deaf && std::mem::take(&mut state.woken);
        (state.end, woken)
    }

    /// Leaves a waker for whoever queues something next; `false` if somebody has since `end` was
    /// collected. `deaf` as in [`Peer::collect`].
    pub(crate) fn park(&self, waker: &Waker, end: End, finishing: bool, deaf: bool) -> bool {
        let mut state = self.state.lock();
        if state.queue.is_some() || (state.woken && !deaf) || state.end != end {
            return false;
        }
        state.finishing = finishing;
        if finishing && self.deferred.load(Ordering::Acquire) == 0 {
            return false;
        }
        state.waker = Some(waker.clone());
        true
    }

    /// Whether an answer is promised that was not given.
    pub(crate) fn is_promised(&self) -> bool {
        self.deferred.load(Ordering::Acquire) > 0
    }

    /// Whether every promised answer was given, and has been collected.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        // In this order: who promised first sends, then drops the promise.
        self.deferred.load(Ordering::Acquire) == 0 && state.queue.is_none() && !state.woken
    }

    /// Hands an answer to who called; `false` if nobody did, or has given up.
    pub(crate) fn answered(&self, response: &Request<'_>) -> bool {
        let sender = self.state.lock().calls.as_mut().and_then(|it| it.0.remove(&response.opaque));
        sender.is_some_and(|sender| sender.send(Command::from(response)).is_ok())
    }

    /// Remembers who speaks.
    pub(crate) fn heard(&self, request: &Request<'_>) {
        self.language.store(request.language.number(), Ordering::Relaxed);
        self.version.store(request.version, Ordering::Relaxed);
    }

    fn open_state(&self) -> Result<parking_lot::MutexGuard<'_, State>, CallError> {
        let state = self.state.lock();
        let queued = state.queued();
        match state.end {
            End::Close(_) => Err(CallError::Closed),
            _ if queued >= self.max_queued => Err(CallError::Full { queued, max: self.max_queued }),
            _ => Ok(state),
        }
    }
}

/// Waking after unlocking, so that the woken task does not run into the lock.
trait WakeAndUnlock {
    fn wake_and_unlock(self);
}

impl WakeAndUnlock for parking_lot::MutexGuard<'_, State> {
    fn wake_and_unlock(mut self) {
        let waker = self.waker.take();
        drop(self);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A promise to answer later; see [`Peer::defer`].
#[derive(Debug)]
#[must_use = "dropping it says that the answer was sent"]
pub struct Deferral {
    peer: Arc<Peer>,
}

impl Drop for Deferral {
    fn drop(&mut self) {
        if self.peer.deferred.fetch_sub(1, Ordering::AcqRel) == 1 {
            let state = self.peer.state.lock();
            if state.finishing {
                state.wake_and_unlock();
            }
        }
    }
}

/// The wait for the answer to a request of ours. Dropped, the answer will be ignored.
#[derive(Debug)]
#[must_use = "a call that is dropped cannot be answered"]
pub struct Call {
    peer: Arc<Peer>,
    opaque: i32,
    answer: Answer,
}

impl Future for Call {
    type Output = Result<Command, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map_err(|_| CallError::Closed)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The answer, when it has come, took its entry with it.
        self.answer.close();
        let mut state = self.peer.state.lock();
        if let Some(calls) = &mut state.calls
            && calls.0.get(&self.opaque).is_some_and(oneshot::Sender::is_closed)
        {
            calls.0.remove(&self.opaque);
        }
    }
}
