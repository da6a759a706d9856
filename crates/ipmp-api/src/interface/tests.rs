//! docs/protocol.md says what is so.

use std::collections::HashSet;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/protocol.md");

#[test]
fn the_document_has_the_descriptions() {
    for description in [DESCRIPTION, SERVICE_DESCRIPTION] {
        assert!(DOCUMENT.contains(&format!("```varlink\n{description}```")));
    }
}

#[test]
fn the_document_has_all_methods_and_errors() {
    for name in [
        PING,
        SNAPSHOT,
        EXECUTE,
        EVENTS,
        PROBES,
        GET_INFO,
        GET_DESCRIPTION,
        REFUSED,
        BUSY,
        PERMISSION_DENIED,
        METHOD_NOT_FOUND,
        INTERFACE_NOT_FOUND,
        INVALID_PARAMETER,
        EXPECTED_MORE,
    ] {
        assert!(DOCUMENT.contains(&format!("| `{name}` |")), "{name}");
    }
    let described = DESCRIPTION
        .lines()
        .filter_map(|line| line.strip_prefix("method ")?.split('(').next());
    for method in described {
        assert!(
            DOCUMENT.contains(&format!("| `{NAME}.{method}` |")),
            "{method}"
        );
    }
}

#[test]
fn the_commands_of_the_document_are_understood() {
    let rows = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `{")?.split("}` |").next());
    let rows: Vec<String> = rows.map(|row| format!("{{{row}}}")).collect();
    let mut kinds = HashSet::new();
    for row in &rows {
        let command: Command = serde_json::from_str(row).unwrap_or_else(|e| panic!("{row}: {e}"));
        kinds.insert(std::mem::discriminant(&command));
    }
    assert!(rows.len() >= 18 && kinds.len() == rows.len(), "{rows:?}");
}

#[test]
fn a_command_with_members_that_are_not_known_is_refused() {
    let command = r#"{"offline":{"interface":"ge1","gently":true}}"#;
    assert!(serde_json::from_str::<Command>(command).is_err());
    let command = r#"{"offline":{"interface":"ge1"}}"#;
    assert!(serde_json::from_str::<Command>(command).is_ok());
}
