//! What goes back to whoever asked.

use rocketkube_protocol::code::ResponseCode;
use rocketkube_protocol::{ExtWriter, HeaderForm, Request, Response};

use crate::refusal::Refusal;

/// How to answer one request: kept while a send waits for the disk or a pull for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    form: HeaderForm,
    opaque: i32,
    oneway: bool,
}

impl Answer {
    pub(crate) fn to(request: &Request<'_>) -> Self {
        Self { form: request.form, opaque: request.opaque, oneway: request.is_oneway() }
    }

    /// Whether nobody waits for this answer.
    pub(crate) fn is_oneway(self) -> bool {
        self.oneway
    }

    fn response(self, code: ResponseCode) -> Response<'static> {
        Response { form: self.form, code, opaque: self.opaque, remark: None }
    }

    /// Appends a whole answer, unless the request was one-way.
    pub(crate) fn write(
        self,
        buffer: &mut Vec<u8>,
        code: ResponseCode,
        remark: Option<&str>,
        fields: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) {
        if !self.oneway {
            let response = self.response(code);
            Response { remark, ..response }.write(buffer, fields, body);
        }
    }

    /// Appends the head of a successful answer; `body_len` bytes follow by the caller if this is
    /// true. False: the request was one-way, or the answer too long for a frame.
    pub(crate) fn write_head(
        self,
        buffer: &mut Vec<u8>,
        fields: impl FnOnce(&mut ExtWriter<'_>),
        body_len: usize,
    ) -> bool {
        !self.oneway && self.response(ResponseCode::SUCCESS).write_head(buffer, fields, body_len)
    }

    /// Says why not.
    pub(crate) fn refuse(self, buffer: &mut Vec<u8>, refusal: &impl Refusal) {
        self.write(buffer, refusal.code(), Some(&refusal.to_string()), |_| (), &[]);
    }
}

/// A successful answer of a request that is not on the hot path.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The answer must not leave before the log is confirmed up to here.
    pub(crate) after: u64,
}

impl Reply {
    /// An answer that says nothing but yes.
    pub(crate) fn done() -> Self {
        Self::default()
    }

    /// Yes, once the log is confirmed up to `position`.
    pub(crate) fn after(position: u64) -> Self {
        Self { after: position, ..Self::default() }
    }

    pub(crate) fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    #[must_use]
    pub(crate) fn field(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.fields.push((name, format!("{value}")));
        self
    }

    pub(crate) fn write(&self, answer: Answer, buffer: &mut Vec<u8>) {
        let fields = |writer: &mut ExtWriter<'_>| {
            for (name, value) in &self.fields {
                writer.field(name, value.as_str());
            }
        };
        answer.write(buffer, ResponseCode::SUCCESS, None, fields, &self.body);
    }
}
