//! What decoding costs in memory: nothing for an ordinary request, and a bounded multiple of the
//! input for a hostile one.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::alloc::System;
use std::fs;

use rocketkube_protocol::batch::Batch;
use rocketkube_protocol::body::*;
use rocketkube_protocol::header::{PullMessage, SendMessage};
use rocketkube_protocol::record::records;
use rocketkube_protocol::{Body, Command, Request, frame};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often `work` allocates, and how many bytes in all, growing included.
fn cost<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let region = Region::new(ALLOCATOR);
    let result = work();
    let change = region.change();
    drop(result);
    (change.allocations + change.reallocations, change.bytes_allocated)
}

fn captured(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/java-5.4.0");
    fs::read(format!("{folder}/{name}.frame")).unwrap()
}

/// A frame, without its length field, around a header.
fn framed(form: u8, header: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(header.len()).unwrap().to_be_bytes().to_vec();
    frame[0] = form;
    frame.extend_from_slice(header);
    frame
}

fn ordinary_requests_are_decoded_in_place() {
    for (name, allowed) in [("11-request", 0), ("310-request-binary", 0), ("310-request", 1)] {
        let bytes = captured(name);
        let frame = &bytes[frame::LENGTH_FIELD..];
        let pull = name.starts_with("11");
        let (count, _) = cost(|| {
            let request = Request::decode(frame).unwrap();
            if pull {
                assert!(request.header::<PullMessage>().is_ok());
            } else {
                assert!(request.header::<SendMessage>().is_ok());
            }
        });
        // The properties of a JSON header have escapes that have to be resolved somewhere.
        assert!(count <= allowed, "{name}: {count}");
    }
    let bytes = captured("11-answer");
    let answer = Command::decode(&bytes[4..]).unwrap();
    let (count, _) = cost(|| assert_eq!(records(&answer.body).flatten().count(), 3));
    assert_eq!(count, 0, "records are read in place");
}

fn hostile_headers_cost_no_more_than_a_few_times_their_size() {
    let fields = "\"a\":\"\",".repeat(100_000);
    let headers: Vec<Vec<u8>> = vec![
        framed(0, "[".repeat(1_000_000).as_bytes()),
        framed(0, format!("{{\"extFields\":{{{fields}").as_bytes()),
        framed(0, format!("{{\"remark\":\"{}\"}}", "\\u0041".repeat(100_000)).as_bytes()),
        framed(0, format!("{{\"code\":{}}}", "9".repeat(1_000_000)).as_bytes()),
        framed(1, &[0x7f; 100_000]),
    ];
    for frame in headers {
        let (_, bytes) = cost(|| Command::decode(&frame));
        assert!(bytes <= 2 * frame.len() + 4096, "{} bytes cost {bytes}", frame.len());
    }
}

fn hostile_lengths_cost_nothing() {
    for length in [i32::MAX, i32::MIN, -1] {
        let bytes = length.to_be_bytes().repeat(100);
        assert!(cost(|| records(&bytes).count()).1 == 0);
        assert!(cost(|| Batch::parse(&bytes).is_ok()).1 == 0);
        assert!(cost(|| frame::split(&bytes).is_ok()).1 == 0);
    }
}

fn hostile_bodies_cost_a_bounded_multiple_of_their_size() {
    let many = |element: &str| vec![element; 50_000].join(",");
    let bodies = [
        format!("{{\"consumerDataSet\":[{}]}}", many("{}")),
        format!("{{\"consumerDataSet\":[{}]}}", many("{\"groupName\":\"g\"}")),
        format!("{{\"offsetTable\":{{{}}}}}", many("{}:0")),
        format!("{{\"offsetTable\":[{}]}}", many("[{},0]")),
        format!("{{\"topicConfigTable\":{{{}}}}}", many("\"t\":{}")),
        format!("{{{}}}", many("a:{b:1}")),
        "[".repeat(1_000_000),
        "{".repeat(1_000_000),
    ];
    for body in bodies {
        let bytes = body.as_bytes();
        let costs = [
            cost(|| HeartbeatData::decode(bytes)),
            cost(|| ResetOffsetBody::decode(bytes)),
            cost(|| TopicConfigTable::decode(bytes)),
            cost(|| RegisterBrokerBody::decode(bytes, false)),
            cost(|| RegisterBrokerBody::decode(bytes, true)),
            cost(|| TopicRouteData::decode(bytes)),
        ];
        for (_, cost) in costs {
            // The sum of what a growing list takes over time is twice what it takes at the end.
            let allowed = 64 * bytes.len() + (1 << 17);
            assert!(cost <= allowed, "{}… of {} cost {cost}", &body[..40], bytes.len());
        }
    }
}

/// One test, because the allocator counts for all threads.
#[test]
fn memory_is_bounded_by_the_input() {
    ordinary_requests_are_decoded_in_place();
    hostile_headers_cost_no_more_than_a_few_times_their_size();
    hostile_lengths_cost_nothing();
    hostile_bodies_cost_a_bounded_multiple_of_their_size();
}
