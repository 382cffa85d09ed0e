//! Lines of text from standard input, one message each.

use std::io::{self, BufRead, Read as _};
use std::thread;

use rocketkube_protocol::frame::MAX_FRAME;
use tokio::sync::mpsc;

/// Lines read ahead of whoever takes them.
const AHEAD: usize = 1;

/// Why a line is no message.
#[derive(Debug)]
pub(crate) enum LineError {
    Empty,
    NotText,
    TooLong,
    Read(io::Error),
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("it is empty, and a message cannot be: write something, or remove it")
            }
            Self::NotText => f.write_str("it is not UTF-8: only text can be sent line by line"),
            Self::TooLong => {
                write!(f, "it has more than {MAX_FRAME} bytes, which no broker takes")
            }
            Self::Read(error) => write!(f, "cannot read it: {error}"),
        }
    }
}

impl std::error::Error for LineError {}

/// The lines of standard input, up to the first that is none. They are read by a thread, which
/// nobody waits for: reading a terminal cannot be given up.
pub(crate) fn of_stdin() -> io::Result<mpsc::Receiver<Result<String, LineError>>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Some(line) = next_line(&mut stdin) {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(lines)
}

/// The next line without its end; `None` if there is none. What follows the last line end is a line
/// only if it has a character.
fn next_line(input: &mut impl BufRead) -> Option<Result<String, LineError>> {
    let mut line = Vec::new();
    // One byte more than allowed, and the line end.
    let limit = MAX_FRAME as u64 + 2;
    match input.take(limit).read_until(b'\n', &mut line) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) => return Some(Err(LineError::Read(error))),
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Some(match line.len() {
        0 => Err(LineError::Empty),
        1..=MAX_FRAME => String::from_utf8(line).map_err(|_| LineError::NotText),
        _ => Err(LineError::TooLong),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line, errors as their text.
    fn lines(mut input: &[u8]) -> Vec<String> {
        let lines = std::iter::from_fn(|| next_line(&mut input));
        lines.map(|line| line.unwrap_or_else(|error| error.to_string())).collect()
    }

    #[test]
    fn a_line_ends_as_on_any_system_and_the_last_needs_no_end() {
        assert_eq!(lines(b"a\nb\r\n c\r"), ["a", "b", " c\r"]);
        assert_eq!(lines(b"a\n"), ["a"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_that_is_no_message_says_what_to_do() {
        assert!(lines(b"a\n\nb")[1].starts_with("it is empty"));
        assert!(lines(b"\r\n")[0].starts_with("it is empty"));
        assert!(lines(b"\xff\n")[0].contains("only text"));
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_the_longest_message() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(next_line(&mut endless), Some(Err(LineError::TooLong))));
    }
}
