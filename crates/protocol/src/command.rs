//! One remoting command: borrowed for reading, written straight into an output buffer, or owned.
//!
//! A command has a code, an `opaque` number by which an answer finds its request, a flag, an
//! optional remark, text fields that depend on the code, and a body. The fields are given a type by
//! [`crate::header`], bodies by [`crate::body`].

use std::borrow::Cow;

use crate::code::{RequestCode, ResponseCode};
use crate::ext::{ExtFields, ExtWriter};
use crate::frame::{self, FrameError, LENGTH_FIELD, MAX_FRAME};
use crate::head::Head;
use crate::header::{Header, HeaderError};
use crate::json::JsonError;
use crate::peer::{Language, version};

/// Flag bit: the command is a response.
const RESPONSE: i32 = 1;
/// Flag bit: the sender does not wait for a response.
const ONEWAY: i32 = 2;

/// How a command's header is written. Each frame says its own; we answer in the form of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HeaderForm {
    /// A JSON object; what every client uses unless told otherwise.
    #[default]
    Json,
    /// The compact form that RocketMQ calls `ROCKETMQ`. Codes have 16 bits here.
    Binary,
}

/// Why bytes are not a command. The peer and we no longer agree on what the bytes mean, so the
/// answer to any of these is to close the connection. Fields that are wrong for a request's code are
/// another matter: see [`HeaderError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame does not hold together.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A JSON header is not UTF-8.
    #[error("json header is not UTF-8 after byte {valid_up_to}")]
    NotUtf8 {
        /// Bytes that are.
        valid_up_to: usize,
    },
    /// A JSON header is not a JSON object of a bearable shape.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member of a JSON header is not a 32-bit integer.
    #[error("header member {member} is not a 32-bit integer")]
    NotAnInteger {
        /// Name of the member.
        member: &'static str,
    },
    /// A part of a binary header does not fit into what is left of the header.
    #[error("{part} of the binary header has an impossible length")]
    Length {
        /// Which part.
        part: &'static str,
    },
    /// A binary header has more fields than anybody needs.
    #[error("binary header has more than {max} fields")]
    TooManyFields {
        /// The limit.
        max: usize,
    },
}

/// Any incoming command, borrowed from its frame.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Form of the header; answer in the same.
    pub form: HeaderForm,
    /// What is asked; of a response, its [`response_code`](Self::response_code) as a number.
    pub code: RequestCode,
    /// Language of the sender.
    pub language: Language,
    /// Version ordinal of the sender, see [`version`]; any number is possible.
    pub version: i32,
    /// Number chosen by the sender, to be repeated in the answer.
    pub opaque: i32,
    /// Bits, see [`is_response`](Self::is_response) and [`is_oneway`](Self::is_oneway).
    pub flag: i32,
    /// Free text; an empty one counts as none.
    pub remark: Option<Cow<'a, str>>,
    /// Fields that depend on the code.
    pub ext: ExtFields<'a>,
    /// What follows the header; empty if there is no body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Decodes a frame from [`frame::split`], without its length field.
    ///
    /// # Errors
    /// If the bytes are no command, which is a reason to close the connection.
    pub fn decode(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let (form, header, body) = frame::parts(frame)?;
        let head = Head::decode(form, header)?;
        Ok(Self {
            form,
            code: RequestCode(head.code),
            language: head.language,
            version: head.version,
            opaque: head.opaque,
            flag: head.flag,
            remark: head.remark,
            ext: head.ext,
            body,
        })
    }

    /// Whether this answers a request of ours.
    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE != 0
    }

    /// Whether the sender does not want an answer. Go clients do not set this bit.
    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY != 0
    }

    /// The code of a response.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code.0)
    }

    /// Decodes the fields as the header of the code.
    ///
    /// # Errors
    /// If a field is missing or cannot be what it should be; answer with the error as remark.
    pub fn header<H: Header<'a>>(&self) -> Result<H, HeaderError> {
        H::decode(&self.ext)
    }

    /// The beginning of the answer to this request.
    pub fn answer(&self, code: ResponseCode) -> Response<'static> {
        Response { form: self.form, code, opaque: self.opaque, remark: None }
    }
}

/// An answer, written straight into the bytes that go out.
///
/// It says language `JAVA` (older Java clients fail on names they do not know) and version
/// [`version::OURS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// Form of the request.
    pub form: HeaderForm,
    /// How the request ended.
    pub code: ResponseCode,
    /// The request's number.
    pub opaque: i32,
    /// Text for people, sometimes shown by tools.
    pub remark: Option<&'a str>,
}

