//! `rkctl message`: send and tail messages; `rkctl send` and `rkctl consume` for short.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use rocketkube_client::{
    Client, Message, Producer, PullConsumer, PullOptions, Queue, Received, Sent,
};
use rocketkube_protocol::names::TOOLS_GROUP;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::interrupt::{Interrupted, on_ctrl_c};
use crate::lines;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::topic::parse_pair;

/// The group of our requests: one that every broker has, also where groups have to be declared. Nothing
/// is committed for it.
const GROUP: &str = TOOLS_GROUP;
/// Answers that wait to be printed; more of them stop the readers.
const PRINT_QUEUE: usize = 8;

#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// Send one message, or one per line of stdin
    Send(SendArgs),
    /// Print the messages of a topic as they come
    Tail(TailArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Topic to send to
    topic: String,
    /// The message; without it, every line of stdin is one
    #[arg(value_name = "MESSAGE", value_parser = NonEmptyStringValueParser::new())]
    body: Option<String>,
    /// Tag, for consumers to filter by
    #[arg(long)]
    tag: Option<String>,
    /// Key to find the message by; may be repeated
    #[arg(long)]
    key: Vec<String>,
    /// Property; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    property: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Topic to read
    topic: String,
    /// Begin with the oldest message of each queue, or behind the newest
    #[arg(long, value_name = "PLACE", value_enum, default_value_t = StartAt::Beginning)]
    from: StartAt,
    /// Stop after this many messages
    #[arg(long, short = 'm', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Stop at the end instead of waiting for more
    #[arg(long)]
    no_follow: bool,
    /// Only messages with one of these tags, joined by `||`
    #[arg(long, value_name = "TAGS", default_value = "*")]
    tag: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StartAt {
    Beginning,
    End,
}

pub(crate) async fn run(command: &MessageCommand, client: Client, format: Format) -> Result<()> {
    match command {
        MessageCommand::Send(args) => send(args, client, format).await,
        MessageCommand::Tail(args) => tail(args, client, format).await,
    }
}

/// Where a message went, as `-o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SentRow<'a> {
    message_id: &'a str,
    offset_message_id: &'a str,
    topic: &'a str,
    broker: &'a str,
    queue_id: i32,
    queue_offset: u64,
    status: String,
}

pub(crate) async fn send(args: &SendArgs, client: Client, format: Format) -> Result<()> {
    let producer = Producer::new(client, GROUP);
    if let Some(body) = &args.body {
        let sent = producer.send(&args.message(body)).await?;
        return print_sent(&sent, format);
    }
    let count = send_lines(args, &producer, format).await?;
    match format {
        Format::Json => Ok(()),
        Format::Table => Ok(writeln!(io::stdout(), "{} sent to {}", messages(count), args.topic)?),
    }
}

/// Sends every line of stdin, up to the first that cannot be sent; returns how many there were.
async fn send_lines(args: &SendArgs, producer: &Producer, format: Format) -> Result<u64> {
    let interrupt = on_ctrl_c()?;
    if io::stdin().is_terminal() {
        writeln!(io::stderr(), "every line is sent as a message; Ctrl-D ends")?;
    }
    let (progress, begin) = (Progress::new(), Instant::now());
    let mut lines = lines::of_stdin()?;
    let mut count = 0;
    loop {
        let line = tokio::select! {
            // In this order, so that Ctrl-C also stops a stream that never runs dry. The line that
            // is dropped with it was not sent, as the count says.
            biased;
            () = interrupt.cancelled() => {
                progress.finish();
                bail!(Interrupted(format!("{} sent", messages(count))));
            }
            line = lines.recv() => line,
        };
        let Some(line) = line else { break };
        let failed = || format!("{} sent, then line {} failed", messages(count), count + 1);
        let line = line.with_context(failed)?;
        let sent = producer.send(&args.message(&line)).await.with_context(failed)?;
        count += 1;
        progress.show(count, begin.elapsed());
        if format == Format::Json {
            print_sent(&sent, format)?;
        }
    }
    progress.finish();
    Ok(count)
}

/// A number of messages in words.
fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

impl SendArgs {
    fn message(&self, body: &str) -> Message {
        let mut message = Message::new(self.topic.as_str(), body);
        if let Some(tag) = &self.tag {
            message = message.tag(tag);
        }
        for key in &self.key {
            message = message.key(key);
        }
        for (name, value) in &self.property {
            message = message.property(name, value);
        }
        message
    }
}

