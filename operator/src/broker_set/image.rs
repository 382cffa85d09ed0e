//! What the name of an image tells.

/// The tag of an image, if it has one.
pub(crate) fn version(image: &str) -> Option<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash is the port of a registry.
    let last = name.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag).filter(|tag| !tag.is_empty())
}

/// Whether Kubernetes takes it as the value of a label.
pub(crate) fn is_label_value(text: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && alphanumeric(text.bytes().next())
        && alphanumeric(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_image_is_its_tag() {
        assert_eq!(version("rocketkube:0.1.0"), Some("0.1.0"));
        assert_eq!(
            version("registry.example.com:5000/a/rocketkube:0.1.0@sha256:ab"),
            Some("0.1.0")
        );
        assert_eq!(version("registry.example.com:5000/rocketkube"), None);
        assert_eq!(version("rocketkube@sha256:ab"), None);
    }

    #[test]
    fn not_every_tag_is_a_label() {
        assert!(is_label_value("0.1.0"));
        assert!(!is_label_value("0.1.0-"));
        assert!(!is_label_value(""));
        assert!(!is_label_value(&"1".repeat(64)));
    }
}
