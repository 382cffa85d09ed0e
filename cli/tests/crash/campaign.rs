//! Rounds of kills: each round has a data directory of its own, so that what is compared stays
//! bounded however many kills there are.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rand::{Rng as _, RngExt as _, rngs::StdRng};
use rocketkube_testkit::{
    Dev, Flush, Group, History, Kind, Position, ProcessError, Ready, Recorder, RunningDev, Seed,
    Wire,
    check::{Rules, check},
};

use crate::{
    PATIENCE,
    answers::{Answers, Questions},
    load::{CONNECTIONS, Load, Plan, UnknownBatch},
    names::{READER, committer, drain, positions},
    survey::{Places, Survey},
};

/// Cycles that share a data directory.
const ROUND: u64 = 100;
/// Cycles between two readings of everything.
const FULL_EVERY: u64 = 25;
/// Cycles after which one more topic is created by being sent to.
const TOPIC_EVERY: u64 = 10;
const FIRST_TOPICS: u16 = 3;
/// Acknowledged messages without which a cycle shows nothing.
const LEAST_ACKNOWLEDGED: usize = 1_000;
/// How long a cycle may take to get that many.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);
/// Messages and milliseconds from that many to the end, whichever are over first: the end comes at
/// any moment of a flush, and a fast machine does not only make more to read.
const MOST_MORE: usize = 6_000;
const LONGEST_RUN: u64 = 200;
/// Between looks at whether the server is still there.
const LOOK: Duration = Duration::from_millis(20);
/// A start that is killed is killed before it serves, or then, in milliseconds.
const LONGEST_START: u64 = 60;
/// A stop under load must be over by then.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Void cycles that a round may repeat.
const MOST_VOID: u32 = 5;

/// Folders below the data directory that may be deleted at any time.
const DERIVED: [&str; 2] = ["index", "snapshot"];

/// How a cycle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Kill,
    Stop,
}

/// A number of cycles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Campaign {
    pub(crate) seed: Seed,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) ending: Ending,
}

impl Campaign {
    pub(crate) fn run(self) -> Result<()> {
        let mut from = self.from;
        let mut acknowledged = 0;
        let started = Instant::now();
        while from < self.until {
            let until = self.until.min(from + ROUND);
            let mut round = Round::new(self, from)?;
            let result = (from..until).try_for_each(|cycle| round.cycle(cycle));
            let result = result.and_then(|()| round.finish());
            if result.is_err() {
                round.server.keep();
            }
            let data = round.server.data().display();
            acknowledged += result
                .with_context(|| format!("cycles {from} to {until}, data directory {data}"))?;
            eprintln!(
                "{} cycles ended by {:?}, {acknowledged} messages acknowledged, lost 0, altered 0, \
                 offsets reused 0, {:.0?}; go on with ROCKETKUBE_CRASH_SEED={} \
                 ROCKETKUBE_CRASH_FROM={until}",
                until - self.from,
                self.ending,
                started.elapsed(),
                self.seed.0,
            );
            from = until;
        }
        Ok(())
    }
}

struct Round {
    campaign: Campaign,
    rng: StdRng,
    run: u64,
    server: Dev,
    recorder: Recorder,
    /// Everything since the round began.
    history: History,
    batches: Vec<UnknownBatch>,
    /// How far [`READER`] has read.
    places: Places,
    progress: HashMap<(Group, Position), i64>,
    topics: u16,
    producers: u32,
    drains: u16,
    voids: u32,
    any_load: bool,
}

impl Round {
    fn new(campaign: Campaign, from: u64) -> Result<Self> {
        let mut rng = campaign.seed.part(from);
        Ok(Self {
            campaign,
            run: rng.next_u64(),
            rng,
            server: Dev::new(env!("CARGO_BIN_EXE_rkctl"))?,
            recorder: Recorder::in_memory(),
            history: History::default(),
            batches: Vec::new(),
            places: Places::new(),
            progress: HashMap::new(),
            topics: FIRST_TOPICS,
            producers: 0,
            drains: 0,
            voids: 0,
            any_load: false,
        })
    }

    /// Starts the server, looks at what the last cycle left, loads it and ends it.
    fn cycle(&mut self, cycle: u64) -> Result<()> {
        let flush = if cycle.is_multiple_of(2) { Flush::Sync } else { Flush::Async };
        self.started_cycle(cycle, flush).with_context(|| format!("cycle {cycle}, flush {flush:?}"))
    }

