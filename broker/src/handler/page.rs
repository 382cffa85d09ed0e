//! Long tables in parts: `GET_ALL_TOPIC_CONFIG` (21) and `GET_ALL_SUBSCRIPTIONGROUP_CONFIG` (201).

use rocketkube_protocol::body::{Body, DataVersion};

use crate::refusal::AdminError;

/// Which part of a table is asked for. Fields as clients of 5.3 and later send them.
pub(super) struct Page<'a> {
    /// Number of the first entry.
    pub(super) from: Option<i32>,
    /// Version of the parts before, as JSON.
    pub(super) version: Option<&'a str>,
    /// Most entries.
    pub(super) most: Option<i32>,
}

impl Page<'_> {
    /// Whether a part is asked for. Who does not say how much he takes wants everything, and takes
    /// an answer that says how much there is for the first part of several.
    pub(super) fn is_part(&self) -> bool {
        self.most.is_some()
    }

    /// The part of a sorted table. It starts at its beginning unless the parts before are of this
    /// version: what changed may have moved the rest. So one who has all of it and asks for what
    /// follows learns with one question whether it is still true.
    pub(super) fn of<'t, T>(
        &self,
        table: &'t [T],
        version: DataVersion,
        field: &'static str,
    ) -> Result<&'t [T], AdminError> {
        let Some(most) = self.most else { return Ok(table) };
        let most = usize::try_from(most).ok().filter(|most| *most > 0);
        let most = most.ok_or_else(|| AdminError::Parameter {
            field,
            value: self.most.unwrap_or_default().to_string(),
            expected: "1 or more",
        })?;
        let known = self.version.and_then(|text| DataVersion::decode(text.as_bytes()).ok());
        let from = if known == Some(version) { self.from.unwrap_or_default() } else { 0 };
        let from = usize::try_from(from).unwrap_or_default().min(table.len());
        Ok(&table[from..from.saturating_add(most).min(table.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DataVersion = DataVersion { counter: 7, state_version: 0, timestamp: 9 };

    fn part(from: i32, version: Option<DataVersion>, most: i32) -> Vec<i32> {
        let version = version.map(|it| String::from_utf8(it.encode()).unwrap());
        let page = Page { from: Some(from), version: version.as_deref(), most: Some(most) };
        page.of(&[0, 1, 2, 3, 4], NOW, "maxTopicNum").unwrap().to_vec()
    }

    #[test]
    fn parts_of_one_version_follow_each_other() {
        assert_eq!(part(0, None, 2), [0, 1]);
        assert_eq!(part(2, Some(NOW), 2), [2, 3]);
        assert_eq!(part(4, Some(NOW), 2), [4]);
        assert!(part(5, Some(NOW), 2).is_empty());
        assert!(part(i32::MAX, Some(NOW), i32::MAX).is_empty());
        assert_eq!(part(-3, Some(NOW), 1), [0]);
    }

    #[test]
    fn a_part_of_another_version_is_the_first() {
        assert_eq!(part(4, Some(DataVersion { counter: 6, ..NOW }), 2), [0, 1]);
        let page = Page { from: Some(4), version: Some("{"), most: Some(2) };
        assert_eq!(page.of(&[0, 1, 2], NOW, "maxTopicNum").unwrap(), [0, 1]);
    }

    #[test]
    fn who_says_no_number_gets_everything_and_who_says_none_is_refused() {
        let page = |most| Page { from: Some(4), version: None, most };
        assert!(!page(None).is_part());
        assert_eq!(page(None).of(&[0, 1, 2], NOW, "maxTopicNum").unwrap(), [0, 1, 2]);
        for most in [0, -1] {
            let refusal = page(Some(most)).of(&[0], NOW, "maxTopicNum").unwrap_err();
            assert_eq!(refusal.to_string(), format!("maxTopicNum is {most}; write 1 or more"));
        }
    }
}
