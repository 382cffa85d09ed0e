//! Opening a store: what is known already, then the log from there on.

use std::sync::{Arc, mpsc};

use rocketkube_log::{Log, Recovery};

use crate::{
    error::OpenError, machine::Dispatcher, options::Options, queue::Shore, store::Store,
    tables::Tables,
};

/// What opening found.
#[derive(Debug)]
pub struct Opening {
    pub log: Recovery,
}

pub(crate) fn open(options: Options, _now_ms: i64) -> Result<(Store, Opening), OpenError> {
    let shore = Shore::new(options.store_host);
    let tables = Arc::new(Tables::new(&shore, &options.dir, options.on_arrival));
    let (sealed, _receiver) = mpsc::channel();
    let machine = Dispatcher::new(&tables, 0, sealed);
    let told = Arc::clone(&tables);
    let on_confirmed = options.on_confirmed;
    let confirmed = Box::new(move |position| {
        told.confirm(position);
        on_confirmed(position);
    });
    let log_options = rocketkube_log::Options {
        segment_size: options.segment_size,
        flush: options.flush,
        on_confirmed: confirmed,
        on_failure: options.on_failure,
        faults: options.faults,
        ..rocketkube_log::Options::new(options.dir)
    };
    let (log, recovery) = Log::open(log_options, machine, 0)?;
    if let Some((position, source)) = log.with_machine(Dispatcher::take_refused) {
        return Err(OpenError::State { position, source });
    }
    tables.confirm(log.confirmed());
    Ok((Store::new(tables, log), Opening { log: recovery }))
}
