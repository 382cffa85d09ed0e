//! Finding ports that nobody uses.

use std::net::{Ipv4Addr, TcpListener};

use rand::{Rng, RngExt};

/// Why no ports were found.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    #[error("ports {ports:?} plus an offset are taken for {tried} offsets")]
    AllTaken { ports: Vec<u16>, tried: u32 },
}

/// The first port that Linux hands to outgoing connections; above it, a port that is free now may
/// be somebody's end of a connection a moment later.
const FIRST_EPHEMERAL: u16 = 32_768;
const TRIES: u32 = 1_000;

/// An offset at which every one of these ports can be bound on loopback right now.
///
/// Another process may take one before the caller does; a caller that loses this race asks again.
pub fn free_offset(ports: &[u16], rng: &mut impl Rng) -> Result<u16, PortsError> {
    let highest = ports.iter().copied().max().unwrap_or(0);
    let limit = FIRST_EPHEMERAL.saturating_sub(highest).max(2);
    for _ in 0..TRIES {
        let offset = rng.random_range(1..limit);
        if ports.iter().all(|port| is_free(port.saturating_add(offset))) {
            return Ok(offset);
        }
    }
    Err(PortsError::AllTaken { ports: ports.to_vec(), tried: TRIES })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_with_a_taken_port_is_not_given() {
        let mut rng = rand::rng();
        let offset = free_offset(&[9876, 10911], &mut rng).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 9876 + offset)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
        assert_ne!(free_offset(&[9876, 10911], &mut rng).unwrap(), offset);
    }
}
