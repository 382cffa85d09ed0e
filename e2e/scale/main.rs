//! Many `BrokerSets` and Topics on a real API server, with an operator in a process of its own.
//!
//! `scale OPERATOR KUBECONFIG LOG`: the operator's program, by whose rights it acts, and where what it
//! says is kept. Brokers, controllers of pods and kubelets are played here; see README.md.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program whose output is for people")]

#[path = "../../operator/tests/sync/broker.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for other tests, which use more of it")]
mod broker;
mod load;
mod operator;
mod readiness;
mod stage;
mod writes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kube::Client;
use rocketkube_crds::{BrokerSet, Topic};
use tokio::time::sleep;

use crate::load::Load;
use crate::operator::Operator;
use crate::readiness::Readiness;
use crate::stage::Stage;
use crate::writes::Writes;

/// From the creation of a Topic until it is Ready, for 99 of 100.
const LONGEST: Duration = Duration::from_secs(10);
/// Most memory of the operator at any time.
const MEMORY: u64 = 256 << 20;
/// Workers ask brokers every 30 s; so this is more than two of their turns.
const TWO_RESYNCS: Duration = Duration::from_secs(65);
/// Without a write for so long, everything that was begun is done: numbers are told every 10 s.
const QUIET: Duration = Duration::from_secs(15);
/// For what has to come to an end.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).map(PathBuf::from);
    let mut word = || words.next().context("usage: scale OPERATOR KUBECONFIG LOG");
    let (program, kubeconfig, log) = (word()?, word()?, word()?);
    let client = Client::try_default().await?;
    let load = Load::from_environment(client.clone())?;
    let stage = Arc::new(Stage::new(client.clone()));
    let _acting = stage.act();
    let operator = Operator::start(&program, &kubeconfig, &log)?;

    let mut broken = Vec::new();
    broker_sets(&client, &load).await?;
    println!("operator: {}", operator.usage()?);
    topics(&client, &load, &mut broken).await?;
    println!("operator: {}", operator.usage()?);

    settle(&client).await?;
    stage.forget_questions();
    println!("resyncs: all brokers say that something changed, and nothing has");
    resync(&client, &stage, &mut broken).await?;
    let first = operator.usage()?;
    println!("operator: {first}");
    operator.stop().await?;

    // A new process knows nothing of what the one before wrote.
    stage.forget_questions();
    let operator = Operator::start(&program, &kubeconfig, &log)?;
    println!("resyncs: after the operator was started again");
    resync(&client, &stage, &mut broken).await?;
    let second = operator.usage()?;
    println!("operator: {second}");
    operator.stop().await?;

    for (which, usage) in [("operator", first), ("restarted operator", second)] {
        if usage.peak >= MEMORY {
            broken.push(format!("{which}: {} MiB at its peak, not below 256", usage.peak >> 20));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    println!("passed");
    Ok(())
}

async fn broker_sets(client: &Client, load: &Load) -> Result<()> {
    let ready = Readiness::<BrokerSet>::watch(client.clone());
    let start = Instant::now();
    load.make_broker_sets().await?;
    ready.reach(load.broker_sets, PATIENCE).await?;
    println!("{} BrokerSets are Ready after {:.0?}", load.broker_sets, start.elapsed());
    Ok(())
}

async fn topics(client: &Client, load: &Load, broken: &mut Vec<String>) -> Result<()> {
    let ready = Readiness::<Topic>::watch(client.clone());
    let start = Instant::now();
    let created = load.make_topics().await?;
    let took = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = created.len() as f64 / took.as_secs_f64();
    println!("{} Topics made in {took:.0?}: {rate:.1} per second", created.len());
    ready.reach(created.len(), PATIENCE).await?;
    let seen = ready.latencies(&created);
    let told = ready.told();
    println!("create-to-Ready as a watch sees it:  {seen}");
    println!("create-to-Ready by times in objects: {told} (whole seconds)");
    if seen.p99 >= LONGEST {
        broken.push(format!("p99 of create-to-Ready is {:.1?}, not below {LONGEST:?}", seen.p99));
    }
    Ok(())
}

/// Waits until nobody writes any more.
async fn settle(client: &Client) -> Result<()> {
    let start = Instant::now();
    let mut before = Writes::count(client).await?;
    while start.elapsed() < PATIENCE {
        sleep(QUIET).await;
        let now = Writes::count(client).await?;
        if now.since(&before).is_none() {
            return Ok(());
        }
        before = now;
    }
    bail!("the operator still writes {PATIENCE:?} after all Topics were Ready")
}

/// Has everything compared with every broker, and counts what is written meanwhile.
async fn resync(client: &Client, stage: &Stage, broken: &mut Vec<String>) -> Result<()> {
    let before = Writes::count(client).await?;
    stage.touch_all();
    let start = Instant::now();
    while !stage.all_were_read() || start.elapsed() < TWO_RESYNCS {
        ensure!(start.elapsed() < PATIENCE, "not all brokers were asked within {PATIENCE:?}");
        sleep(Duration::from_secs(1)).await;
    }
    let written = Writes::count(client).await?.since(&before);
    let (topics, took) = (stage.topics(), start.elapsed());
    match written {
        None => println!("{topics} topics compared in {took:.0?}, nothing written"),
        Some(what) => broken.push(format!("written during {took:.0?} of resyncs: {what}")),
    }
    Ok(())
}
