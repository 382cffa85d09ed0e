//! Bodies of requests and answers: JSON shapes, and the compressed broker registration.
//!
//! Reading accepts both the standard and the Java dialect ([`crate::fastjson`]), unknown members,
//! and members that are missing or null wherever a default makes sense. Members are written in
//! alphabetical order, as Java does, and `None` is left out. Names are those of the wire.

use std::str::FromStr;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::fastjson::{self, FastjsonError};

/// Declares an enum that goes by its name. Reading ignores case, and takes null and names it does
/// not know for the first one.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value of a name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.name().eq_ignore_ascii_case(name))
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(name.and_then(|name| Self::from_name(&name)).unwrap_or_default())
            }
        }
    };
}

mod assignment;
mod auth;
mod client;
mod group;
mod heartbeat;
mod progress;
mod queue;
mod register;
mod route;
mod stats;
mod topic;

pub use assignment::*;
pub use auth::*;
pub use client::*;
pub use group::*;
pub use heartbeat::*;
pub use progress::*;
pub use queue::*;
pub use register::*;
pub use route::*;
pub use stats::*;
pub use topic::*;

/// Why a body is not what its request code needs. The connection is fine; answer with an error.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Neither JSON nor Java's dialect of it.
    #[error(transparent)]
    Fastjson(#[from] FastjsonError),
    /// JSON of another shape.
    #[error("body does not have the expected shape")]
    Shape(#[from] serde_json::Error),
    /// A compressed body that does not unpack, or to more than its size justifies.
    #[error("compressed body: {0}")]
    Compressed(&'static str),
    /// A part of an unpacked body does not fit.
    #[error("{part} of the body is cut off")]
    CutOff {
        /// Which part.
        part: &'static str,
    },
    /// A topic in its text form is unreadable.
    #[error("topic of the registration cannot be read: {text}")]
    TopicText {
        /// The text, shortened to 64 characters.
        text: String,
    },
}

/// A body with one form on the wire.
pub trait Body: Sized {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is not JSON in one of the dialects, or of another shape.
    fn decode(bytes: &[u8]) -> Result<Self, BodyError>;

    /// The bytes to send.
    fn encode(&self) -> Vec<u8>;
}

/// Bodies whose form on the wire is standard JSON.
macro_rules! json_bodies {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::body::Body for $name {
            fn decode(bytes: &[u8]) -> Result<Self, $crate::body::BodyError> {
                $crate::body::from_json(bytes)
            }

            fn encode(&self) -> Vec<u8> {
                $crate::body::to_json(self)
            }
        }
    )*};
}
use json_bodies;

fn from_json<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, BodyError> {
    Ok(serde_json::from_slice(&fastjson::normalise(bytes)?)?)
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("bodies have text or integer keys and no other")
}

/// Reads a member that may be null.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A number that some clients send as text.
struct Lenient<T>(T);

impl<'de, T: Deserialize<'de> + FromStr> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Number(T),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => {
                text.trim().parse().map(Self).map_err(|_| D::Error::custom("expected a number"))
            }
        }
    }
}

/// Reads a number that may be text or null.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + FromStr + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let number = Option::<Lenient<T>>::deserialize(deserializer)?;
    Ok(number.map(|Lenient(number)| number).unwrap_or_default())
}

/// An element of a list that is known by a name.
trait Named {
    fn name(&self) -> &str;
}

/// Reads a list, null included, without the elements that have no name: Java writes a reference
/// (`{"$ref":…}`) where an object occurs a second time, and empty objects would cost memory.
fn named_elements<'de, D: Deserializer<'de>, T: Deserialize<'de> + Named>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Elements<T>(Vec<T>);

    impl<'de, T: Deserialize<'de> + Named> Visitor<'de> for Elements<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(self.0)
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Vec<T>, A::Error> {
            while let Some(element) = list.next_element::<T>()? {
                if !element.name().is_empty() {
                    self.0.push(element);
                }
            }
            Ok(self.0)
        }
    }

    deserializer.deserialize_any(Elements(Vec::new()))
}
