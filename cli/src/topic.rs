//! `rkctl topic`: create, list, describe and delete topics.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use clap::builder::RangedI64ValueParser;
use rocketkube_client::{Admin, Client, TopicSettings};
use rocketkube_protocol::ResponseCode;
use rocketkube_protocol::body::{TopicConfig, perm};
use rocketkube_protocol::names::{MAX_QUEUES, is_system_topic};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::cluster::masters;
use crate::output::{self, Format};

/// How long a new topic may take to be known to the name server.
const ROUTE_PATIENCE: Duration = Duration::from_secs(5);
const ROUTE_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic on every broker
    Create {
        /// Name of the topic
        name: String,
        /// Queues on each broker
        #[arg(long, short = 'q', value_name = "N", default_value_t = 8, value_parser = queues())]
        queues: u32,
        /// Attribute of the topic, such as message.type=FIFO; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
        attribute: Vec<(String, String)>,
    },
    /// List topics
    List {
        /// Also the topics that RocketMQ keeps for itself
        #[arg(long)]
        system: bool,
    },
    /// Show the queues of a topic and how many messages they hold
    Describe {
        /// Name of the topic
        name: String,
    },
    /// Delete a topic with all its messages
    Delete {
        /// Name of the topic
        name: String,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

/// How many queues a topic may have on one broker.
pub(crate) fn queues() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MAX_QUEUES.into())
}

pub(crate) async fn run(command: &TopicCommand, client: Client, format: Format) -> Result<()> {
    let admin = Admin::new(client);
    match command {
        TopicCommand::Create { name, queues, attribute } => {
            create(&admin, name, *queues, attribute.iter().cloned().collect(), format).await
        }
        TopicCommand::List { system } => list(&admin, *system, format).await,
        TopicCommand::Describe { name } => describe(&admin, name, format).await,
        TopicCommand::Delete { name, yes } => delete(&admin, name, *yes).await,
    }
}

/// One topic on all brokers, as `topic list` and `topic create` show it.
#[derive(Debug, Serialize)]
struct TopicRow {
    topic: String,
    /// On all brokers together.
    queues: i32,
    permission: &'static str,
    brokers: Vec<String>,
}

impl TopicRow {
    fn new(config: &TopicConfig) -> Self {
        Self {
            topic: config.topic_name.clone(),
            queues: 0,
            permission: permission(config.perm),
            brokers: Vec::new(),
        }
    }
}

