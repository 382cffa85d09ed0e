//! Objects that this operator cannot read, because their fields are of another version. They are left
//! alone, but what is being deleted shall not hold up its namespace for ever: its finalizer is ours, and
//! nobody else takes it away.

use std::convert::Infallible;
use std::time::Duration;

use kube::{Resource as _, ResourceExt as _};
use tokio::time::sleep;

use super::declared::Declared;
use super::stores::{Cache, Guard};
use super::worker::Shared;
use super::write::Writer;
use crate::context::News;

/// How often it is looked for them. There are hardly ever any, and nobody waits for a minute of it.
const ROUND: Duration = Duration::from_secs(20);

/// Lets go what cannot be read and is being deleted, for as long as it is polled.
pub(crate) async fn sweep(shared: &Shared) -> Infallible {
    let writer = Writer { context: &shared.context, permits: &shared.permits };
    loop {
        let_go(&writer, &shared.stores.topics).await;
        let_go(&writer, &shared.stores.groups).await;
        sleep(ROUND).await;
    }
}

async fn let_go<D: Declared>(writer: &Writer<'_>, cache: &Cache<D>) {
    let is_ending = |guard: &Guard<D>| {
        guard.meta().deletion_timestamp.is_some()
            && guard.finalizers().iter().any(|finalizer| finalizer == D::FINALIZER)
    };
    for guard in cache.unreadable().iter().filter(|guard| is_ending(guard)) {
        let note = "it is being deleted and cannot be read: what brokers have of it is left";
        if writer.finalizer::<D>(guard.meta(), false).await {
            writer.event(&**guard, News::warning("FinalizerDropped", note.to_owned())).await;
        }
    }
}
