//! Requests as tables write them, and what has to come back.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use rocketkube_protocol::{RequestCode, ResponseCode};
use rocketkube_testkit::Wire;

use crate::pair::Pair;

/// A request, sound until a row spoils it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) code: RequestCode,
    pub(crate) ext: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(code: RequestCode, ext: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self { code, ext: ext.iter().map(own).collect(), body: Vec::new() }
    }

    /// Sets a field, whatever it was.
    pub(crate) fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.ext.retain(|(existing, _)| existing != key);
        self.ext.push((key.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(crate) fn call(&self, wire: &mut Wire) -> Result<rocketkube_protocol::Command> {
        let ext: Vec<(&str, &str)> =
            self.ext.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        wire.call(self.code.0, &ext, &self.body)
            .with_context(|| format!("no answer to {:?} with {}", self.code, self.shown()))
    }

    /// The fields, short enough to print.
    fn shown(&self) -> String {
        let mut text = format!("{:?}", self.ext);
        let end = text.char_indices().map(|(at, _)| at).nth(300).unwrap_or(text.len());
        text.truncate(end);
        text
    }
}

/// A send of one small message.
pub(crate) fn send(topic: &str) -> Ask {
    let ext = [
        ("a", "bad-input"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", ""),
    ];
    Ask::new(RequestCode::SEND_MESSAGE_V2, &ext).body(*b"body")
}

/// A pull that brings its own subscription and does not wait.
pub(crate) fn pull(topic: &str) -> Ask {
    let ext = [
        ("consumerGroup", "bad-input"),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
    ];
    Ask::new(RequestCode::PULL_MESSAGE, &ext)
}

/// Creation of a topic with one queue.
pub(crate) fn create(topic: &str) -> Ask {
    let ext = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    Ask::new(RequestCode::UPDATE_AND_CREATE_TOPIC, &ext)
}

/// One row: the request and the codes that are right for it.
pub(crate) struct Row {
    pub(crate) number: u32,
    pub(crate) what: String,
    pub(crate) ask: Ask,
    pub(crate) codes: &'static [ResponseCode],
}

pub(crate) fn row(
    number: u32,
    what: impl Into<String>,
    ask: Ask,
    codes: &'static [ResponseCode],
) -> Row {
    Row { number, what: what.into(), ask, codes }
}

/// Sends every row on a connection of its own to the broker; says which came back wrong.
pub(crate) fn run(pair: &Pair, rows: &[Row]) -> Result<()> {
    let mut wrong = Vec::new();
    for row in rows {
        if let Err(error) = run_one(pair, row) {
            wrong.push(format!("row {}, {}: {error:#}", row.number, row.what));
        }
    }
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}

fn run_one(pair: &Pair, row: &Row) -> Result<()> {
    let mut wire = pair.connect()?;
    let answer = row.ask.call(&mut wire)?;
    ensure!(
        row.codes.contains(&answer.response_code()),
        "{:?} instead of {:?}, remark {:?}",
        answer.response_code(),
        row.codes,
        answer.remark
    );
    Pair::ask_something(&mut wire).context("the connection was not kept")?;
    pair.serves_others()
}
