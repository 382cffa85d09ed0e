//! Tag filters: which messages of a queue a consumer wants, decided by the hash of the tag.
//!
//! The consumer compares the text again, so two tags with one hash cost a message sent in vain.

use rocketkube_protocol::body::SubscriptionData;
use rocketkube_protocol::message::tag_hash;

/// Longest accepted subscription expression, in bytes.
const MAX_EXPRESSION: usize = 64 << 10;

/// Which tags a consumer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TagFilter {
    All,
    /// Java hashes of the tags, sorted.
    Hashes(Vec<i32>),
}

/// Whether an `expressionType` means tags; absent and empty do.
pub(crate) fn is_tag_language(name: &str) -> bool {
    name.is_empty() || name.eq_ignore_ascii_case("TAG")
}

impl TagFilter {
    /// Parses `*` or `TagA || TagB`.
    pub(crate) fn parse(expression: &str) -> Result<Self, &'static str> {
        if expression.len() > MAX_EXPRESSION {
            return Err("the expression is longer than 65536 bytes");
        }
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Ok(Self::All);
        }
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        let hashes: Vec<i32> = tags.map(tag_hash).collect();
        if hashes.is_empty() {
            return Err("the expression names no tag");
        }
        Ok(Self::of_hashes(hashes))
    }

    /// The filter of a heartbeat's subscription: its hashes, or its text if it has none.
    pub(crate) fn of_subscription(subscription: &SubscriptionData) -> Result<Self, &'static str> {
        if subscription.code_set.is_empty() {
            Self::parse(&subscription.sub_string)
        } else {
            Ok(Self::of_hashes(subscription.code_set.clone()))
        }
    }

    fn of_hashes(mut hashes: Vec<i32>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        Self::Hashes(hashes)
    }

    /// Bytes that it takes besides itself.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Hashes(hashes) => size_of_val(&**hashes),
        }
    }

    /// Whether a message with this tag hash (0: no tag) is wanted. Stored hashes have the 64 bits
    /// of Java's consume queue, of which tags use 32.
    pub(crate) fn matches(&self, hash: i64) -> bool {
        match self {
            Self::All => true,
            Self::Hashes(hashes) => {
                i32::try_from(hash).is_ok_and(|hash| hashes.binary_search(&hash).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_or_nothing_wants_everything() {
        for expression in ["*", "", "  ", " * "] {
            assert_eq!(TagFilter::parse(expression), Ok(TagFilter::All));
        }
    }

    #[test]
    fn tags_are_split_trimmed_and_matched_by_hash() {
        let filter = TagFilter::parse("TagA || TagB||TagA").unwrap();
        assert!(filter.matches(2_598_919) && filter.matches(2_598_920));
        assert!(!filter.matches(0) && !filter.matches(i64::from(tag_hash("TagC"))));
    }

    #[test]
    fn a_star_in_a_list_is_a_tag_like_others() {
        let filter = TagFilter::parse("TagA || *").unwrap();
        assert!(!filter.matches(i64::from(tag_hash("TagB"))));
    }

    #[test]
    fn tags_with_one_hash_are_not_told_apart() {
        assert!(TagFilter::parse("Aa").unwrap().matches(i64::from(tag_hash("BB"))));
    }

    #[test]
    fn an_expression_without_a_tag_or_without_end_is_refused() {
        assert!(TagFilter::parse("||").is_err());
        assert!(TagFilter::parse(&"a||".repeat(30_000)).is_err());
    }
}
