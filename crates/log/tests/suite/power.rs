//! Power loss, simulated: of what was written since the last flush, any sectors may be missing.

use rand::{Rng, RngExt};
use rocketkube_log::Options;

use crate::support::*;

const SECTOR: usize = 512;
const SMALL: u64 = Options::MIN_SEGMENT_SIZE;

/// `now` with each unflushed sector either as it is or as it was flushed.
fn lose_power(flushed: &Image, now: &Image, random: &mut impl Rng) -> Image {
    let mut image = now.clone();
    // Not a coin for each: losing nearly all, or nearly nothing, is as likely as losing half.
    let kept = random.random_range(0.0..1.0);
    for name in now.names() {
        let (after, none) = (now.get(&name).unwrap(), Vec::new());
        let before = flushed.get(&name).unwrap_or(&none);
        let mut bytes = after.clone();
        for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            let at = number * SECTOR;
            // A file that was made since: its header and length were flushed with it.
            let is_header = name.extension().is_some_and(|e| e == "seg") && at < 4096;
            if !is_header && !random.random_bool(kept) {
                let old = before.get(at..).unwrap_or_default();
                let length = old.len().min(sector.len());
                sector[..length].copy_from_slice(&old[..length]);
                sector[length..].fill(0);
            }
        }
        image.set(&name, bytes);
    }
    image
}

#[test]
fn everything_durable_survives_any_loss_of_unflushed_sectors() {
    let mut random = random();
    for round in 0..40 {
        let dir = fast_dir();
        let options = || Options { segment_size: SMALL, ..Options::new(dir.path()) };
        let (log, _) = open(options());
        let (mut tag, mut flushed_items) = (0, Vec::new());
        let mut some = |log: &rocketkube_log::Log<Memory>, random: &mut rand::rngs::StdRng| {
            for _ in 0..random.random_range(1..12) {
                append(log, tag, random.random_range(40..4000));
                tag += 1;
            }
        };
        some(&log, &mut random);
        log.flush_to(log.appended()).unwrap();
        flushed_items.extend(items(&log));
        let durable = log.durable();
        let flushed = Image::of(dir.path());
        some(&log, &mut random);
        let written = items(&log);
        drop(log);
        let now = Image::of(dir.path());
        for loss in 0..15 {
            lose_power(&flushed, &now, &mut random).restore(dir.path());
            let (log, recovery) = open(options());
            let found = items(&log);
            assert!(found.starts_with(&flushed_items), "round {round} loss {loss}");
            assert!(found.iter().all(|item| written.contains(item)), "round {round} loss {loss}");
            let below = recovery.damage.iter().find(|d| d.range.start < durable);
            assert_eq!(below, None, "round {round} loss {loss}");
            let next = append(&log, 1 << 40, 100).start;
            assert!(found.iter().all(|&(offset, _)| offset < next));
            log.close().unwrap();
            drop(log);
            let (log, recovery) = open(options());
            let again = items(&log);
            assert_eq!(again[..found.len()], found, "round {round} loss {loss}");
            assert_eq!(again.len(), found.len() + 1, "round {round} loss {loss}: {recovery:?}");
        }
    }
}
