//! Programs under test: started, awaited, killed, and never left behind.
//!
//! Knows no program's arguments or ports. What a program prints is kept (the last lines of it) for
//! the message of the test that fails.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Read},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// Lines kept of what a program printed.
const KEPT_LINES: usize = 2_000;
/// Bytes kept of one line: a program that prints without line ends must not fill our memory.
const LINE_LIMIT: u64 = 16 * 1024;
/// How often a condition that nobody announces (an open port, an exit) is looked at.
const POLL: Duration = Duration::from_millis(2);

/// How a program shows that it serves.
#[derive(Debug, Clone)]
pub enum Ready {
    /// It accepts connections here.
    Port(SocketAddr),
    /// It prints a line that contains this, on either stream.
    Line(String),
}

/// Why a program could not be started, awaited or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start {program}")]
    Start { program: String, source: io::Error },
    #[error("{program} ended with {status} before it was ready; it printed:\n{output}")]
    EndedEarly { program: String, status: ExitStatus, output: String },
    #[error("{program} was not ready after {waited:?}; it printed:\n{output}")]
    NotReady { program: String, waited: Duration, output: String },
    #[error(
        "{program} ran on {waited:?} after it was asked to stop and was killed; it printed:\n{output}"
    )]
    WouldNotStop { program: String, waited: Duration, output: String },
    #[error("cannot {action} {program}")]
    Control { action: &'static str, program: String, source: io::Error },
}

/// A running program, in a process group of its own that is killed when this is dropped, and also
/// when the test itself is killed.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    group: Pid,
    watchdog: Option<Child>,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    started: Instant,
}

impl Process {
    /// Starts a program; standard input is empty, both outputs are collected.
    pub fn start(command: &mut Command) -> Result<Self, ProcessError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| ProcessError::Start { program: program.clone(), source };
        let started = Instant::now();
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = Arc::new(Output::default());
        let readers = [
            child.stdout.take().map(|stream| Output::collect(&output, stream)),
            child.stderr.take().map(|stream| Output::collect(&output, stream)),
        ];
        let group = Pid::from_child(&child);
        let mut process = Self {
            program,
            child,
            group,
            watchdog: None,
            output,
            readers: readers.into_iter().flatten().collect(),
            started,
        };
        process.watchdog = Some(watchdog(group).map_err(|source| ProcessError::Start {
            program: "sh (watchdog)".to_owned(),
            source,
        })?);
        Ok(process)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program serves; gives the time since it was started.
    pub fn wait_ready(
        &mut self,
        ready: &Ready,
        patience: Duration,
    ) -> Result<Duration, ProcessError> {
        let deadline = Instant::now() + patience;
        loop {
            let is_ready = match ready {
                Ready::Port(addr) => TcpStream::connect_timeout(addr, patience).is_ok(),
                Ready::Line(text) => self.output.holds(text),
            };
            if is_ready {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.try_wait()? {
                self.join_readers();
                let (program, output) = (self.program.clone(), self.output());
                return Err(ProcessError::EndedEarly { program, status, output });
            }
            if Instant::now() >= deadline {
                let (program, output) = (self.program.clone(), self.output());
                return Err(ProcessError::NotReady { program, waited: patience, output });
            }
            self.output.wait_for_more(POLL);
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) -> Result<ExitStatus, ProcessError> {
        self.end().map_err(|source| self.control("kill", source))
    }

    /// Asks it to stop with SIGTERM and waits at most this long; gives how long it took.
    pub fn terminate(self, patience: Duration) -> Result<(ExitStatus, Duration), ProcessError> {
        self.stop(Signal::TERM, patience)
    }

    /// The same with SIGINT, as Ctrl-C does it.
    pub fn interrupt(self, patience: Duration) -> Result<(ExitStatus, Duration), ProcessError> {
        self.stop(Signal::INT, patience)
    }

    fn stop(
        mut self,
        signal: Signal,
        patience: Duration,
    ) -> Result<(ExitStatus, Duration), ProcessError> {
        let asked = Instant::now();
        rustix::process::kill_process(self.group, signal)
            .map_err(|source| self.control("signal", source.into()))?;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok((status, asked.elapsed()));
            }
            if asked.elapsed() >= patience {
                let (program, output) = (self.program.clone(), self.output());
                return Err(ProcessError::WouldNotStop { program, waited: patience, output });
            }
            thread::sleep(POLL);
        }
    }

