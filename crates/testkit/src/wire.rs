//! A client of one connection, blocking, that sends what it is told to send.
//!
//! It keeps no rules that a client should keep: tests use it to send bytes no client would send,
//! and to drive load without a runtime. Programs use the real client.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rocketkube_protocol::{
    Command, DecodeError, FrameError, Request, command::FrameTooLong, frame,
};

/// Bytes asked of the socket at once.
const READ_SIZE: usize = 64 * 1024;

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("cannot connect to {addr}")]
    Connect { addr: SocketAddr, source: io::Error },
    /// The peer is gone: the fate of what was not answered is unknown.
    #[error("connection lost")]
    Lost { source: io::Error },
    #[error("connection closed by the peer")]
    Closed,
    #[error("no answer within {waited:?}")]
    Silent { waited: Duration },
    #[error("peer sent no frame")]
    Frame { source: FrameError },
    #[error("peer sent no command")]
    Command { source: DecodeError },
    #[error("request is too long to send")]
    TooLong { source: FrameTooLong },
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes of `received` that were handed out.
    taken: usize,
    patience: Duration,
    next_opaque: i32,
}

impl Wire {
    /// Connects; every later read waits at most `patience`.
    pub fn connect(addr: SocketAddr, patience: Duration) -> Result<Self, WireError> {
        let connected = TcpStream::connect_timeout(&addr, patience).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        });
        let stream = connected.map_err(|source| WireError::Connect { addr, source })?;
        Ok(Self::over(stream, patience))
    }

    fn over(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, received: Vec::new(), taken: 0, patience, next_opaque: 1 }
    }

    /// The same connection, for another thread: one end sends while the other reads.
    pub fn try_clone(&self) -> Result<Self, WireError> {
        let stream = self.stream.try_clone().map_err(|source| WireError::Lost { source })?;
        Ok(Self::over(stream, self.patience))
    }

    /// A number no request of this connection has had.
    pub fn next_opaque(&mut self) -> i32 {
        let opaque = self.next_opaque;
        self.next_opaque = opaque.wrapping_add(1);
        opaque
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).map_err(|source| WireError::Lost { source })
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub fn finish_sending(&mut self) -> Result<(), WireError> {
        let finished = self.stream.shutdown(std::net::Shutdown::Write);
        finished.map_err(|source| WireError::Lost { source })
    }

    /// Sends a request and waits for its answer. Whatever else arrives meanwhile is dropped.
    pub fn call(
        &mut self,
        code: i32,
        ext: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Command, WireError> {
        let request = Command { opaque: self.next_opaque(), ..request(code, ext, body) };
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes).map_err(|source| WireError::TooLong { source })?;
        self.send(&bytes)?;
        loop {
            let answer = self.receive()?;
            if answer.is_response() && answer.opaque == request.opaque {
                return Ok(answer);
            }
        }
    }

    /// The next command.
    pub fn receive(&mut self) -> Result<Command, WireError> {
        self.receive_with(|request| Command::from(request))
    }

    /// The next command, read in place.
    pub fn receive_with<T>(
        &mut self,
        read: impl FnOnce(&Request<'_>) -> T,
    ) -> Result<T, WireError> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(size) = self.whole_frame()? {
                let frame = &self.received[self.taken + frame::LENGTH_FIELD..self.taken + size];
                let request =
                    Request::decode(frame).map_err(|source| WireError::Command { source })?;
                let result = read(&request);
                self.taken += size;
                return Ok(result);
            }
            self.fill(deadline)?;
        }
    }

    /// Whether a whole command has arrived already.
    pub fn has_command(&self) -> Result<bool, WireError> {
        Ok(self.whole_frame()?.is_some())
    }

    /// Waits until the peer closes the connection; gives how long that took. What it sends
    /// before is dropped.
    pub fn wait_closed(&mut self, patience: Duration) -> Result<Duration, WireError> {
        let started = Instant::now();
        loop {
            self.received.clear();
            self.taken = 0;
            match self.fill(started + patience) {
                Ok(()) => {}
                Err(WireError::Closed | WireError::Lost { .. }) => return Ok(started.elapsed()),
                Err(other) => return Err(other),
            }
        }
    }

    fn whole_frame(&self) -> Result<Option<usize>, WireError> {
        frame::split(&self.received[self.taken..]).map_err(|source| WireError::Frame { source })
    }

    /// Reads once.
    fn fill(&mut self, deadline: Instant) -> Result<(), WireError> {
        let silent = WireError::Silent { waited: self.patience };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(silent);
        }
        self.received.drain(..self.taken);
        self.taken = 0;
        let end = self.received.len();
        self.received.resize(end + READ_SIZE, 0);
        let read = self
            .stream
            .set_read_timeout(Some(left))
            .and_then(|()| self.stream.read(&mut self.received[end..]));
        self.received.truncate(end + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => Err(WireError::Closed),
            Ok(_) => Ok(()),
            Err(source) => match source.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(silent),
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(WireError::Lost { source }),
            },
        }
    }
}

/// A request in JSON form with opaque 0.
pub fn request(code: i32, ext: &[(&str, &str)], body: &[u8]) -> Command {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Command {
        code,
        version: rocketkube_protocol::version::OURS,
        ext: ext.iter().map(own).collect(),
        body: body.to_vec(),
        ..Command::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A peer that reads one request and then does this with the connection.
    fn peer(act: impl FnOnce(&mut Wire, Command) + Send + 'static) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut wire = Wire::over(stream, PATIENCE);
            let request = wire.receive().unwrap();
            act(&mut wire, request);
        });
        Wire::connect(addr, PATIENCE).unwrap()
    }

    fn bytes(command: &Command) -> Vec<u8> {
        let mut bytes = Vec::new();
        command.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_call_finds_its_answer_among_other_commands() {
        let mut wire = peer(|wire, request| {
            let others = [
                Command { opaque: request.opaque, flag: 0, ..request.clone() },
                Command { opaque: request.opaque + 1, flag: 1, ..request.clone() },
            ];
            let answer = Command { flag: 1, body: vec![7; 300_000], ..request };
            let all: Vec<u8> = others.iter().chain([&answer]).flat_map(bytes).collect();
            wire.send(&all).unwrap();
        });
        let answer = wire.call(30, &[("topic", "T")], b"body").unwrap();
        assert_eq!((answer.code, answer.body.len()), (30, 300_000));
        assert_eq!(answer.fields().get("topic").as_deref(), Some("T"));
    }

    #[test]
    fn a_closed_connection_is_told_from_a_silent_one() {
        let mut wire = peer(|_, _| ());
        assert!(matches!(wire.call(30, &[], b""), Err(WireError::Closed)));
        let mut wire = peer(|wire, _| {
            let _ = wire.receive();
        });
        wire.patience = Duration::from_millis(20);
        assert!(matches!(wire.call(30, &[], b""), Err(WireError::Silent { .. })));
    }
}