fn print_sent(sent: &Sent, format: Format) -> Result<()> {
    let row = SentRow {
        message_id: &sent.unique_id,
        offset_message_id: &sent.offset_id,
        topic: &sent.queue.topic,
        broker: &sent.queue.broker,
        queue_id: sent.queue.id,
        queue_offset: sent.queue_offset,
        status: format!("{:?}", sent.status),
    };
    match format {
        Format::Json => output::write_json_line(&row),
        Format::Table => {
            let SentRow { message_id, broker, queue_id, queue_offset, status, .. } = row;
            let place = format!("broker {broker}, queue {queue_id}, offset {queue_offset}");
            Ok(writeln!(io::stdout(), "{message_id} sent ({status}): {place}")?)
        }
    }
}

pub(crate) async fn tail(args: &TailArgs, client: Client, format: Format) -> Result<()> {
    let reader = PullConsumer::new(client, GROUP);
    let (answers, mut arriving) = mpsc::channel(PRINT_QUEUE);
    let mut readers = JoinSet::new();
    for queue in reader.queues(&args.topic).await? {
        readers.spawn(read(reader.clone(), queue, args.reading(), answers.clone()));
    }
    drop(answers);
    let mut left = args.messages.unwrap_or(u64::MAX);
    // Ends when all readers are at the end, or when one of them failed and its error is next.
    while let Some(messages) = arriving.recv().await {
        for message in messages? {
            if left == 0 {
                return Ok(());
            }
            print_message(&message, format)?;
            left -= 1;
        }
        if left == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// How one queue is read.
struct Reading {
    from: StartAt,
    follow: bool,
    options: PullOptions,
}

impl TailArgs {
    fn reading(&self) -> Reading {
        let defaults = PullOptions::default();
        let wait = if self.no_follow { Duration::ZERO } else { defaults.wait };
        let options = PullOptions { tags: self.tag.clone(), wait, ..defaults };
        Reading { from: self.from, follow: !self.no_follow, options }
    }
}

/// Reads one queue until its end, or for as long as somebody takes the messages.
async fn read(
    reader: PullConsumer,
    queue: Queue,
    reading: Reading,
    answers: mpsc::Sender<Result<Vec<Received>>>,
) {
    if let Err(error) = read_on(&reader, &queue, &reading, &answers).await {
        // Nobody is left to tell it to if the printing side has stopped.
        _ = answers.send(Err(error)).await;
    }
}

async fn read_on(
    reader: &PullConsumer,
    queue: &Queue,
    reading: &Reading,
    answers: &mpsc::Sender<Result<Vec<Received>>>,
) -> Result<()> {
    let end = reader.max_offset(queue).await?;
    let mut next = match reading.from {
        StartAt::Beginning => reader.min_offset(queue).await?,
        StartAt::End => end,
    };
    while reading.follow || next < end {
        let pulled = reader.pull(queue, next, &reading.options).await?;
        let is_stuck = pulled.next <= next && pulled.messages.is_empty();
        next = pulled.next;
        if !pulled.messages.is_empty() && answers.send(Ok(pulled.messages)).await.is_err() {
            break;
        }
        if is_stuck && !reading.follow {
            break;
        }
    }
    Ok(())
}

/// A message, as `-o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageRow<'a> {
    message_id: Option<&'a str>,
    topic: &'a str,
    queue_id: i32,
    queue_offset: u64,
    stored_at: Option<String>,
    properties: serde_json::Map<String, serde_json::Value>,
    /// The body, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// The body in hexadecimal digits, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

fn print_message(message: &Received, format: Format) -> Result<()> {
    let text = std::str::from_utf8(&message.body).ok();
    match format {
        Format::Json => {
            let properties = message.properties();
            let properties =
                properties.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            output::write_json_line(&MessageRow {
                message_id: message.unique_id(),
                topic: &message.topic,
                queue_id: message.queue_id,
                queue_offset: message.queue_offset,
                stored_at: output::time(message.store_timestamp),
                properties,
                body: text,
                body_hex: text.is_none().then(|| hex(&message.body)),
            })
        }
        Format::Table => {
            let time = output::time(message.store_timestamp).unwrap_or_default();
            let place = format!("{}:{}", message.queue_id, message.queue_offset);
            let tag = message.tag().map(|tag| format!("[{}] ", printable(tag))).unwrap_or_default();
            let body = text.map_or_else(|| hex(&message.body), printable);
            Ok(writeln!(io::stdout(), "{time}  {place}  {tag}{body}")?)
        }
    }
}

/// Text without characters that a terminal would obey.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nä"), "a\\u{1b}[2Jb\\nä");
    }

    #[test]
    fn a_body_that_is_not_text_is_shown_in_hexadecimal() {
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
    }
}
