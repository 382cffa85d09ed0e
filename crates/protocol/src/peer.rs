//! Who is speaking: languages and version ordinals of the two ends of a connection.

/// The implementation language a command names. Used for display, and for the one request whose
/// body differs by language (resetting the offsets of C++ consumers).
///
/// Numbers: `LanguageCode` of Apache RocketMQ 5, as they stand in binary headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// Java; also what our answers say, because old Java clients fail on names they do not know.
    #[default]
    Java,
    /// C++.
    Cpp,
    /// .NET.
    Dotnet,
    /// Python.
    Python,
    /// Delphi.
    Delphi,
    /// Erlang.
    Erlang,
    /// Ruby.
    Ruby,
    /// Anything else, and every name or number not in this list.
    Other,
    /// HTTP gateways.
    Http,
    /// Go.
    Go,
    /// PHP.
    Php,
    /// The `OpenMessaging` API.
    Oms,
    /// Rust.
    Rust,
    /// Node.js.
    NodeJs,
}

/// Languages by their number in binary headers.
const LANGUAGES: [(Language, &str); 14] = [
    (Language::Java, "JAVA"),
    (Language::Cpp, "CPP"),
    (Language::Dotnet, "DOTNET"),
    (Language::Python, "PYTHON"),
    (Language::Delphi, "DELPHI"),
    (Language::Erlang, "ERLANG"),
    (Language::Ruby, "RUBY"),
    (Language::Other, "OTHER"),
    (Language::Http, "HTTP"),
    (Language::Go, "GO"),
    (Language::Php, "PHP"),
    (Language::Oms, "OMS"),
    (Language::Rust, "RUST"),
    (Language::NodeJs, "NODE_JS"),
];

impl Language {
    /// The name in JSON headers.
    pub const fn name(self) -> &'static str {
        LANGUAGES[self as usize].1
    }

    /// The number in binary headers.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The language of a name; [`Language::Other`] for names that came later.
    pub fn from_name(name: &str) -> Self {
        LANGUAGES.iter().find(|(_, known)| *known == name).map_or(Self::Other, |(it, _)| *it)
    }

    /// The language of a number; [`Language::Other`] for numbers that came later.
    pub fn from_number(number: u8) -> Self {
        LANGUAGES.get(usize::from(number)).map_or(Self::Other, |(it, _)| *it)
    }
}

/// Version ordinals that mean something to a server.
///
/// An ordinal is the position in Apache's list of releases, each preceded by its snapshot, starting
/// with 3.0.0-SNAPSHOT = 0.
pub mod version {
    /// 3.4.9: from here on `maxReconsumeTimes` of a send or send-back header is honoured.
    pub const V3_4_9: i32 = 121;
    /// 4.1.0-SNAPSHOT: clients refuse SQL92 subscriptions if the broker's version is below.
    pub const V4_1_0_SNAPSHOT: i32 = 232;
    /// 4.9.3: up to here `_UNIQUE_KEY_QUERY` is not part of the signed content.
    pub const V4_9_3: i32 = 399;
    /// 4.9.4: from here on route answers are standard JSON.
    pub const V4_9_4: i32 = 401;
    /// 5.0.0: compressed broker registrations end with a mapping section.
    pub const V5_0_0: i32 = 413;
    /// 5.3.1: only clients above understand `GO_AWAY`.
    pub const V5_3_1: i32 = 475;
    /// 5.3.3: what our own commands say.
    pub const OURS: i32 = 479;
    /// Name of [`OURS`], as tools expect it in `brokerVersionDesc`.
    pub const OURS_NAME: &str = "V5_3_3";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_the_same_language() {
        for (number, (language, name)) in LANGUAGES.into_iter().enumerate() {
            assert_eq!(usize::from(language.number()), number);
            assert_eq!(Language::from_name(name), language);
            assert_eq!(Language::from_number(language.number()), language);
        }
    }

    #[test]
    fn what_we_do_not_know_is_other() {
        assert_eq!(Language::from_name("COBOL"), Language::Other);
        assert_eq!(Language::from_number(200), Language::Other);
    }
}
