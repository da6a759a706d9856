use super::*;

fn parse(text: &str) -> (Settings, Vec<Complaint>) {
    super::parse(text, &Options::parse([]).unwrap())
}

#[test]
fn failure_detection_times() {
    let default = 10_000;
    for (value, ms, complaint) in [
        ("10000", 10_000, ""),
        ("0x1388", 5000, ""),
        ("0X64", 100, ""),
        ("01750", 1000, ""),
        ("10s", 10_000, ""),
        ("500ms", 500, ""),
        ("10 S", 10_000, ""),
        ("100", 100, ""),
        ("\"2000\"", 2000, ""),
        ("4294967296", 4_294_967_296, ""),
        (
            "99",
            100,
            "line 1: failure detection time '99' is too small; using minimum of 100 ms",
        ),
        (
            "1",
            100,
            "line 1: failure detection time '1' is too small; using minimum of 100 ms",
        ),
        (
            "0",
            default,
            "line 1: invalid failure detection time '0'; using 10000 ms",
        ),
        (
            "00",
            default,
            "line 1: invalid failure detection time '00'; using 10000 ms",
        ),
        (
            "0s",
            default,
            "line 1: invalid failure detection time '0s'; using 10000 ms",
        ),
        (
            "-5",
            default,
            "line 1: invalid failure detection time '-5'; using 10000 ms",
        ),
        (
            "+5",
            default,
            "line 1: invalid failure detection time '+5'; using 10000 ms",
        ),
        (
            "",
            default,
            "line 1: invalid failure detection time ''; using 10000 ms",
        ),
        (
            "0x",
            default,
            "line 1: invalid failure detection time '0x'; using 10000 ms",
        ),
        (
            "089",
            default,
            "line 1: invalid failure detection time '089'; using 10000 ms",
        ),
        (
            "1.5",
            default,
            "line 1: invalid failure detection time '1.5'; using 10000 ms",
        ),
        (
            "ten",
            default,
            "line 1: invalid failure detection time 'ten'; using 10000 ms",
        ),
        (
            "s",
            default,
            "line 1: invalid failure detection time 's'; using 10000 ms",
        ),
        (
            "18446744073709551616",
            default,
            "line 1: invalid failure detection time '18446744073709551616'; using 10000 ms",
        ),
        ("18446744073709551s", 18_446_744_073_709_551_000, ""),
        (
            "18446744073709552s",
            default,
            "line 1: invalid failure detection time '18446744073709552s'; using 10000 ms",
        ),
    ] {
        let (settings, complaints) = parse(&format!("FAILURE_DETECTION_TIME={value}\n"));
        assert_eq!(
            settings.common.failure_detection_time,
            Duration::from_millis(ms),
            "{value}"
        );
        let said: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert_eq!(said.join("|"), complaint, "{value}");
        assert!(complaints.iter().all(|complaint| complaint.is_error));
    }
}

#[test]
fn yes_and_no() {
    for (value, taken, complaint) in [
        ("yes", true, ""),
        ("YES", true, ""),
        ("no", false, ""),
        (" No ", false, ""),
        (
            "yesterday",
            true,
            "line 1: value 'yesterday' for FAILBACK is taken as yes; write yes",
        ),
        (
            "nope",
            false,
            "line 1: value 'nope' for FAILBACK is taken as no; write no",
        ),
        (
            "n",
            true,
            "line 1: invalid value 'n' for FAILBACK, not yes or no; using yes",
        ),
        (
            "ye",
            true,
            "line 1: invalid value 'ye' for FAILBACK, not yes or no; using yes",
        ),
        (
            "true",
            true,
            "line 1: invalid value 'true' for FAILBACK, not yes or no; using yes",
        ),
        (
            "",
            true,
            "line 1: invalid value '' for FAILBACK, not yes or no; using yes",
        ),
        (
            "ñ",
            true,
            "line 1: invalid value 'ñ' for FAILBACK, not yes or no; using yes",
        ),
    ] {
        let (settings, complaints) = parse(&format!("FAILBACK={value}"));
        assert_eq!(settings.common.failback, taken, "{value}");
        let said: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert_eq!(said.join("|"), complaint, "{value}");
        let (settings, complaints) = parse(&format!("track_interfaces_only_with_groups={value}"));
        assert_eq!(settings.track_only_groups, taken, "{value}");
        assert_eq!(complaints.is_empty(), complaint.is_empty(), "{value}");
    }
}

#[test]
fn one_bad_line_leaves_the_others() {
    let text = "\u{feff}# comment\n\n  # another\nFAILBACK = no \nfailure_detection_time=5s\r\n\
                COLOUR=blue\nwhat is this\nFAILBACK=no\n=\n";
    let (settings, complaints) = parse(text);
    assert!(!settings.common.failback);
    assert_eq!(
        settings.common.failure_detection_time,
        Duration::from_secs(5)
    );
    assert!(settings.track_only_groups);
    let said: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "line 1: '\u{feff}# comment' is not NAME=value; ignored",
            "line 6: unknown variable 'COLOUR'; ignored",
            "line 7: 'what is this' is not NAME=value; ignored",
            "line 8: FAILBACK is set again; the last value is used",
            "line 9: unknown variable ''; ignored",
        ]
    );
    assert!(complaints.iter().all(|complaint| !complaint.is_error));
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mpathd");
    let options = Options::parse(["-lm".into()]).unwrap();
    let (settings, complaints) = read(&path, &options).unwrap();
    assert!(complaints.is_empty());
    assert!(settings.ignore_links && settings.multicast_targets_only);
    assert_eq!(
        settings.common.failure_detection_time,
        Settings::default().common.failure_detection_time
    );

    // Anything at all may be in it.
    fs::write(&path, (0..=255).cycle().take(5000).collect::<Vec<u8>>()).unwrap();
    let (settings, complaints) = read(&path, &options).unwrap();
    assert!(settings.common.failback);
    assert!(!complaints.is_empty());
    assert!(read(directory.path(), &options).is_err());
}

#[test]
fn the_file_we_ship_says_the_defaults() {
    let (settings, complaints) = parse(include_str!("../../../../dist/default/mpathd"));
    assert_eq!(settings, Settings::default());
    assert_eq!(complaints, []);
}
