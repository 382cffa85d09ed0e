//! Reads a broker back into the history: bounds, messages and progress of every queue.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use rocketkube_protocol::{Command, RequestCode, ResponseCode};
use rocketkube_testkit::{Body, Group, Lane, Message, Position, Wire, hash, request};

use crate::names::{group_name, topic_name};

/// What pulls ask for: brokers give as much as their own limit allows.
const MOST_MESSAGES: &str = "1024";
/// Flag of a pull that brings its own subscription.
const SUBSCRIPTION_IN_REQUEST: &str = "4";

/// Where a reader is, per queue: the next offset it has not seen.
pub(crate) type Places = HashMap<Position, i64>;

/// One connection that asks.
pub(crate) struct Survey {
    pub(crate) wire: Wire,
    pub(crate) lane: Lane,
    run: u64,
}

/// A message as it was read.
pub(crate) struct Read<'a> {
    pub(crate) at: Position,
    pub(crate) offset: i64,
    pub(crate) store_timestamp: i64,
    pub(crate) record: &'a [u8],
}

impl Survey {
    pub(crate) fn new(wire: Wire, lane: Lane, run: u64) -> Self {
        Self { wire, lane, run }
    }

    /// Creates a consumer group; brokers refuse commits of groups they do not know.
    pub(crate) fn create_group(&mut self, group: Group) -> Result<()> {
        let body = format!("{{\"groupName\":\"{}\"}}", group_name(group));
        let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        let answer = self.wire.call(code.0, &[], body.as_bytes())?;
        ensure!(answer.response_code() == ResponseCode::SUCCESS, "{group:?}: {answer:?}");
        Ok(())
    }

    /// Smallest and next offset of a queue.
    pub(crate) fn bounds(&mut self, at: Position) -> Result<(i64, i64)> {
        let since = self.lane.now();
        let lowest = self.offset(RequestCode::GET_MIN_OFFSET, at)?;
        self.lane.lowest(since, at, lowest);
        let since = self.lane.now();
        let highest = self.offset(RequestCode::GET_MAX_OFFSET, at)?;
        self.lane.highest(since, at, highest);
        Ok((lowest, highest))
    }

    fn offset(&mut self, code: RequestCode, at: Position) -> Result<i64> {
        let topic = topic_name(at.topic);
        let fields = [("topic", topic.as_str()), ("queueId", &at.queue.to_string())];
        let answer = self.wire.call(code.0, &fields, b"")?;
        ensure!(answer.response_code() == ResponseCode::SUCCESS, "{code:?} of {at:?}: {answer:?}");
        number(&answer, "offset")
    }

    /// A group's committed offset, if it has one.
    pub(crate) fn progress(&mut self, group: Group, at: Position) -> Result<Option<i64>> {
        let since = self.lane.now();
        let (name, topic) = (group_name(group), topic_name(at.topic));
        let fields = [
            ("consumerGroup", name.as_str()),
            ("topic", &topic),
            ("queueId", &at.queue.to_string()),
            // Without this a broker may answer 0 for a group that has none.
            ("setZeroIfNotFound", "false"),
        ];
        let answer = self.wire.call(RequestCode::QUERY_CONSUMER_OFFSET.0, &fields, b"")?;
        let offset = match answer.response_code() {
            ResponseCode::SUCCESS => Some(number(&answer, "offset")?),
            ResponseCode::QUERY_NOT_FOUND => None,
            _ => bail!("progress of {group:?} in {at:?}: {answer:?}"),
        };
        self.lane.progress(since, group, at, offset);
        Ok(offset)
    }