async fn create(
    admin: &Admin,
    name: &str,
    queues: u32,
    attributes: BTreeMap<String, String>,
    format: Format,
) -> Result<()> {
    let brokers = masters(admin).await?;
    for addr in &brokers {
        match admin.topic(addr, name).await {
            Ok(config) => bail!(
                "topic {name} exists with {} queues on {addr}: see `rkctl topic describe {name}`",
                config.write_queue_nums
            ),
            Err(error) if error.code() == Some(ResponseCode::TOPIC_NOT_EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let count = i32::try_from(queues)?;
    let settings = TopicSettings {
        write_queues: count,
        read_queues: count,
        attributes,
        ..TopicSettings::default()
    };
    for addr in &brokers {
        let created = admin.set_topic(addr, name, &settings).await;
        created.with_context(|| format!("cannot create topic {name} on {addr}"))?;
    }
    await_route(admin.client(), name).await?;
    let total = count * i32::try_from(brokers.len())?;
    match format {
        Format::Json => {
            let permission = permission(settings.perm);
            output::write_json(&TopicRow { topic: name.into(), queues: total, permission, brokers })
        }
        Format::Table => {
            let place = brokers.join(", ");
            Ok(writeln!(io::stdout(), "topic {name} created: {total} queues on {place}")?)
        }
    }
}

/// Returns once clients can find the topic, so that the next command can use it.
async fn await_route(client: &Client, topic: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        match client.route(topic).await {
            Ok(_) => return Ok(()),
            Err(error) if begin.elapsed() > ROUTE_PATIENCE => {
                return Err(error).context("the topic is made, but no name server knows it yet");
            }
            Err(_) => sleep(ROUTE_PAUSE).await,
        }
    }
}

async fn list(admin: &Admin, system: bool, format: Format) -> Result<()> {
    let mut topics: BTreeMap<String, TopicRow> = BTreeMap::new();
    for addr in masters(admin).await? {
        for (name, config) in admin.topic_table(&addr).await?.topic_config_table {
            if system || !is_system_topic(&name) {
                let row = topics.entry(name).or_insert_with(|| TopicRow::new(&config));
                row.queues += config.write_queue_nums;
                row.brokers.push(addr.clone());
            }
        }
    }
    let rows: Vec<TopicRow> = topics.into_values().collect();
    match format {
        Format::Json => output::write_json(&rows),
        Format::Table => {
            let mut table = output::table();
            table.set_header(["TOPIC", "QUEUES", "PERMISSION", "BROKERS"]);
            for row in rows {
                let TopicRow { topic, queues, permission, brokers } = row;
                table.add_row([topic, queues.to_string(), permission.into(), brokers.join(", ")]);
            }
            Ok(writeln!(io::stdout(), "{table}")?)
        }
    }
}

/// One queue, as `topic describe` shows it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueRow {
    broker: String,
    queue_id: i32,
    min_offset: i64,
    max_offset: i64,
    messages: i64,
    /// Store time of the last message; absent from an empty queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<String>,
}

async fn describe(admin: &Admin, name: &str, format: Format) -> Result<()> {
    let route = admin.client().route(name).await?;
    let mut rows = Vec::new();
    for broker in route.brokers() {
        let addr = route.master(broker)?;
        for (queue, offsets) in admin.topic_stats(addr, name).await?.offset_table.0 {
            rows.push(QueueRow {
                broker: broker.to_owned(),
                queue_id: queue.queue_id,
                min_offset: offsets.min_offset,
                max_offset: offsets.max_offset,
                messages: offsets.max_offset - offsets.min_offset,
                last_message: output::time(offsets.last_update_timestamp),
            });
        }
    }
    rows.sort_by(|a, b| (&a.broker, a.queue_id).cmp(&(&b.broker, b.queue_id)));
    match format {
        Format::Json => output::write_json(&rows),
        Format::Table => {
            let mut table = output::table();
            table.set_header(["BROKER", "QUEUE", "MIN", "MAX", "MESSAGES", "LAST MESSAGE"]);
            for row in rows {
                table.add_row([
                    row.broker,
                    row.queue_id.to_string(),
                    row.min_offset.to_string(),
                    row.max_offset.to_string(),
                    row.messages.to_string(),
                    row.last_message.unwrap_or_default(),
                ]);
            }
            Ok(writeln!(io::stdout(), "{table}")?)
        }
    }
}

async fn delete(admin: &Admin, name: &str, yes: bool) -> Result<()> {
    // An absent topic is an error here, although deleting it would succeed: it is a typing mistake.
    admin.client().route(name).await?;
    if !yes && !confirm(name)? {
        bail!("topic {name} was not deleted");
    }
    for cluster in admin.cluster_info().await?.cluster_addr_table.keys() {
        admin.delete_topic(cluster, name).await?;
    }
    writeln!(io::stdout(), "topic {name} deleted")?;
    Ok(())
}

fn confirm(name: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("deleting topic {name} loses its messages: add --yes if that is meant");
    }
    write!(io::stderr(), "delete topic {name} with all its messages? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn permission(bits: i32) -> &'static str {
    match (bits & perm::READ != 0, bits & perm::WRITE != 0) {
        (true, true) => "read, write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "none",
    }
}

/// Reads `NAME=VALUE`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_cut_at_the_first_equals_sign() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_pair("a="), Ok(("a".into(), String::new())));
        assert!(parse_pair("=b").is_err());
        assert!(parse_pair("ab").is_err());
    }

    #[test]
    fn permissions_are_words() {
        assert_eq!(permission(6), "read, write");
        assert_eq!(permission(4 | 1), "read");
        assert_eq!(permission(0), "none");
    }
}
