//! `rkctl bench`: the load tool.
//!
//! It speaks plain remoting and works against any broker of the protocol. It depends on no client
//! library of ours, because what it costs per message would be measured with the broker.

mod admin;
mod args;
mod body;
mod consume;
mod echo;
mod engine;
mod latency;
mod link;
mod offsets;
mod process;
mod produce;
mod report;
mod slots;
mod template;

use std::io;

use anyhow::{Context, Result, bail};

pub(crate) use args::BenchCommand;
use args::{ConsumeArgs, EchoArgs, LoadArgs, MessageArgs, ProduceArgs, StartAt, TargetArgs};

use self::admin::{Admin, resolve};
use self::consume::{Consume, Mode, QueueRange, Reading};
use self::echo::{Echo, EchoServer};
use self::engine::{Clock, Server};
use self::produce::{Messages, Produce};
use self::report::Report;
use crate::cluster;
use crate::interrupt::Interrupted;
use crate::output::{self, Format};

pub(crate) fn run(command: &BenchCommand, format: Format) -> Result<()> {
    let report = match command {
        BenchCommand::Produce(args) => produce(args)?,
        BenchCommand::Consume(args) => consume(args)?,
        BenchCommand::Echo(args) => echo(args)?,
    };
    match format {
        Format::Table => report.write_table(&mut io::stdout().lock())?,
        Format::Json => output::write_json(&report)?,
    }
    let faults = report.faults();
    if !faults.is_empty() {
        bail!("the run was not clean: {}", faults.join("; "));
    }
    if report.interrupted {
        bail!(Interrupted("the figures are those until then".into()));
    }
    Ok(())
}

fn produce(args: &ProduceArgs) -> Result<Report> {
    let target = Target::find(&args.target)?;
    let plan = args.messages.plan(&args.load);
    let clock = Clock::start();
    let messages = messages(&args.messages, &args.load, &args.target.topic);
    let first_free = target.queues.iter().map(|range| range.max).collect();
    let mut workload = Produce::new(clock, messages, plan.connections, first_free)?;
    let outcome = engine::run(target.server, &plan, clock, &mut workload)?;
    let mut report = Report::new("produce", &plan, outcome);
    report.messages_wanted = args.load.messages;
    report.offsets = Some(workload.findings());
    Ok(report)
}

fn echo(args: &EchoArgs) -> Result<Report> {
    let plan = args.messages.plan(&args.load);
    let clock = Clock::start();
    let messages = messages(&args.messages, &args.load, "rkctl-bench");
    let workload = Produce::new(clock, messages, plan.connections, vec![0])?;
    let echo = EchoServer::start(plan.connections, workload.opaque_at())?;
    let server = Server { addr: echo.addr, pid: None };
    let outcome = engine::run(server, &plan, clock, &mut Echo(workload))?;
    echo.join()?;
    let mut report = Report::new("echo", &plan, outcome);
    report.messages_wanted = args.load.messages;
    Ok(report)
}

fn messages(args: &MessageArgs, load: &LoadArgs, topic: &str) -> Messages {
    Messages {
        topic: topic.to_owned(),
        body_len: args.size,
        batch: args.batch,
        limit: load.messages,
        run: rand::random(),
    }
}

fn consume(args: &ConsumeArgs) -> Result<Report> {
    let target = Target::find(&args.target)?;
    let plan = args.plan(target.queues.len());
    let clock = Clock::start();
    let reading = Reading {
        topic: args.target.topic.clone(),
        pull_batch: args.pull_batch,
        verify_every: args.verify_every,
        limit: args.load.messages,
        mode: match (args.from, args.repeat) {
            (StartAt::End, _) => Mode::Tail,
            (StartAt::Beginning, true) => Mode::Repeat,
            (StartAt::Beginning, false) => Mode::Once,
        },
    };
    let shape = (plan.connections, plan.in_flight);
    let mut workload = Consume::new(clock, reading, shape, &target.queues)?;
    let outcome = engine::run(target.server, &plan, clock, &mut workload)?;
    let mut report = Report::new("consume", &plan, outcome);
    report.messages_wanted = args.load.messages;
    report.delivery_us = workload.delays.percentiles();
    report.records = Some(workload.findings());
    Ok(report)
}

/// The broker under load and the queues of its topic.
struct Target {
    server: Server,
    queues: Vec<QueueRange>,
}

impl Target {
    fn find(args: &TargetArgs) -> Result<Self> {
        let addr = match &args.broker {
            Some(broker) => resolve(broker)?,
            None => connect_name_server(&args.cluster.namesrv)?.only_broker()?,
        };
        let mut admin =
            Admin::connect(addr).with_context(|| format!("cannot reach a broker at {addr}"))?;
        let count = admin.ensure_topic(&args.topic, args.queues)?;
        let queues = (0..count).map(|queue| admin.queue_range(&args.topic, queue));
        Ok(Self {
            server: Server { addr, pid: args.server_pid },
            queues: queues.collect::<Result<_>>()?,
        })
    }
}

/// Tries the addresses of a list `HOST:PORT;HOST:PORT` until one answers.
fn connect_name_server(list: &str) -> Result<Admin> {
    let mut reason = anyhow::anyhow!("the list of addresses is empty");
    for text in list.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        match resolve(text).and_then(Admin::connect) {
            Ok(admin) => return Ok(admin),
            Err(error) => reason = error,
        }
    }
    Err(reason).with_context(|| cluster::no_name_server(list))
}
