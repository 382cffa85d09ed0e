//! Key-value configuration, and the settings that may be changed while the name server runs.

use std::sync::Arc;

use rocketkube_protocol::body::KvTable;
use rocketkube_protocol::{Body, HeaderForm, Request, Response, ResponseCode, header};
use tracing::info;

use super::{Answer, Handled, Handler, Outcome, Refusal, Session, write};
use crate::disk::DiskError;
use crate::kept::Kept;
use crate::settings::{changes, properties};

impl Handler {
    /// `PUT_KV_CONFIG` (100).
    pub(super) fn put_value(&self, session: &Session, request: &Request<'_>) -> Handled {
        let header = request.header::<header::PutKv<'_>>()?;
        let put = |kept: &mut Kept| Ok(kept.put(&header.namespace, &header.key, &header.value)?);
        self.change(session, request, put)
    }

    /// `GET_KV_CONFIG` (101).
    pub(super) fn value(&self, request: &Request<'_>) -> Handled {
        let header = request.header::<header::KvKey<'_>>()?;
        let kept = self.keeper.kept();
        let Some(value) = kept.get(&header.namespace, &header.key) else {
            let (namespace, key) = (header.namespace.into_owned(), header.key.into_owned());
            return Err(Refusal::NoValue { namespace, key });
        };
        Ok(Answer::field("value", &value).into())
    }

    /// `DELETE_KV_CONFIG` (102); what is not there counts as deleted.
    pub(super) fn delete_value(&self, session: &Session, request: &Request<'_>) -> Handled {
        let header = request.header::<header::KvKey<'_>>()?;
        // A deletion that is not on disk yet has to be waited for, by those who repeat it too.
        let absent = self.keeper.kept().get(&header.namespace, &header.key).is_none();
        if absent && self.keeper.is_saved() {
            return Ok(Answer::default().into());
        }
        self.change(session, request, |kept| {
            kept.delete(&header.namespace, &header.key);
            Ok(())
        })
    }

    /// `GET_KVLIST_BY_NAMESPACE` (219).
    pub(super) fn values(&self, request: &Request<'_>) -> Handled {
        let namespace = request.header::<header::KvNamespace<'_>>()?.namespace;
        let kept = self.keeper.kept();
        let Some(table) = kept.namespace(&namespace).cloned() else {
            return Err(Refusal::NoValue { namespace: namespace.into_owned(), key: "*".into() });
        };
        Ok(Answer::body(KvTable { table }.encode()).into())
    }

    /// `UPDATE_NAMESRV_CONFIG` (318): all of the changes, or none.
    pub(super) fn change_settings(&self, session: &Session, request: &Request<'_>) -> Handled {
        let changes = changes(request.body)?;
        if changes.is_empty() {
            return Ok(Answer::default().into());
        }
        info!(remote = %session.peer.remote(), ?changes, "settings changed by request");
        self.change(session, request, |kept| {
            kept.change(&changes);
            Ok(())
        })
    }

    /// `GET_NAMESRV_CONFIG` (319).
    pub(super) fn show_settings(&self) -> Outcome {
        Answer::body(properties(self.settings(), self.listen_port).into_bytes()).into()
    }

    /// Changes what is kept, and answers once that is on disk.
    fn change(
        &self,
        session: &Session,
        request: &Request<'_>,
        change: impl FnOnce(&mut Kept) -> Result<(), Refusal>,
    ) -> Handled {
        let (peer, deferral) = (Arc::clone(&session.peer), session.peer.defer());
        let (form, opaque, wanted) = (request.form, request.opaque, !request.is_oneway());
        let answer = move |saved: Result<(), &DiskError>| {
            if wanted {
                // A peer that is gone will ask again what was kept.
                let _ = peer.send(&answer_saved(form, opaque, saved));
            }
            drop(deferral);
        };
        self.keeper.change(change, answer)?;
        Ok(Outcome::Later)
    }
}

fn answer_saved(form: HeaderForm, opaque: i32, saved: Result<(), &DiskError>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let response = Response { form, code: ResponseCode::SUCCESS, opaque, remark: None };
    match saved {
        Ok(()) => write(&response, &Answer::default(), &mut bytes),
        Err(error) => {
            let remark = format!("the change is not on disk yet: {}", error.root());
            let response = Response { code: ResponseCode::SYSTEM_ERROR, ..response };
            response.remark(&remark).write(&mut bytes, |_| (), &[]);
        }
    }
    bytes
}
