//! Rows of fields: columns for people, colons for programs (manual `ipmpstat`).

use super::modes::Field;

/// Fields side by side. All but the last are padded to their width. One that is too long pushes the
/// following ones to the right until one of those has room to spare.
pub(super) fn row(cells: &[(&str, usize)]) -> String {
    let mut text = String::new();
    let mut overflow = 0;
    let last = cells.len().saturating_sub(1);
    for (position, &(value, width)) in cells.iter().enumerate() {
        text.push_str(value);
        if position == last {
            break;
        }
        let length = value.chars().count();
        if length + overflow >= width {
            text.push(' ');
            overflow = overflow + length + 1 - width;
        } else {
            let blanks = width - length - overflow;
            overflow = 0;
            text.extend(std::iter::repeat_n(' ', blanks));
        }
    }
    text
}

/// The line of names above the rows.
pub(super) fn header(fields: &[&Field]) -> String {
    let cells: Vec<_> = fields.iter().map(|f| (f.name, f.width)).collect();
    row(&cells)
}

/// One row for people. An empty value is printed `--`.
pub(super) fn human(fields: &[&Field], values: &[String]) -> String {
    let cells: Vec<_> = fields
        .iter()
        .zip(values)
        .map(|(field, value)| {
            let value = if value.is_empty() { "--" } else { value };
            (value, field.width)
        })
        .collect();
    row(&cells)
}

/// One row for programs: joined by colons, which are escaped in values unless there is only one.
pub(super) fn parseable(values: &[String]) -> String {
    match values {
        [only] => only.clone(),
        values => values
            .iter()
            .map(|value| value.replace('\\', "\\\\").replace(':', "\\:"))
            .collect::<Vec<_>>()
            .join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_is_caught_up() {
        let widths = [12, 10, 20, 38];
        let line = |values: [&str; 4]| {
            let cells: Vec<_> = values.into_iter().zip(widths).collect();
            row(&cells)
        };
        for (values, expected) in [
            (
                ["INTERFACE", "MODE", "TESTADDR", "TARGETS"],
                "INTERFACE   MODE      TESTADDR            TARGETS",
            ),
            (
                ["eth0", "multicast", "fe80::5054:ff:fe00:a", "fe80::1"],
                "eth0        multicast fe80::5054:ff:fe00:a fe80::1",
            ),
            (
                ["averylonginterface", "routes", "192.0.2.1", "192.0.2.2"],
                "averylonginterface routes 192.0.2.1       192.0.2.2",
            ),
            (
                ["twelve-chars", "routes", "192.0.2.1", "192.0.2.2"],
                "twelve-chars routes   192.0.2.1           192.0.2.2",
            ),
        ] {
            assert_eq!(line(values), expected);
        }
    }

    #[test]
    fn colons_and_backslashes() {
        let values = |of: &[&str]| of.iter().map(|&v| v.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            parseable(&values(&["2001:db8:40::20", "eth0"])),
            "2001\\:db8\\:40\\:\\:20:eth0"
        );
        assert_eq!(parseable(&values(&["2001:db8:40::20"])), "2001:db8:40::20");
        assert_eq!(parseable(&values(&["a\\b", ""])), "a\\\\b:");
    }
}