    /// Whether it ended by itself.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.child.try_wait().map_err(|source| self.control("wait for", source))
    }

    /// The last lines it printed, both streams as they came.
    pub fn output(&self) -> String {
        self.output.text()
    }

    fn control(&self, action: &'static str, source: io::Error) -> ProcessError {
        ProcessError::Control { action, program: self.program.clone(), source }
    }

    /// Kills the group and reaps the child.
    ///
    /// The watchdog goes between the two: until the child is reaped its number cannot belong to
    /// somebody else, whom the watchdog would kill.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // A group without members is what we want.
        let _ = kill_process_group(self.group, Signal::KILL);
        if let Some(mut watchdog) = self.watchdog.take() {
            watchdog.kill()?;
            watchdog.wait()?;
        }
        let status = self.child.wait()?;
        self.join_readers();
        Ok(status)
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked has lost output, which is no reason to hide the test's own
            // result.
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to tell: whoever wants the status calls `kill` or `terminate`.
        let _ = self.end();
    }
}

/// A shell that kills the group when its standard input ends, that is when this test is gone.
///
/// The signal that Linux offers for this follows the thread that started the child, not the
/// process, and asking for it takes code between fork and exec.
fn watchdog(group: Pid) -> io::Result<Child> {
    Command::new("sh")
        .arg("-c")
        .arg(format!("read -r _; kill -s KILL -- -{}", group.as_raw_nonzero()))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// What a program printed.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<VecDeque<String>>,
    more: Condvar,
}

impl Output {
    fn collect(output: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let output = Arc::clone(output);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = stream.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
                output.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        })
    }

    fn push(&self, line: String) {
        let mut lines = self.lock();
        if lines.len() >= KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
        self.more.notify_all();
    }

    fn holds(&self, text: &str) -> bool {
        self.lock().iter().any(|line| line.contains(text))
    }

    fn text(&self) -> String {
        self.lock().iter().fold(String::new(), |text, line| text + line + "\n")
    }

    fn wait_for_more(&self, patience: Duration) {
        let lines = self.lock();
        drop(self.more.wait_timeout(lines, patience).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, path::Path};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    fn line(text: &str) -> Ready {
        Ready::Line(text.to_owned())
    }

    #[test]
    fn readiness_is_a_line_on_either_stream() {
        for script in ["echo now ready; sleep 60", "echo now ready >&2; sleep 60"] {
            shell(script).wait_ready(&line("ready"), PATIENCE).unwrap();
        }
    }

    #[test]
    fn a_program_that_ends_before_it_is_ready_says_what_it_printed() {
        let error = shell("echo no such file >&2; exit 3").wait_ready(&line("ready"), PATIENCE);
        let Err(ProcessError::EndedEarly { status, output, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((status.code(), output.as_str()), (Some(3), "no such file\n"));
    }

    #[test]
    fn a_program_that_is_never_ready_is_given_up() {
        let error = shell("sleep 60").wait_ready(&line("ready"), Duration::from_millis(20));
        assert!(matches!(error, Err(ProcessError::NotReady { .. })), "{error:?}");
    }

    #[test]
    fn a_kill_is_a_sigkill() {
        let status = shell("sleep 60").kill().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn a_program_that_obeys_sigterm_gives_its_own_status() {
        let mut process = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_ready(&line("ready"), PATIENCE).unwrap();
        assert_eq!(process.terminate(PATIENCE).unwrap().0.code(), Some(7));
    }

    #[test]
    fn a_program_that_ignores_sigterm_is_killed_at_the_deadline() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_ready(&line("ready"), PATIENCE).unwrap();
        let id = process.id();
        let error = process.terminate(Duration::from_millis(50));
        assert!(matches!(error, Err(ProcessError::WouldNotStop { .. })), "{error:?}");
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn children_of_the_program_go_with_it() {
        let mut process = shell("sleep 60 & echo child $!; wait");
        process.wait_ready(&line("child"), PATIENCE).unwrap();
        let child = process.output().trim().rsplit_once(' ').unwrap().1.to_owned();
        drop(process);
        let deadline = Instant::now() + PATIENCE;
        // The kernel reaps it as an orphan, which is not announced to us.
        while is_running(&child) {
            assert!(Instant::now() < deadline, "process {child} still runs");
            thread::sleep(POLL);
        }
    }

    /// Whether the process exists and is no zombie.
    fn is_running(id: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_watchdog_kills_the_program_when_the_test_is_gone() {
        let mut process = shell("sleep 60");
        // To the watchdog, the end of its input is the end of the test.
        drop(process.watchdog.as_mut().unwrap().stdin.take());
        let status = process.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    }
}
