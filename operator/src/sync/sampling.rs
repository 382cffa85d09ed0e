//! Asking masters who is in a group, and how far it is.

use std::collections::{BTreeSet, HashMap};

use futures::future::join_all;
use rocketkube_client::protocol::ResponseCode;
use rocketkube_client::{Admin, ClientError};

use super::lag::Sample;
use super::masters::Masters;

/// Groups that are asked about at a time.
const AT_ONCE: usize = 16;

/// Samples groups on all masters. A group is left out if a master did not answer for it: half a lag
/// is worse than an older one.
pub(crate) async fn sample(
    masters: &mut Masters,
    groups: &BTreeSet<String>,
) -> HashMap<String, Sample> {
    let mut samples = HashMap::new();
    let groups: Vec<&String> = groups.iter().collect();
    for part in groups.chunks(AT_ONCE) {
        if !masters.all_reached() {
            break;
        }
        let admin = masters.admin();
        let addrs: Vec<(i32, String)> = masters
            .reached()
            .into_iter()
            .filter_map(|index| Some((index, masters.addr(index)?.to_owned())))
            .collect();
        let asked = part.iter().map(|group| one(admin, &addrs, group));
        for (group, sampled) in part.iter().zip(join_all(asked).await) {
            match sampled {
                Ok(sample) => drop(samples.insert((*group).clone(), sample)),
                // A group that a broker does not have yet has nobody and no lag to tell of.
                Err((_, ClientError::Refused { .. })) => {}
                Err((index, error)) => masters.failed(index, &error),
            }
        }
    }
    samples
}

async fn one(
    admin: &Admin,
    addrs: &[(i32, String)],
    group: &str,
) -> Result<Sample, (i32, ClientError)> {
    let mut sample = Sample::default();
    for (index, addr) in addrs {
        let at = |error: ClientError| (*index, error);
        match admin.members(addr, group).await {
            Ok(members) => sample.add_members(&members),
            Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE) => {}
            Err(error) => return Err(at(error)),
        }
        let progress = admin.consume_stats(addr, group, None).await.map_err(at)?;
        for topic in sample.add_progress(&progress) {
            let span = admin.time_span(addr, group, &topic).await.map_err(at)?;
            sample.add_ages(&topic, &span);
        }
    }
    Ok(sample)
}
