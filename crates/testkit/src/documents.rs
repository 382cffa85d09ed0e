//! What pages and help texts say, for tests that compare it with the code.

/// One row of a table of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    pub key: String,
    /// As somebody would write it; none if there is no default.
    pub default: Option<String>,
    /// Least and most that is accepted, if the page says so.
    pub range: Option<(String, String)>,
}

/// The table below the heading `## {heading}` of a Markdown page. Its columns are key, default, range
/// and meaning; a default that is not in backticks is prose that says what happens without one.
pub fn settings_table(page: &str, heading: &str) -> Vec<SettingRow> {
    let heading = format!("## {heading}");
    let section = page.lines().skip_while(|line| *line != heading).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let &[key, default, range, ..] = &cells[..] else { return None };
        let range = range.split_once(" to ");
        Some(SettingRow {
            key: code(key)?.to_owned(),
            default: code(default).map(str::to_owned),
            range: range.map(|(least, most)| (least.to_owned(), most.to_owned())),
        })
    });
    rows.collect()
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// Flags and their defaults in a help text that has one line per flag: `--flag ... [default: x]`.
pub fn help_defaults(help: &str) -> Vec<(String, String)> {
    let default = |line: &str| {
        let flag = line.split_whitespace().find(|word| word.starts_with("--"))?;
        let (_, default) = line.split_once("[default: ")?;
        Some((flag.to_owned(), default.trim_end().strip_suffix(']')?.to_owned()))
    };
    help.lines().filter_map(default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_below_its_heading() {
        let page = "# Settings\n## A\n| Key | Default | Range | Meaning |\n|---|---|---|---|\n\
            | `size` | `4` | 1 to 8 | Of it |\n| `name` | none | | Its |\n## B\n| `x` | `1` | | |\n";
        let row = |key: &str, default: Option<&str>, range: Option<(&str, &str)>| SettingRow {
            key: key.to_owned(),
            default: default.map(str::to_owned),
            range: range.map(|(least, most)| (least.to_owned(), most.to_owned())),
        };
        let expected = [row("size", Some("4"), Some(("1", "8"))), row("name", None, None)];
        assert_eq!(settings_table(page, "A"), expected);
    }

    #[test]
    fn defaults_are_read_from_help() {
        let help = "  -l, --listen <ADDR>  Where [default: [::]:1]\n      --config <FILE>  Which\n";
        assert_eq!(help_defaults(help), [("--listen".to_owned(), "[::]:1".to_owned())]);
    }
}