    /// Reads every queue from its place to its end as `group`, one pull per queue in flight.
    pub(crate) fn read(
        &mut self,
        group: Group,
        places: &mut Places,
        ends: &Places,
        mut see: impl FnMut(&Read<'_>),
    ) -> Result<()> {
        let mut pulls = HashMap::new();
        for (at, end) in ends {
            if places.get(at).copied().unwrap_or(0) < *end {
                let from = *places.entry(*at).or_default();
                pulls.insert(self.pull(group, *at, from)?, *at);
            }
        }
        while !pulls.is_empty() {
            let answer = self.wire.receive()?;
            let Some(at) = pulls.remove(&answer.opaque) else { continue };
            let place = places.entry(at).or_default();
            *place = self.take(group, at, *place, &answer, &mut see)?;
            if *place < ends[&at] {
                pulls.insert(self.pull(group, at, *place)?, at);
            }
        }
        Ok(())
    }

    fn pull(&mut self, group: Group, at: Position, from: i64) -> Result<i32> {
        let opaque = self.wire.next_opaque();
        let (name, topic) = (group_name(group), topic_name(at.topic));
        let fields = [
            ("consumerGroup", name.as_str()),
            ("topic", &topic),
            ("queueId", &at.queue.to_string()),
            ("queueOffset", &from.to_string()),
            ("maxMsgNums", MOST_MESSAGES),
            ("sysFlag", SUBSCRIPTION_IN_REQUEST),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        let command = Command { opaque, ..request(RequestCode::PULL_MESSAGE.0, &fields, b"") };
        let mut bytes = Vec::new();
        command.encode_into(&mut bytes)?;
        self.wire.send(&bytes)?;
        Ok(opaque)
    }

    /// Writes down what one pull brought; gives the next offset.
    fn take(
        &mut self,
        group: Group,
        at: Position,
        from: i64,
        answer: &Command,
        see: &mut impl FnMut(&Read<'_>),
    ) -> Result<i64> {
        ensure!(
            answer.response_code() == ResponseCode::SUCCESS,
            "pull of {at:?} from {from}: {} {:?}",
            answer.code,
            answer.remark
        );
        let mut rest = answer.body.as_slice();
        let mut next = from;
        while !rest.is_empty() {
            let record = Record::split(&mut rest)
                .with_context(|| format!("pull of {at:?} from {from}: no record at {next}"))?;
            ensure!(record.queue_id == at.queue, "{at:?} gave a record of {}", record.queue_id);
            ensure!(record.offset == next, "{at:?} gave {} instead of {next}", record.offset);
            self.lane.deliver(group, at, next, self.judge(record.body));
            let (offset, store_timestamp, record) = (next, record.store_timestamp, record.bytes);
            see(&Read { at, offset, store_timestamp, record });
            next += 1;
        }
        ensure!(next > from, "pull of {at:?} from {from} succeeded without messages");
        ensure!(number(answer, "nextBeginOffset")? == next, "{at:?} at {next}: {:?}", answer.ext);
        Ok(next)
    }

    /// Who made a body; nobody, if it is damaged or of another run.
    fn judge(&self, body: &[u8]) -> Message {
        match Body::read(body) {
            Ok((who, hash)) if who.run == self.run => {
                Message { producer: who.producer, sequence: who.sequence, hash }
            }
            _ => Message { producer: u32::MAX, sequence: u64::MAX, hash: hash(body) },
        }
    }
}

pub(crate) fn number(answer: &Command, field: &str) -> Result<i64> {
    let text = answer.fields().get(field).with_context(|| format!("{answer:?} has no {field}"))?;
    Ok(text.parse()?)
}

/// The parts of a record that a reader is shown, taken from fixed places as clients do, so that a
/// mistake in the broker's own codec is not repeated here.
struct Record<'a> {
    bytes: &'a [u8],
    queue_id: u32,
    offset: i64,
    store_timestamp: i64,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the first record off `rest`; hosts are IPv4 on loopback.
    fn split(rest: &mut &'a [u8]) -> Option<Self> {
        let size = usize::try_from(u32_at(rest, 0)?).ok()?;
        let (bytes, left) = rest.split_at_checked(size)?;
        let body_len = usize::try_from(u32_at(bytes, 84)?).ok()?;
        let record = Self {
            bytes,
            queue_id: u32_at(bytes, 12)?,
            offset: i64_at(bytes, 20)?,
            store_timestamp: i64_at(bytes, 56)?,
            body: bytes.get(88..88_usize.checked_add(body_len)?)?,
        };
        *rest = left;
        Some(record)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