impl<'a> Response<'a> {
    /// The same answer with a remark.
    #[must_use]
    pub fn remark<'b>(&self, remark: &'b str) -> Response<'b> {
        Response { form: self.form, code: self.code, opaque: self.opaque, remark: Some(remark) }
    }

    /// Appends the answer with its fields and body to `out`.
    ///
    /// An answer longer than [`MAX_FRAME`] would make the peer close the connection. Instead of it
    /// goes a `SYSTEM_ERROR` that says how long it was.
    pub fn write(&self, out: &mut Vec<u8>, ext: impl FnOnce(&mut ExtWriter<'_>), body: &[u8]) {
        if self.write_head(out, ext, body.len()) {
            out.extend_from_slice(body);
        }
    }

    /// Appends everything but the body, of which `body_len` bytes have to follow by another way.
    ///
    /// Returns `false` if the answer was too long and an error without a body went in its place, so
    /// that nothing must follow.
    #[must_use]
    pub fn write_head(
        &self,
        out: &mut Vec<u8>,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body_len: usize,
    ) -> bool {
        let start = out.len();
        let written = self.head().write(out, ext, body_len);
        if let Err(FrameTooLong { size }) = written {
            out.truncate(start);
            let remark = format!("answer of {size} bytes is over the frame limit of {MAX_FRAME}");
            let error = Response { code: ResponseCode::SYSTEM_ERROR, ..*self }.remark(&remark);
            let replaced = error.head().write(out, |_| (), 0);
            debug_assert!(replaced.is_ok(), "an error without fields fits any frame");
        }
        written.is_ok()
    }

    fn head(&self) -> Head<'a> {
        Head {
            form: self.form,
            code: self.code.0,
            language: Language::Java,
            version: version::OURS,
            opaque: self.opaque,
            flag: RESPONSE,
            remark: self.remark.map(Cow::Borrowed),
            ext: ExtFields::EMPTY,
        }
    }
}

/// A command would be longer than peers accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("command of {size} bytes is over the frame limit of {MAX_FRAME} bytes")]
pub struct FrameTooLong {
    /// Bytes of the whole frame.
    pub size: usize,
}

/// A command that owns its parts: for clients, for requests of a broker to clients, and for tests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Form of the header.
    pub form: HeaderForm,
    /// Request code, or response code if [`is_response`](Self::is_response).
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Version ordinal of the sender.
    pub version: i32,
    /// Number by which the answer finds the request.
    pub opaque: i32,
    /// Bit 0: response; bit 1: one-way.
    pub flag: i32,
    /// Free text; an empty one counts as none.
    pub remark: Option<String>,
    /// Fields that depend on the code, in the order of the wire.
    pub ext: Vec<(String, String)>,
    /// What follows the header; empty if there is no body.
    pub body: Vec<u8>,
}

impl Command {
    /// A request with the fields of `header`, in JSON form, spoken by us.
    pub fn request<'h>(code: RequestCode, header: &impl Header<'h>) -> Self {
        let mut ext = Vec::new();
        header.encode(&mut ExtWriter::owned(&mut ext));
        Self { code: code.0, version: version::OURS, ext, ..Self::default() }
    }

    /// The same command with a body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same command as one that wants no answer.
    #[must_use]
    pub fn oneway(self) -> Self {
        Self { flag: self.flag | ONEWAY, ..self }
    }

    /// Whether this answers a request.
    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE != 0
    }

    /// Whether the sender does not want an answer.
    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY != 0
    }

    /// The code of a response.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// The fields, to be read one by one.
    pub fn fields(&self) -> ExtFields<'_> {
        ExtFields::owned(&self.ext)
    }

    /// Decodes the fields as the header of the code.
    ///
    /// # Errors
    /// If a field is missing or cannot be what it should be.
    pub fn header<'a, H: Header<'a>>(&'a self) -> Result<H, HeaderError> {
        H::decode(&self.fields())
    }

    /// Decodes a frame from [`frame::split`], without its length field.
    ///
    /// # Errors
    /// If the bytes are no command.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        Request::decode(frame).map(|request| Self::from(&request))
    }

    /// Appends the whole frame, length field included, to `out`.
    ///
    /// # Errors
    /// If it would be longer than peers accept; `out` is then as before.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
        let start = out.len();
        let head = Head {
            form: self.form,
            code: self.code,
            language: self.language,
            version: self.version,
            opaque: self.opaque,
            flag: self.flag,
            remark: self.remark.as_deref().map(Cow::Borrowed),
            ext: ExtFields::EMPTY,
        };
        let fields = |writer: &mut ExtWriter<'_>| {
            for (key, value) in &self.ext {
                writer.field(key, value);
            }
        };
        let written = head.write(out, fields, self.body.len());
        match written {
            Ok(()) => out.extend_from_slice(&self.body),
            Err(_) => out.truncate(start),
        }
        written
    }
}

impl From<&Request<'_>> for Command {
    fn from(request: &Request<'_>) -> Self {
        let ext = request.ext.iter();
        Self {
            form: request.form,
            code: request.code.0,
            language: request.language,
            version: request.version,
            opaque: request.opaque,
            flag: request.flag,
            remark: request.remark.as_deref().map(str::to_owned),
            ext: ext.map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
            body: request.body.to_vec(),
        }
    }
}

impl Head<'_> {
    /// Appends length field, header word and header. On error `out` holds rubbish after its old end.
    fn write(
        &self,
        out: &mut Vec<u8>,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body_len: usize,
    ) -> Result<(), FrameTooLong> {
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        self.encode(out, ext);
        let header = out.len() - start - 8;
        let size = 8_usize.saturating_add(header).saturating_add(body_len);
        // A header that fits the frame also fits the 24 bits of its own length.
        let (Ok(length), Ok(header)) = (u32::try_from(size - LENGTH_FIELD), u32::try_from(header))
        else {
            return Err(FrameTooLong { size });
        };
        if size > MAX_FRAME {
            return Err(FrameTooLong { size });
        }
        let form = match self.form {
            HeaderForm::Json => 0,
            HeaderForm::Binary => 1 << 24,
        };
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&(form | header).to_be_bytes());
        Ok(())
    }
}