    fn started_cycle(&mut self, cycle: u64, flush: Flush) -> Result<()> {
        if cycle.is_multiple_of(5) {
            self.kill_while_it_starts(flush)?;
        }
        let mut running = self.server.start(flush, &mut self.rng)?;
        if self.any_load {
            self.look(&running)?;
            if cycle.is_multiple_of(FULL_EVERY) {
                running = self.look_at_everything(running, flush)?;
            }
        } else {
            let mut survey = self.survey(&running)?;
            (0..CONNECTIONS)
                .try_for_each(|connection| survey.create_group(committer(connection)))?;
        }
        if cycle.is_multiple_of(TOPIC_EVERY) {
            self.topics += 1;
        }
        loop {
            let acknowledged = self.load(running, cycle)?;
            if acknowledged >= LEAST_ACKNOWLEDGED {
                return Ok(());
            }
            self.voids += 1;
            ensure!(self.voids <= MOST_VOID, "{} void cycles", self.voids);
            running = self.server.start(flush, &mut self.rng)?;
        }
    }

    /// A recovery that is killed must leave what the next one needs.
    fn kill_while_it_starts(&mut self, flush: Flush) -> Result<()> {
        let mut running = self.server.launch(flush, &mut self.rng)?;
        let patience = Duration::from_millis(self.rng.random_range(0..LONGEST_START));
        match running.process.wait_ready(&Ready::Port(running.broker), patience) {
            Ok(_) | Err(ProcessError::NotReady { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        running.process.kill()?;
        self.recorder.lane(0).fault();
        Ok(())
    }

    /// Loads a server until it has shown enough, ends it at a random moment; gives the number of
    /// acknowledged messages.
    fn load(&mut self, mut running: RunningDev, cycle: u64) -> Result<usize> {
        let plan = Plan {
            broker: running.broker,
            run: self.run,
            first_producer: self.producers,
            topics: self.topics,
            large_bodies: cycle % 4 >= 2,
            seed: self.campaign.seed,
            progress: self.progress.clone(),
        };
        self.producers += u32::from(CONNECTIONS);
        self.any_load = true;
        let load = Load::start(&plan, &self.recorder)?;
        let deadline = Instant::now() + LOAD_PATIENCE;
        while load.wait_for(LEAST_ACKNOWLEDGED, LOOK) < LEAST_ACKNOWLEDGED
            && Instant::now() < deadline
        {
            if let Some(status) = running.process.try_wait()? {
                bail!("ended with {status} under load:\n{}", running.process.output());
            }
        }
        let wanted = LEAST_ACKNOWLEDGED + self.rng.random_range(0..=MOST_MORE);
        load.wait_for(wanted, Duration::from_millis(self.rng.random_range(0..=LONGEST_RUN)));
        self.recorder.lane(0).fault();
        match self.campaign.ending {
            Ending::Kill => drop(running.process.kill()?),
            Ending::Stop => {
                let (status, _) = running.process.terminate(STOP_PATIENCE)?;
                ensure!(status.success(), "stopped with {status}");
            }
        }
        let acknowledged = load.acknowledged();
        self.batches.extend(load.finish()?);
        Ok(acknowledged)
    }

    /// Reads what is new and checks it against the load before.
    fn look(&mut self, running: &RunningDev) -> Result<()> {
        let mut survey = self.survey(running)?;
        let mut ends = Places::new();
        for at in positions(self.topics) {
            ends.insert(at, survey.bounds(at)?.1);
        }
        survey.read(READER, &mut self.places, &ends, |_| ())?;
        self.progress.clear();
        for group in (0..CONNECTIONS).map(committer) {
            for at in positions(self.topics) {
                if let Some(offset) = survey.progress(group, at)? {
                    self.progress.insert((group, at), offset);
                }
            }
        }
        drop(survey);
        self.judge_latest()?;
        self.carry_over();
        Ok(())
    }

    /// Checks what happened since the last look: what that look found, a load, its end, this look.
    fn judge_latest(&mut self) -> Result<()> {
        let latest = self.recorder.take()?;
        whole_batches(&latest, &std::mem::take(&mut self.batches))?;
        check(&latest, &Rules::drained_by(READER))?;
        self.history.extend(&latest);
        Ok(())
    }

    /// Begins the next cycle's history with what this one ended with: bounds and progress that
    /// were shown must not fall.
    fn carry_over(&self) {
        let mut lane = self.recorder.lane(0);
        for (at, end) in &self.places {
            lane.highest(lane.now(), *at, *end);
        }
        for ((group, at), offset) in &self.progress {
            let op = lane.commit(*group, *at, *offset);
            lane.committed(op);
        }
    }

    /// Reads everything with a group that has never read, deletes the derived files, and does it
    /// again.
    fn look_at_everything(&mut self, running: RunningDev, flush: Flush) -> Result<RunningDev> {
        let mut questions =
            Questions { groups: (0..CONNECTIONS).map(committer).collect(), ..Questions::default() };
        let before = self.drain(&running, &mut questions, true)?;
        if self.rng.random_bool(0.5) {
            running.process.kill()?;
        } else {
            running.process.terminate(STOP_PATIENCE)?;
        }
        let deleted = delete_derived(self.server.data())?;
        ensure!(deleted > 0, "no {DERIVED:?} below the data directory");
        let running = self.server.start(flush, &mut self.rng)?;
        let after = self.drain(&running, &mut questions, false)?;
        before.ensure_equal(&after).context("derived files were deleted")?;
        Ok(running)
    }

    /// Reads everything with a new group and checks the whole round.
    fn drain(
        &mut self,
        running: &RunningDev,
        questions: &mut Questions,
        learn: bool,
    ) -> Result<Answers> {
        let group = drain(self.drains);
        self.drains += 1;
        let mut survey = self.survey(running)?;
        let ends = self.places.clone();
        let mut answers = Answers::default();
        survey.read(group, &mut Places::new(), &ends, |read| {
            answers.see(read);
            if learn {
                questions.learn(read);
            }
        })?;
        answers.ask(&mut survey, questions, &ends)?;
        drop(survey);
        // What a carry over recorded belongs to both histories; the reading only to this check.
        let carried = self.recorder.take()?;
        let kept = self.history.events().len();
        self.history.extend(&carried);
        let verdict = check(&self.history, &Rules::drained_by(group));
        self.history.truncate(kept);
        ensure!(verdict?.commits > 0, "no commit was acknowledged");
        self.carry_over();
        Ok(answers)
    }

    fn survey(&self, running: &RunningDev) -> Result<Survey> {
        let wire = Wire::connect(running.broker, PATIENCE)?;
        Ok(Survey::new(wire, self.recorder.lane(CONNECTIONS), self.run))
    }

    /// Looks at what the last cycle left, and at everything once more; gives the number of
    /// acknowledged messages.
    fn finish(&mut self) -> Result<usize> {
        let running = self.server.start(Flush::Sync, &mut self.rng)?;
        self.look(&running)?;
        let running = self.look_at_everything(running, Flush::Async)?;
        running.process.terminate(STOP_PATIENCE)?;
        Ok(self.history.events().iter().filter(|event| event.kind == Kind::Ok).count())
    }
}

/// A batch is stored as a whole or not at all.
fn whole_batches(history: &History, batches: &[UnknownBatch]) -> Result<()> {
    let mut stored: Vec<(u32, u64, i64)> = history
        .events()
        .iter()
        .filter(|event| event.kind == Kind::Deliver)
        .map(|event| (event.producer, event.sequence, event.offset))
        .collect();
    stored.sort_unstable();
    for batch in batches {
        let from = stored.partition_point(|&(p, s, _)| (p, s) < (batch.producer, batch.first));
        let end = batch.first + batch.len;
        let to = stored.partition_point(|&(p, s, _)| (p, s) < (batch.producer, end));
        let part = &stored[from..to];
        let together = part.windows(2).all(|pair| pair[0].2 + 1 == pair[1].2);
        let whole = part.is_empty() || part.len() as u64 == batch.len;
        ensure!(whole && together, "batch {batch:?} is stored as {part:?}");
    }
    Ok(())
}

/// Gives the number of folders deleted.
fn delete_derived(dir: &Path) -> Result<usize> {
    let mut deleted = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if DERIVED.iter().any(|name| entry.file_name() == *name) {
            fs::remove_dir_all(entry.path())?;
            deleted += 1;
        } else {
            deleted += delete_derived(&entry.path())?;
        }
    }
    Ok(deleted)
}
